"""Fetching archives: downloads that are whole or not there, and archives that are not what they should be."""

import contextlib
import http.server
import io
import socket
import threading
import zipfile
from dataclasses import dataclass, field

import pytest

from normzoo.errors import DataError
from tests.support.made_up_archives import ROOT, USED, jpeg, tiny_imagenet_files, tiny_source, zip_bytes
from tests.support.small_disk import small_disk
from training.data.dataset import fetch
from training.data.sources import SOURCES, SYNSETS, download

NAME = "tiny-imagenet-25"
FILES = tiny_imagenet_files()
ARCHIVE = zip_bytes(FILES)


@dataclass
class Server:
    """A web server with one file, and how it fails."""

    url: str
    content: bytes = ARCHIVE
    cut_after: int | None = None  # ends the connection after so many bytes of an answer
    says_length: bool = True
    requests: list[str] = field(default_factory=list)


@contextlib.contextmanager
def serve():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            served.requests.append(self.path)
            if not served.url.endswith(self.path):
                self.send_error(404)
                return
            self.send_response(200)
            if served.says_length:
                self.send_header("Content-Length", str(len(served.content)))
            self.end_headers()
            self.wfile.write(served.content[: served.cut_after])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = Server(f"http://127.0.0.1:{server.server_port}/tiny-imagenet-200.zip")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server(monkeypatch):
    """The official place of the archive."""
    with serve() as served:
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


def test_fetch_downloads_once_whatever_the_image_size(server, tmp_path):
    folder = fetch(NAME, root=tmp_path)
    assert folder == tmp_path / "tiny-imagenet-25-32px"
    assert fetch(NAME, root=tmp_path) == folder
    assert fetch(NAME, 16, root=tmp_path) != folder
    assert len(server.requests) == 1
    assert (tmp_path / "downloads" / "tiny-imagenet-200.zip").read_bytes() == ARCHIVE


def test_an_interrupted_download_leaves_nothing_and_the_next_call_fetches_it(server, tmp_path):
    server.cut_after = len(ARCHIVE) // 2
    with pytest.raises(DataError, match=f"after {server.cut_after:,} of {len(ARCHIVE):,} bytes.*--archive PATH"):
        download(server.url, tmp_path)
    assert list(tmp_path.iterdir()) == []
    server.cut_after, server.says_length = None, False
    assert download(server.url, tmp_path).read_bytes() == ARCHIVE


def test_what_cannot_be_fetched_is_said_with_what_to_do(server, tmp_path):
    with pytest.raises(DataError, match=r"404.*Not Found.*--archive PATH"):
        download(f"{server.url}.moved", tmp_path)
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


def test_a_disk_that_fills_up_while_downloading_is_said(server, tmp_path):
    server.content = bytes(200_000)
    with small_disk(tmp_path / "disk", 100) as disk:
        with pytest.raises(DataError, match="No space left on device"):
            download(server.url, disk)
        assert list(disk.iterdir()) == []


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
