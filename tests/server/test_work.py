"""What visitors ask of the page in little: bounded before it is done, remembered, charged, and ended when they leave."""

import asyncio
import contextlib
import json
import re
import select
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
from brotli import decompress as brotli_decompress
from gradio import brotli_middleware
from gradio.utils import get_upload_folder

from normzoo.app import build_demo
from normzoo.app.components import photo as photos
from normzoo.app.core import upload
from normzoo.app.core.work import computing
from normzoo.app.server.access import StaticFiles
from normzoo.app.server.settings import ADVISED_BYTES, MEMORY, Limits
from normzoo.images.preprocess import load_image
from tests.support import image_files
from tests.support.checkpoints import save_zoo
from tests.support.visitor import API, Failed, Visitor, served
from tests.support.worst import hold_back

ROOT = Path(__file__).parents[2]
CHOICE = ["toy/paper", ["bn"], "batch", 16, "everybody", 64, "none", 5, False]


def png(width, height):
    """A black picture in a file of hardly any bytes."""
    return image_files.png(width, height, 8, 2, bytes((1 + 3 * width) * height))


def archive(*contents):
    return image_files.zipped({f"{number}.png": content for number, content in enumerate(contents)}, zipfile.ZIP_DEFLATED)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return build_demo(save_zoo(tmp_path_factory.mktemp("zoo")))


@pytest.fixture(scope="module")
def port(demo):
    with served(demo, limits=Limits(trust_proxy=True)) as url:
        yield urlsplit(url).port or 0


@pytest.fixture
def visitor(port):
    with contextlib.closing(Visitor(port)) as visitor:
        yield visitor


@pytest.fixture
def decode(monkeypatch):
    """What decodes the photos of the tab for many."""
    decode = Mock(wraps=load_image)
    monkeypatch.setattr(photos, "load_image", decode)
    return decode


def ask(visitor, *files, again=1):
    paths = [json.loads(visitor.upload(content, name=f"{number}.zip").body)[0] for number, content in enumerate(files)]
    return visitor.run(visitor.functions()["many_photos"], [[{"path": path} for path in paths] * again, *CHOICE])


LARGE = png(7000, 7000)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([archive(*[LARGE] * 40), archive(*[LARGE] * 40, b"")], "80 photos, more than the 64"),
        ([archive(*[LARGE] * 64)], "more than 100 million pixels"),
        ([archive(LARGE, LARGE), archive(LARGE, b"2")], "more than 100 million pixels"),
        ([archive(*[bytes(19_000_000)] * 6), archive(*[bytes(19_000_000)] * 5)], "more than the 200 MB"),
    ],
    ids=["files", "pixels", "pixels of two", "bytes of two"],
)
def test_what_is_too_much_together_is_refused_before_anything_is_decoded(visitor, decode, files, said):
    with pytest.raises(Failed, match=said):
        ask(visitor, *files)
    assert decode.call_count == 0


def test_a_refused_archive_is_remembered_and_the_other_files_are_answered(visitor, decode):
    broken = bytearray(archive(png(40, 30), png(30, 40)))
    start = broken.rfind(b"PK\x01\x02")
    broken[start + 16] ^= 1  # its checksum
    for _ in range(2):
        shown, _, found = ask(visitor, bytes(broken), png(20, 20))
        assert [photo["photo"] for photo in found["photos"]] == ["1.zip"]
        assert "This archive is damaged" in shown
        visitor.session += "x"
    assert decode.call_count == 1  # of the photo


def test_the_same_upload_counts_once(visitor, decode):
    assert len(ask(visitor, png(21, 20), again=64)[2]["photos"]) == 1
    assert decode.call_count == 1


@pytest.mark.parametrize("front", [b"", b"PK\x03\x04"])
def test_an_archive_without_its_front_spoils_nobody_else_s(visitor, front):
    cut = archive(png(40, 30), png(30, 40))[60:]
    nameless = archive(png(1, 1)).replace(b"0.png", b"\0" * 5)
    shown, _, found = ask(visitor, b"PK\x03\x04" + front + cut, nameless, png(22, 20))
    assert "2.zip" in [photo["photo"] for photo in found["photos"]]
    assert "0.zip: This archive is damaged" in shown


def test_work_ends_when_nobody_listens(port, visitor, monkeypatch):
    begun, go_on, done = threading.Event(), threading.Event(), []

    def slow(source):
        begun.set()
        go_on.wait(30)
        done.append(source)
        return load_image(source)

    path = json.loads(visitor.upload(archive(*[png(10 + number, 9) for number in range(30)])).body)[0]
    many = visitor.functions()["many_photos"]
    with contextlib.closing(Visitor(port)) as leaver:
        monkeypatch.setattr(photos, "load_image", slow)
        assert leaver.join(many, [[{"path": path}], *CHOICE]).status == 200
        leaver._connection.request("GET", f"{API}/queue/data?session_hash={leaver.session}")
        stream = leaver._connection.getresponse()
        assert begun.wait(30)
        stream.close()
    time.sleep(0.5)
    go_on.set()
    assert len(visitor.run(many, [{"set": "drawings"}, *CHOICE])[2]["photos"]) == 32
    assert len([source for source in done if isinstance(source, bytes)]) < 5


def test_never_more_than_two_threads_compute():
    together, seen = threading.Barrier(3), []

    def compute(number):
        with computing(), contextlib.suppress(threading.BrokenBarrierError):
            seen.append(together.wait(0.2))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(compute, range(3)))
    assert seen == []


def test_whoever_makes_much_work_is_told_to_wait_and_no_other(tmp_path):
    limits = Limits(trust_proxy=True, requests_per_core_second=100_000)
    with served(build_demo(save_zoo(tmp_path)), limits=limits) as url, contextlib.ExitStack() as stack:
        one, other = (stack.enter_context(contextlib.closing(Visitor(urlsplit(url).port or 0, f"11.0.0.{n}"))) for n in (1, 2))
        assert ask(one, png(2000, 1500))[2]["photos"]
        assert (one.get("/config").status, other.get("/config").status) == (429, 200)


def test_what_an_upload_left_in_memory_goes_when_its_file_goes(demo, visitor):
    path = Path(json.loads(visitor.upload(png(400, 300)).body)[0])
    functions = visitor.functions()
    file = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
    _, preview, *_ = visitor.run(functions["choose_photo"], [{"file": file}])
    assert visitor.run(functions["classify"], [file, "toy/paper", ["bn"]])[-1]["networks"]
    assert visitor.run(functions["many_photos"], [[{"path": str(path)}], *CHOICE])[2]["photos"]

    def kept():
        sessions = [str(session.config_values) for session in demo.state_holder.session_data.values()]
        shown = [preview for session in sessions if preview[-400:-200] in session]
        return shown + [key for each in upload.Kept.everything for key in each._values if key[0] == path]

    assert len(kept()) >= 2
    path.unlink()
    upload.forget_missing(demo)
    assert kept() == []
    assert not any(str(path) in files for files in demo.temp_file_sets)
    with pytest.raises(Failed, match="choose it again"):
        visitor.run(functions["classify"], [file, "toy/paper", ["bn"]])


def test_uploads_that_are_held_back_are_bounded_and_make_room(tmp_path):
    limits = Limits(trust_proxy=True, unfinished_per_visitor=400_000, unfinished=600_000, stalled_seconds=0.2)
    with served(build_demo(save_zoo(tmp_path)), limits=limits) as url, contextlib.ExitStack() as stack:
        port, folder = urlsplit(url).port or 0, Path(get_upload_folder())
        before = set(folder.glob("tmp*"))
        held = [stack.enter_context(hold_back(port, "11.0.0.3", 150_000)) for _ in range(2)]
        time.sleep(0.5)
        assert sum(path.stat().st_size for path in set(folder.glob("tmp*")) - before) > 200_000
        one, other = (stack.enter_context(contextlib.closing(Visitor(port, f"11.0.0.{n}"))) for n in (3, 4))
        assert one.upload(bytes(150_000)).status == 429  # as much as one visitor may have under way
        held += [stack.enter_context(hold_back(port, "11.0.0.5", 150_000)) for _ in range(2)]
        time.sleep(0.5)
        assert other.upload(bytes(100_000), name="b.jpg").status == 200
        told, _, _ = select.select(held, [], [], 20)
        assert [each.recv(100)[:13] for each in told] == [b"HTTP/1.1 408 "]
        for each in held:
            each.close()
        time.sleep(0.5)
        assert set(folder.glob("tmp*")) <= before


def test_the_bounds_of_memory_fit_into_what_hosts_are_advised_to_give():
    assert sum(MEMORY.values()) <= ADVISED_BYTES
    advised = set(re.findall(r"--memory (\w+)", (ROOT / "Dockerfile").read_text() + (ROOT / "SECURITY.md").read_text()))
    assert advised == {f"{ADVISED_BYTES >> 30}g"}


def test_a_script_is_compressed_once_and_charged_for(port, visitor, monkeypatch):
    page = visitor.get("/").text
    path = "/" + re.findall(r"(assets/index-[\w-]+\.js)", page)[0]
    compressed = Mock(wraps=brotli_middleware.Compressor)
    monkeypatch.setattr(brotli_middleware, "Compressor", compressed)
    plain = visitor.get(path)
    asked = [{}, {"Range": "bytes=0-99"}, {"If-None-Match": "x"}, {"Accept-Encoding": "gzip, br, zstd"}]
    replies = [visitor.get(f"{path}?{n}", {"Accept-Encoding": "br"} | headers) for n, headers in enumerate(asked)]
    assert {(reply.status, reply.headers["content-encoding"]) for reply in replies} == {(200, "br")}
    assert {brotli_decompress(reply.body) for reply in replies} == {plain.body}
    assert compressed.call_count == 1
    again = visitor.get(path, {"Accept-Encoding": "br", "If-None-Match": replies[0].headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    with contextlib.closing(Visitor(port, "11.0.0.6")) as greedy, contextlib.closing(Visitor(port, "11.0.0.7")) as other:
        monkeypatch.setattr("normzoo.app.server.access._BYTES_PER_TOKEN", 10)
        statuses = [greedy.get(path, {"Accept-Encoding": "br"}).status for _ in range(3)]
        assert statuses[0] == 200
        assert statuses[-1] == 429
        assert other.get("/").status == 200


def test_an_answer_that_was_cut_off_is_not_kept_for_others():
    files, scope = StaticFiles(1000), {"method": "GET", "path": "/a.js", "headers": [(b"accept-encoding", b"gzip")]}
    start = {"type": "http.response.start", "status": 200, "headers": []}
    cut, whole = ([start, {"type": "http.response.body", "body": b"f(", "more_body": True}], [start, {"body": b"f()"}])

    async def ask_thrice():
        answers = iter([cut, whole])

        async def ask(_):
            return next(answers)

        return [(await files.answer(scope, ask))[0][1]["body"] for _ in range(3)]

    assert asyncio.run(ask_thrice())[1:] == [b"f()", b"f()"]
