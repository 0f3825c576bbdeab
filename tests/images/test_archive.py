"""Archives of strangers: what is in them comes out, and whatever they try, nothing is written or read further than allowed."""

import io
import os
import stat
import struct
import time
import tracemalloc
import zipfile

import pytest

from normzoo.errors import ImageError
from normzoo.images import archive
from normzoo.images.archive import is_archive, read_archive


def make(path, files, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def read(path, most=64):
    return [(each.folder, each.name, each.content) for each in read_archive(path, most)]


def test_files_come_with_their_folder_and_clutter_is_left_out(tmp_path):
    files = {
        "birds/orange/a.jpg": b"1",
        "b.jpg": b"2",
        "__MACOSX/birds/._a.jpg": b"no",
        "birds/.DS_Store": b"no",
        "birds/Thumbs.db": b"no",
        "pizza\\c.png": b"3",
    }
    path = make(tmp_path / "a.zip", files, compression=zipfile.ZIP_DEFLATED)
    assert is_archive(path)
    assert read(path) == [("orange", "a.jpg", b"1"), ("", "b.jpg", b"2"), ("pizza", "c.png", b"3")]


@pytest.mark.parametrize("name", ["../../up.jpg", "/etc/passwd", "C:\\windows\\x.jpg", "a/../../b.jpg", "..", "a" * 5000])
def test_no_name_becomes_a_path(name, tmp_path):
    path = make(tmp_path / "a.zip", {name: b"x"})
    before = sorted(tmp_path.rglob("*"))
    try:
        found = read(path)
    except ImageError:
        found = []
    assert sorted(tmp_path.rglob("*")) == before
    assert all("/" not in name and "\\" not in name for _, name, _ in found)


def test_a_bomb_is_refused_by_what_it_says_and_by_what_it_does(tmp_path, monkeypatch):
    honest = make(tmp_path / "honest.zip", {f"{i}.jpg": bytes(50_000_000) for i in range(5)}, compression=zipfile.ZIP_DEFLATED)
    assert honest.stat().st_size < 1_000_000
    with pytest.raises(ImageError, match="more than the 200 MB allowed"):
        read(honest)

    # One that declares small files: the same entries, their sizes in the table of contents written over.
    data = bytearray(honest.read_bytes())
    position = data.find(b"PK\x01\x02")
    while position >= 0:
        data[position + 24 : position + 28] = struct.pack("<I", 10)
        position = data.find(b"PK\x01\x02", position + 1)
    liar = tmp_path / "liar.zip"
    liar.write_bytes(bytes(data))
    tracemalloc.start()
    start = time.monotonic()
    with pytest.raises(ImageError):
        read(liar)
    assert tracemalloc.get_traced_memory()[1] < 150_000_000
    assert time.monotonic() - start < 20
    tracemalloc.stop()

    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 100)
    honest = make(tmp_path / "small.zip", {"a": bytes(60), "b": bytes(60)})
    with pytest.raises(ImageError, match="unpacks to more"):
        read(honest)


def test_one_large_file_is_cut_off_behind_the_limit_of_a_photo(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    assert len(read(make(tmp_path / "a.zip", {"a.jpg": bytes(5000)}))[0][2]) == 1001


def test_a_table_of_contents_without_end_is_refused_before_it_is_read(tmp_path):
    path = make(tmp_path / "many.zip", {f"{i}.jpg": b"" for i in range(30_000)})
    start = time.monotonic()
    with pytest.raises(ImageError, match="more than 1,000 files"):
        read(path)
    assert time.monotonic() - start < 0.5
    with pytest.raises(ImageError, match="holds 65 files, more than the 64 allowed"):
        read(make(tmp_path / "65.zip", {f"{i}.jpg": b"" for i in range(65)}))


def test_an_end_record_hidden_in_the_comment_does_not_help(tmp_path):
    path = make(tmp_path / "many.zip", {f"{i}.jpg": b"" for i in range(30_000)})
    with open(path, "ab") as file:
        file.write(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0, 0, 0, 0, 0))
    with pytest.raises(ImageError):
        read(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rare_compressions_are_refused_whole_or_damaged(compression, tmp_path):
    path = make(tmp_path / "a.zip", {"a.jpg": bytes(1000)}, compression=compression)
    content = path.read_bytes()
    for each in (content, content[:45] + b"\xff" * 8 + content[53:]):
        path.write_bytes(each)
        with pytest.raises(ImageError, match="of an unsupported kind"):
            read(path)


def test_links_passwords_and_nothing_are_refused(tmp_path):
    entry = zipfile.ZipInfo("link.jpg")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as file:
        file.writestr(entry, "/etc/passwd")
    with pytest.raises(ImageError, match="links or devices"):
        read(tmp_path / "link.zip")
    locked = make(tmp_path / "locked.zip", {"a.jpg": b"x"})
    data = bytearray(locked.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(signature) + offset] |= 1
    locked.write_bytes(bytes(data))
    with pytest.raises(ImageError, match="without a password"):
        read(locked)
    with pytest.raises(ImageError, match="holds no photo"):
        read(make(tmp_path / "empty.zip", {"folder/": b"", ".hidden": b"x"}))


@pytest.mark.parametrize("seed", range(40))
def test_damaged_archives_are_refused_in_a_sentence(seed, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(3):
            file.writestr(f"kind/{number}.jpg", os.urandom(300) + bytes(300))
    data = bytearray(buffer.getvalue())
    position = (seed * 7919) % len(data)
    if seed % 4:
        data[position] ^= 1 + seed
    else:
        data = data[:position]
    path = tmp_path / "damaged.zip"
    path.write_bytes(bytes(data))
    try:
        found = len(read(path))
    except ImageError as error:
        sentence = str(error)
    else:
        sentence = f"{found} files."
    assert sentence.endswith(".")
