"""The folder of uploads: its own, swept, and gone in the end."""

import os
import shutil
import time
from types import SimpleNamespace

import pytest

from normzoo.app.server.uploads import MAX_AGE_SECONDS, MAX_UNFINISHED_SECONDS, UploadFolder

HOUR = 3600


def put(folder, name, age_seconds=0, size=10):
    path = folder.path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x" * size)
    for changed in (path, path.parent):
        os.utime(changed, (time.time() - age_seconds,) * 2)
    return path


@pytest.fixture
def uploads(tmp_path):
    folder = UploadFolder(tmp_path / "deep" / "er")
    yield folder
    folder.close()


def test_the_folder_is_private_is_named_as_gradio_names_what_is_in_it_and_goes_with_the_process(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    folder = UploadFolder(tmp_path / "link")
    put(folder, "hash/photo.jpg")
    assert folder.path.parent == tmp_path / "real"
    assert folder.path.stat().st_mode & 0o077 == 0
    folder.close()
    assert list((tmp_path / "real").iterdir()) == []


@pytest.mark.parametrize(
    ("gone", "age", "kept", "kept_age"),
    [
        ("a/old.jpg", MAX_AGE_SECONDS + 60, "b/new.jpg", HOUR - 60),
        ("tmpabc", MAX_UNFINISHED_SECONDS + 60, "tmpdef", 60),  # what a broken upload left, and one that is under way
    ],
)
def test_what_is_too_old_is_swept(uploads, gone, age, kept, kept_age):
    old, new = put(uploads, gone, age), put(uploads, kept, kept_age)
    uploads.sweep()
    assert (old.exists(), new.exists()) == (False, True)


def test_folders_that_gradio_emptied_are_swept(uploads):
    emptied, in_use = put(uploads, "a/photo.jpg"), put(uploads, "b/photo.jpg", 60)
    emptied.unlink()
    uploads.sweep(now=time.time() + MAX_UNFINISHED_SECONDS + 60)
    assert (emptied.parent.exists(), in_use.exists()) == (False, True)


def test_the_oldest_go_when_it_is_too_much_or_more_than_half_of_the_room_that_there_is(uploads, monkeypatch):
    photos = [put(uploads, f"{age}/photo.jpg", age, size=100) for age in (300, 200, 100)]
    uploads.sweep(max_bytes=250)
    assert [path.exists() for path in photos] == [False, True, True]
    for free, left in ((90, [False, False, True]), (101, [False, False, True])):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        uploads.sweep()
        assert [path.exists() for path in photos] == left


def test_what_the_page_opened_with_stays(uploads):
    kept = put(uploads, "a/example.jpg", 100 * HOUR)
    uploads.keep()
    uploads.sweep(max_bytes=0)
    assert kept.exists()
    assert (uploads.path / ".lock").exists()


def test_what_a_killed_process_left_is_removed_and_nothing_of_a_living_one(tmp_path):
    other_app = tmp_path / "normzoo-but-not-ours"
    other_app.mkdir()
    living, killed = UploadFolder(tmp_path), UploadFolder(tmp_path)
    killed._lock.release()  # as the system does
    newest = UploadFolder(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([living.path, newest.path, other_app])
    living.close()
    newest.close()


def test_the_sweep_runs_until_the_folder_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr("normzoo.app.server.uploads.SWEEP_SECONDS", 0.001)
    folder = UploadFolder(tmp_path)
    old = put(folder, "a/old.jpg", MAX_AGE_SECONDS + 60)
    forgotten = []
    thread = folder.start_sweeping(lambda: forgotten.append(old.exists()))
    deadline = time.monotonic() + 10
    while old.exists() and time.monotonic() < deadline:
        os.sched_yield()
    folder.close()
    thread.join(10)
    assert not old.exists()
    assert forgotten[0] is False
    assert not thread.is_alive()
