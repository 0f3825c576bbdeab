"""Fetching archives: downloads that go on where they were cut off, and archives that are not what they should be."""

import io
import shutil
import socket
import threading
import zipfile
from types import SimpleNamespace

import pytest

from normzoo.errors import DataError
from tests.support.archive_server import serve
from tests.support.made_up_archives import ROOT, USED, jpeg, tiny_imagenet_files, tiny_source, zip_bytes
from tests.support.small_disk import small_disk
from training.data.dataset import fetch
from training.data.sources import SOURCES, SYNSETS, download

NAME = "tiny-imagenet-25"
FILES = tiny_imagenet_files()
ARCHIVE = zip_bytes(FILES)


@pytest.fixture
def server(monkeypatch):
    """The official place of the archive."""
    with serve(ARCHIVE) as served:
        monkeypatch.setitem(SOURCES, NAME, tiny_source(FILES, served.url))
        yield served


@pytest.fixture
def _expected(monkeypatch):
    """`FILES` are what is expected, wherever they come from."""
    monkeypatch.setitem(SOURCES, NAME, tiny_source(FILES))


def test_twenty_five_classes_in_the_order_of_the_design():
    classes = list(SYNSETS.values())
    assert (len(classes), classes[0], classes[7], classes[24]) == (25, "goldfish", "Arabian camel", "umbrella")
    assert SOURCES[NAME].classes == tuple(classes)


def test_fetch_downloads_and_a_second_call_asks_for_nothing(server, tmp_path):
    folder = fetch(NAME, root=tmp_path)
    assert folder == tmp_path / "tiny-imagenet-25-32px"
    assert fetch(NAME, root=tmp_path) == folder
    assert server.requests == [None]


def test_another_image_size_uses_the_archive_that_is_here(server, tmp_path):
    assert fetch(NAME, 32, root=tmp_path) != fetch(NAME, 16, root=tmp_path)
    assert len(server.requests) == 1


def test_an_interrupted_download_goes_on_where_it_was_cut_off(server, tmp_path):
    server.cut_after = len(ARCHIVE) // 2
    with pytest.raises(DataError, match=f"at {server.cut_after} of {len(ARCHIVE)} bytes"):
        fetch(NAME, root=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["downloads"]
    begun, server.cut_after = server.cut_after, None
    assert fetch(NAME, root=tmp_path).is_dir()
    assert server.requests == [None, f"bytes={begun}-"]
    assert (tmp_path / "downloads" / "tiny-imagenet-200.zip").read_bytes() == ARCHIVE


def test_a_server_that_cannot_go_on_sends_all_again(server, tmp_path):
    server.cut_after = 100
    with pytest.raises(DataError, match="stopped at"):
        download(server.url, tmp_path)
    server.cut_after, server.takes_ranges = None, False
    assert download(server.url, tmp_path).read_bytes() == ARCHIVE


def test_a_download_without_a_known_length_arrives(server, tmp_path):
    server.says_length = False
    assert download(server.url, tmp_path).read_bytes() == ARCHIVE


def test_a_whole_download_that_was_not_put_in_place_is(server, tmp_path):
    (tmp_path / "tiny-imagenet-200.zip.part").write_bytes(ARCHIVE)
    assert download(server.url, tmp_path).read_bytes() == ARCHIVE
    assert list(tmp_path.iterdir()) == [tmp_path / "tiny-imagenet-200.zip"]


def test_the_beginning_of_a_longer_file_is_dropped(server, tmp_path):
    (tmp_path / "tiny-imagenet-200.zip.part").write_bytes(bytes(len(ARCHIVE) + 1))
    with pytest.raises(DataError, match="has changed since"):
        download(server.url, tmp_path)
    assert download(server.url, tmp_path).read_bytes() == ARCHIVE


def test_a_missing_file_on_the_server_is_said(server, tmp_path):
    with pytest.raises(DataError, match=r"returned 404 Not Found.*--archive PATH"):
        download(f"{server.url}.moved", tmp_path)


def test_no_server_is_said(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(DataError, match=r"Could not fetch .*--archive PATH"):
            download(f"http://127.0.0.1:{unused.getsockname()[1]}/a.zip", tmp_path)


def test_a_server_that_speaks_no_http_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail server ready\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DataError, match="Could not fetch"):
            download(f"http://127.0.0.1:{listener.getsockname()[1]}/a.zip", tmp_path)
        thread.join()


def test_too_little_room_is_seen_before_the_download(server, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(DataError, match="no space for"):
        download(server.url, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_while_downloading_keeps_what_came(server, tmp_path):
    server.content, server.says_length = bytes(200_000), False
    with small_disk(tmp_path / "disk", 100) as disk:
        with pytest.raises(DataError, match="No disk space left in"):
            download(server.url, disk)
        assert [path.name for path in disk.iterdir()] == ["tiny-imagenet-200.zip.part"]


def without(path):
    return {key: content for key, content in FILES.items() if key != path}


def damaged():
    """An archive whose packed bytes are no longer what they were."""
    content = bytearray(zip_bytes(FILES, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        member = archive.infolist()[0]
    start = member.header_offset + 30 + len(member.filename)
    content[start : start + 200] = bytes(200)
    return bytes(content)


FIRST = f"{ROOT}/train/{USED[0]}/images/{USED[0]}_0.JPEG"
WRONG = {
    "no zip": lambda: b"<html>Moved</html>",
    "empty": lambda: b"",
    "other zip": lambda: zip_bytes({"holiday.JPEG": jpeg(0)}),
    "truncated": lambda: ARCHIVE[: len(ARCHIVE) // 2],
    "damaged": damaged,
    "garbled list": lambda: zip_bytes({**FILES, f"{ROOT}/val/val_annotations.txt": b"\xff\xfe\n"}),
    "short list": lambda: zip_bytes({**FILES, f"{ROOT}/val/val_annotations.txt": b"val_0.JPEG\n"}),
    "one image less": lambda: zip_bytes(without(FIRST)),
    "one image more": lambda: zip_bytes({**FILES, FIRST.replace("_0.", "_7."): jpeg(0)}),
    "another image": lambda: zip_bytes({**FILES, FIRST: jpeg(12345)}),
    "no image": lambda: zip_bytes({**FILES, FIRST: b"not a JPEG"}),
}


@pytest.mark.usefixtures("_expected")
@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_archive_is_refused_with_what_to_do_and_leaves_nothing(kind, tmp_path):
    archive, root = tmp_path / "archive.zip", tmp_path / "data"
    archive.write_bytes(WRONG[kind]())
    with pytest.raises(DataError) as caught:
        fetch(NAME, archive=str(archive), root=root)
    assert str(archive) in str(caught.value)
    assert "--archive PATH-OR-URL." in str(caught.value)
    assert not root.exists() or list(root.iterdir()) == []


@pytest.mark.usefixtures("_expected")
def test_a_wrong_archive_that_was_downloaded_names_the_file_to_delete(server, tmp_path):
    server.content = b"<html>Please log in</html>"
    with pytest.raises(DataError, match="Delete it") as caught:
        fetch(NAME, archive=server.url, root=tmp_path)
    path = tmp_path / "downloads" / "tiny-imagenet-200.zip"
    assert str(path) in str(caught.value)
    path.unlink()
    server.content = ARCHIVE
    assert fetch(NAME, archive=server.url, root=tmp_path).is_dir()
