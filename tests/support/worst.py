"""The worst that visitors may ask of the page, all at once; and what it takes in memory meanwhile."""

import contextlib
import itertools
import json
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from normzoo.app.core.examples import FOLDER
from tests.support.image_files import plain, save, zipped
from tests.support.visitor import API, Failed, Reply, Visitor, file_value

PHOTO = (FOLDER / "cat.jpg").read_bytes()
CHOICE = ["batch", 16, "everybody", 64, "none", 5, False]


@dataclass
class Answers:
    """What visitors were told: how many got what they asked for, and each sentence that others read."""

    good: int = 0
    sentences: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def told(self):
        """Note how one request ends."""
        try:
            yield
            self.good += 1
        except Failed as error:
            reply = error.args[0]
            self.sentences.add(reply.sentence if isinstance(reply, Reply) else str(reply))
        except Exception as error:  # whatever it is, no visitor should meet it
            self.broken.append(repr(error))


def large_pictures():
    """Pictures that take as much memory while they are decoded as any that the page takes."""
    return [
        save(plain("orange", mode, size), kind, **options)
        for size, mode, kind, options in (
            ((8000, 6200), "RGBA", "AVIF", {"speed": 10, "subsampling": "4:4:4"}),
            ((6000, 4900), "RGBA", "WEBP", {"lossless": True, "method": 0}),
            ((8000, 6200), "CMYK", "JPEG", {"progressive": True}),
            ((3500, 2200), "RGBA", "WEBP", {"lossless": True, "method": 0}),
        )
    ]


def archive_of_small(number):
    """64 photos of 64 pixels in a .zip; no other number has the same."""
    colours = [(number % 256, place, number // 256) for place in range(64)]
    return zipped({f"{colour[1]}.png": save(plain(colour, size=(64, 64)), "PNG") for colour in colours})


def hold_back(port, address, size=19_000_000):
    """Send an upload but for its last byte."""
    head = f"POST {API}/upload HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {address}\r\nContent-Length: {size}\r\n"
    part = '--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    held = socket.create_connection(("127.0.0.1", port), timeout=60)
    with contextlib.suppress(OSError):  # refused while it is sent
        held.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n{part}".encode())
        held.sendall(bytes(size - len(part) - 1))
    return held


def ask_for_the_worst(port, model_set, variants, uploads=30, sessions=50, sets=10):
    """Ask for it from many addresses, which the server has to believe; one visitor asks for what everybody does.

    Args:
        uploads: of 17 MB, which are not asked about.
        sessions: visitors with a small photo.
        sets: visitors with 64 photos each.
    """
    answers, numbers, large = Answers(), itertools.count(1), large_pictures()
    with contextlib.closing(Visitor(port)) as visitor:
        functions = visitor.functions()

    def as_visitor(work):
        number = next(numbers)
        with contextlib.closing(Visitor(port, f"11.{number // 250}.{number % 250}.1", 300)) as visitor, answers.told():
            work(visitor)

    def upload(visitor, content):
        reply = visitor.upload(content)
        if reply.status != 200:
            raise Failed(reply)
        return json.loads(reply.body)[0]

    def classify(content):
        return lambda visitor: visitor.run(functions["classify"], [file_value(upload(visitor, content)), model_set, variants])[
            -1
        ]["networks"]

    def many(number):
        return lambda visitor: visitor.run(
            functions["many_photos"], [[{"path": upload(visitor, archive_of_small(number))}], model_set, variants[:1], *CHOICE]
        )

    fill = [
        lambda visitor, number=number: upload(visitor, PHOTO + number.to_bytes(4, "big") + os.urandom(16_900_000))
        for number in range(uploads)
    ]
    work = [classify(content + bytes(number)) for number in range(4) for content in large]
    work += [many(number) for number in range(sets)]
    work += [classify(PHOTO + number.to_bytes(4, "big")) for number in range(sessions)]
    order = [each for group in itertools.zip_longest(*(work[start::8] for start in range(8))) for each in group if each]
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(16) as pool:
        list(pool.map(as_visitor, fill))
        for number in range(12):
            stack.callback(hold_back(port, f"12.0.{number // 4}.1").close)
        list(pool.map(as_visitor, order))
    return answers


class Watch:
    """The most that a process has in memory of its own, with the files in a folder, in bytes."""

    def __init__(self, process_id, folder):
        self._process_id, self._folder = process_id, folder
        self.most = self.most_files = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _look(self):
        while not self._over.wait(0.02):
            files = 0
            for path in self._folder.rglob("*"):
                with contextlib.suppress(OSError):
                    files += path.stat().st_size if path.is_file() else 0
            self.most_files = max(self.most_files, files)
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{self._process_id}/status").read_text()
                resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))
                self.most = max(self.most, files + resident * 1024)
