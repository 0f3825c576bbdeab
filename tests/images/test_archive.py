"""Archives of strangers: what is in them comes out, and whatever they try, nothing is written or read further than allowed."""

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
from tests.support.image_files import zipped

DEFLATED = zipfile.ZIP_DEFLATED


@pytest.fixture
def make(tmp_path):
    def make(files, compression=zipfile.ZIP_STORED, change=bytes):
        path = tmp_path / "photos.zip"
        path.write_bytes(change(zipped(files, compression)))
        return path

    return make


def read(path, most=64):
    return [(each.folder, each.name, each.content) for each in read_archive(path, most)]


def refused(path, match):
    with pytest.raises(ImageError, match=match):
        read(path)


def written_over(*changes):
    """A change of an archive: bytes written over behind every signature, (signature, offset, bytes)."""

    def change(content):
        data = bytearray(content)
        for signature, offset, new in changes:
            at = data.find(signature)
            while at >= 0:
                data[at + offset : at + offset + len(new)] = new
                at = data.find(signature, at + 1)
        return bytes(data)

    return change


def test_files_come_with_their_folder_and_clutter_is_left_out(make):
    files = {"birds/orange/a.jpg": b"1", "b.jpg": b"2", "__MACOSX/birds/._a.jpg": b"no", "birds/.DS_Store": b"no"}
    path = make({**files, "birds/Thumbs.db": b"no", "pizza\\c.png": b"3"}, DEFLATED)
    assert is_archive(path)
    assert read(path) == [("orange", "a.jpg", b"1"), ("", "b.jpg", b"2"), ("pizza", "c.png", b"3")]


@pytest.mark.parametrize("name", ["../../up.jpg", "/etc/passwd", "C:\\windows\\x.jpg", "a/../../b.jpg", "..", "a" * 5000])
def test_no_name_becomes_a_path(name, make, tmp_path):
    path = make({name: b"x"})
    try:
        found = read(path)
    except ImageError:
        found = []
    assert list(tmp_path.rglob("*")) == [path]
    assert all("/" not in name and "\\" not in name for _, name, _ in found)


def test_a_bomb_is_refused_by_what_it_says_and_by_what_it_does(make, monkeypatch):
    bomb = {f"{i}.jpg": bytes(50_000_000) for i in range(5)}
    path = make(bomb, DEFLATED)
    assert path.stat().st_size < 1_000_000
    refused(path, "more than the 200 MB allowed")
    liar = make(bomb, DEFLATED, written_over((b"PK\x01\x02", 24, struct.pack("<I", 10))))  # declares small files
    tracemalloc.start()
    start = time.monotonic()
    refused(liar, "allowed|damaged")
    assert tracemalloc.get_traced_memory()[1] < 150_000_000
    assert time.monotonic() - start < 20
    tracemalloc.stop()
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 100)
    refused(make({"a": bytes(60), "b": bytes(60)}), "unpacks to more")
    monkeypatch.setattr(archive, "MAX_BYTES", 30)
    assert len(read(make({"a.jpg": bytes(90)}))[0][2]) == 31  # cut off behind the limit of a photo


def test_a_table_of_contents_without_end_is_refused_before_it_is_read(make):
    many = {f"{i}.jpg": b"" for i in range(30_000)}
    path, start = make(many), time.monotonic()
    refused(path, "more than 1,000 files")
    assert time.monotonic() - start < 0.5
    hidden = struct.pack("<HHHHIIH", 0, 0, 0, 0, 0, 0, 0)  # an end record in the comment
    refused(make(many, change=lambda content: content + b"PK\x05\x06" + hidden), ".")
    refused(make(dict.fromkeys(map(str, range(65)), b"")), "holds 65 files, more than the 64 allowed")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("change", [bytes, lambda content: content[:45] + b"\xff" * 8 + content[53:]])
def test_rare_compressions_are_refused_whole_or_damaged(compression, change, make):
    refused(make({"a.jpg": bytes(1000)}, compression, change), "of an unsupported kind")


def test_links_passwords_and_nothing_are_refused(make):
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    refused(make({link: "/etc/passwd"}), "links or devices")
    locked = written_over((b"PK\x03\x04", 6, b"\1"), (b"PK\x01\x02", 8, b"\1"))
    refused(make({"a.jpg": b"x"}, change=locked), "without a password")
    refused(make({"folder/": b"", ".hidden": b"x"}), "holds no photo")


@pytest.mark.parametrize("seed", range(40))
def test_damaged_archives_are_refused_in_a_sentence(seed, make):
    def damage(content):
        at = (seed * 7919) % len(content)
        return content[:at] + bytes([content[at] ^ (1 + seed)]) + content[at + 1 :] if seed % 4 else content[:at]

    path = make({f"kind/{number}.jpg": os.urandom(300) + bytes(300) for number in range(3)}, DEFLATED, damage)
    sentence = "."
    try:
        read(path)
    except ImageError as error:
        sentence = str(error)
    assert sentence.endswith(".")
