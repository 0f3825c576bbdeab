"""The Hugging Face Hub on this machine: the routes that its client asks for, with real revisions, tokens and large files.

Found in the client's source (huggingface_hub 2.4): `snapshot_download`, `create_repo`, `list_repo_files`, `create_commit`.
"""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

WRITE, READ = "hf_write", "hf_read"  # the tokens that it knows; both are of the user `me`
FREE_ACCOUNTS = ("free",)


@dataclass
class Repository:
    """Files at every commit; `main` is the last one."""

    private: bool = False
    gated: bool = False
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    creation: dict[str, Any] = field(default_factory=dict)  # what was asked for

    def commit(self, files):
        """Add a commit of exactly these files; gives its hash."""
        listing = "".join(f"{name} {hashlib.sha1(content).hexdigest()}\n" for name, content in sorted(files.items()))
        sha = hashlib.sha1(f"{len(self.commits)}\n{listing}".encode()).hexdigest()
        self.commits.append((sha, dict(files)))
        return sha

    @property
    def files(self):
        return self.commits[-1][1] if self.commits else {}

    def find(self, revision):
        if revision == "main":
            return self.commits[-1] if self.commits else ("0" * 40, {})
        sha = self.tags.get(revision, revision)
        return next((commit for commit in self.commits if commit[0] == sha), None)


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def _json(value, status=200):
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def _error(status, code, message):
    return Answer(status, json.dumps({"error": message}).encode(), {"X-Error-Code": code, "X-Error-Message": message})


NOT_FOUND = _error(404, "RepoNotFound", "Repository not found")
UNAUTHORIZED = _error(401, "", "Invalid username or password.")
FORBIDDEN = _error(403, "", "You don't have the rights to do this")


def is_large(path):
    """What a new repository's .gitattributes gives to large-file storage."""
    return path.endswith(".safetensors")


class Hub:
    """What is stored, and what was asked for."""

    def __init__(self):
        self.url = ""
        self.repositories = {}
        self.large = {}
        self.requests = []
        self.down = False  # every request is answered with an error of the server

    def add(self, name, folder=None, kind="models", **settings):
        """A repository, with the files of a folder as its first commit."""
        repository = self.repositories[kind, name] = Repository(**settings)
        if folder is not None:
            paths = [path for path in folder.rglob("*") if path.is_file()]
            repository.commit({path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})
        return repository

    def answer(self, method, address, token, body):
        path = unquote(urlsplit(address).path)
        self.requests.append(f"{method} {path}")
        if self.down:
            return _error(503, "", "Service unavailable")
        if token is not None and token not in (WRITE, READ):
            return _error(401, "", "Invalid credentials in Authorization header")
        if match := re.fullmatch(r"/large/(\w+)", path):
            return self._large(method, match[1], body)
        if method == "POST" and path == "/api/repos/create":
            return self._create(json.loads(body), token)
        if method == "POST" and path == "/api/validate-yaml":
            return _json({"errors": [], "warnings": []})
        if match := re.fullmatch(
            r"/api/(models|spaces|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info|preupload|commit)/([^/]+)(?:/.*)?)?",
            path,
        ):
            kind, name, action, revision = match[1], match[2], match[3] or "revision", match[4] or "main"
        elif match := re.fullmatch(r"/(spaces/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            kind, name, action, revision = "spaces" if match[1] else "models", match[2], "batch", "main"
        elif match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            kind, name, action, revision = "datasets" if match[1] else "models", match[2], "resolve", match[3]
        else:
            return _error(404, "", f"The stand-in has no route {method} {path}")
        repository = self.repositories.get((kind, name))
        if repository is None or (repository.private and token is None):
            return NOT_FOUND if token else UNAUTHORIZED
        if repository.gated:
            return _error(403, "GatedRepo", "Access to this model is restricted")
        if action in ("preupload", "batch", "commit"):
            return self._write(repository, name, action, token, body)
        found = repository.find(revision)
        if found is None:
            return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if action == "resolve":
            return self._resolve(*found, match[4])
        if action == "tree":
            return _json([_entry(name, content) for name, content in sorted(found[1].items())])
        return _json({"id": name, "sha": found[0], "private": repository.private, "tags": [], "siblings": []})

    def _create(self, asked, token):
        user, name = asked["organization"], asked["name"]
        kind = f"{asked.get('type', 'model')}s"
        if token is None:
            return UNAUTHORIZED
        if (kind, f"{user}/{name}") in self.repositories:
            return _json({"error": "You already created this repo", "url": f"{self.url}/{user}/{name}"}, 409)
        if token != WRITE or user not in ("me", *FREE_ACCOUNTS):
            return FORBIDDEN
        if user in FREE_ACCOUNTS and kind == "spaces" and asked.get("hardware") != "zero-a10g":
            return _error(402, "", "Payment required")
        self.add(f"{user}/{name}", kind=kind, private=asked.get("visibility") == "private").creation = asked
        return _json({"url": f"{self.url}/{'spaces/' if kind == 'spaces' else ''}{user}/{name}"})

    def _write(self, repository, name, action, token, body):
        if token != WRITE or name.partition("/")[0] not in ("me", *FREE_ACCOUNTS):
            return FORBIDDEN
        if action == "preupload":
            paths = [file["path"] for file in json.loads(body)["files"]]
            modes = {path: "lfs" if is_large(path) else "regular" for path in paths}
            return _json({"files": [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]})
        if action == "batch":
            objects = [{"oid": asked["oid"], "size": asked["size"]} for asked in json.loads(body)["objects"]]
            for each in objects:
                if each["oid"] not in self.large:
                    each["actions"] = {"upload": {"href": f"{self.url}/large/{each['oid']}"}}
            return _json({"transfer": "basic", "objects": objects})
        files = dict(repository.files)
        for line in body.splitlines():
            operation = json.loads(line)
            key, value = operation["key"], operation["value"]
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.large[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
        sha = repository.commit(files)
        return _json({"success": True, "commitOid": sha, "commitUrl": f"{self.url}/{name}/commit/{sha}"})

    def _large(self, method, oid, body):
        if method == "PUT":
            if hashlib.sha256(body).hexdigest() != oid:
                return _error(400, "", "These bytes have another sha256")
            self.large[oid] = body
            return Answer(200)
        return Answer(200, self.large[oid]) if oid in self.large else _error(404, "EntryNotFound", "Not found")

    def _resolve(self, sha, files, path):
        if path not in files:
            return _error(404, "EntryNotFound", "Entry not found")
        content, headers = files[path], {"X-Repo-Commit": sha}
        if not is_large(path):
            return Answer(200, content, headers | {"ETag": f'"{hashlib.sha1(content).hexdigest()}"'})
        oid = hashlib.sha256(content).hexdigest()
        self.large[oid] = content
        storage = self.url.replace("127.0.0.1", "localhost")  # another host, as the Hub's is: no token is sent there
        linked = {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(content)), "Location": f"{storage}/large/{oid}"}
        return Answer(302, b"", headers | linked)


def _entry(path, content):
    entry = {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
    if is_large(path):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry


@contextlib.contextmanager
def serve_hub():
    """A Hub at `url`, for as long as the block lasts."""
    hub = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self):
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            if self.headers["Transfer-Encoding"] == "chunked":
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            authorization = self.headers["Authorization"]
            answer = hub.answer(self.command, self.path, authorization and authorization.removeprefix("Bearer "), body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


def client_environment(home, url, token=None):
    """The environment variables with which the Hub's client asks there, with its cache and token under `home` alone."""
    settings = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    # Without Xet, whose storage has a protocol of its own, large files go the way of git-lfs.
    return settings | {"HF_HUB_DISABLE_XET": "1"} | ({"HF_TOKEN": token} if token else {})
