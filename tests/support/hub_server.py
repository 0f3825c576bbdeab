"""The Hugging Face Hub on this machine: what `snapshot_download` asks for, with real revisions and tokens; and what stands
in for `HfApi`, to write there.
"""

import contextlib
import hashlib
import http.server
import json
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.utils import filter_repo_objects, hf_raise_for_status

WRITE, READ = "hf_write", "hf_read"  # the tokens that it knows; both are of the user `me`


@dataclass
class Repository:
    """Files at every commit; `main` is the last one."""

    private: bool = False
    gated: bool = False
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

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


def _json(value, status=200, **headers):
    return status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers}


def _error(status, code, message):
    return _json({"error": message}, status, **{"X-Error-Code": code, "X-Error-Message": message})


class Hub:
    """What is stored, and what was asked for."""

    def __init__(self):
        self.url = ""
        self.repositories = {}
        self.requests = []
        self.down = False  # every request is answered with an error of the server

    def add(self, name, folder=None, kind="models", **settings):
        """A repository, with the files of a folder as its first commit."""
        repository = self.repositories[kind, name] = Repository(**settings)
        if folder is not None:
            paths = [path for path in folder.rglob("*") if path.is_file()]
            repository.commit({path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})
        return repository

    def answer(self, method, address, token):
        """Status, body and headers."""
        path = unquote(urlsplit(address).path)
        self.requests.append(f"{method} {path}")
        if self.down:
            return _error(503, "", "Service unavailable")
        if token not in (None, WRITE, READ):
            return _error(401, "", "Invalid credentials in Authorization header")
        if match := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+)(?:/.*)?)?", path):
            kind, name, action, revision = match[1], match[2], match[3] or "revision", match[4] or "main"
        elif match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            kind, name, action, revision = "datasets" if match[1] else "models", match[2], "resolve", match[3]
        else:
            return _error(404, "", f"The stand-in has no route {method} {path}")
        repository = self.repositories.get((kind, name))
        if repository is None or (repository.private and token is None):
            unknown = (404, "RepoNotFound", "Repository not found") if token else (401, "", "Invalid username or password.")
            return _error(*unknown)
        if repository.gated:
            return _error(403, "GatedRepo", "Access to this model is restricted")
        if (found := repository.find(revision)) is None:
            return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        sha, files = found
        oids = {name: hashlib.sha1(content).hexdigest() for name, content in files.items()}
        if action == "tree":
            sizes = {name: len(content) for name, content in sorted(files.items())}
            return _json([{"type": "file", "path": name, "size": size, "oid": oids[name]} for name, size in sizes.items()])
        if action == "revision":
            return _json({"id": name, "sha": sha, "private": repository.private, "tags": [], "siblings": []})
        if match[4] not in files:
            return _error(404, "EntryNotFound", "Entry not found")
        return 200, files[match[4]], {"X-Repo-Commit": sha, "ETag": f'"{oids[match[4]]}"'}


class Api:
    """`HfApi` as far as publishing needs it: it keeps what is written, and refuses as the Hub does, in its client's errors."""

    def __init__(self):
        self.repositories = {}  # (kind, name) -> files
        self.token = WRITE

    def create_repo(self, name, repo_type="model", private=None, exist_ok=False, space_sdk=None, space_hardware=None):
        user = name.partition("/")[0]
        status = 401 if self.token not in (WRITE, READ) else 403 if self.token == READ or user not in ("me", "free") else 200
        status = 402 if (status, user, repo_type, space_hardware) == (200, "free", "space", None) else status
        request = httpx2.Request("POST", "https://huggingface.co/api/repos/create")
        hf_raise_for_status(httpx2.Response(status, request=request))
        self.repositories.setdefault((repo_type, name), {})

    def list_repo_files(self, name, repo_type):
        return list(self.repositories[repo_type, name])

    def create_commit(self, name, operations, commit_message, repo_type="model"):
        files = self.repositories[repo_type, name]
        for operation in operations:
            if isinstance(operation, CommitOperationDelete):
                del files[operation.path_in_repo]
            else:
                file = operation.path_or_fileobj
                files[operation.path_in_repo] = file if isinstance(file, bytes) else Path(file).read_bytes()
        return SimpleNamespace(commit_url=f"https://huggingface.co/{name}/commit/0")

    def upload_folder(self, repo_id, folder_path, allow_patterns, commit_message):
        names = filter_repo_objects([path.name for path in folder_path.iterdir()], allow_patterns=allow_patterns)
        operations = [CommitOperationAdd(name, folder_path / name) for name in names]
        return self.create_commit(repo_id, operations, commit_message)


@contextlib.contextmanager
def serve_hub():
    """A Hub at `url`, for as long as the block lasts."""
    hub = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self):
            authorization = self.headers["Authorization"]
            token = authorization and authorization.removeprefix("Bearer ")
            status, body, headers = hub.answer(self.command, self.path, token)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = _answer  # noqa: N815

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
    # Xet has a protocol of its own.
    return settings | {"HF_HUB_DISABLE_XET": "1"} | ({"HF_TOKEN": token} if token else {})
