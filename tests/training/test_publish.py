"""Publishing to the Hugging Face Hub: what goes there, that it works there, and a sentence where it does not."""

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest
import yaml

from normzoo.app.core.examples import FOLDER
from normzoo.errors import ConfigError
from normzoo.pretrained.checkpoint import FILES, TABLES
from normzoo.pretrained.registry import get_model_set, load_models
from tests.browser.driver import ROOT, running_server
from tests.support import warm
from tests.support.checkpoints import save_variant
from tests.support.hub_server import READ, WRITE, Api
from tests.support.visitor import Visitor, file_value
from training.cards import repository_card
from training.cli import build_parser, main
from training.publish import _whole_sets, page_files, publish

SET = "toy/paper"
VARIANTS = ("bn", "gn")
#: What Hugging Face's package of this name does, as far as it concerns the page.
SPACES = "def GPU(function, duration): print(f'{function.__name__} may use a GPU for {duration} s', flush=True)"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    for variant in VARIANTS:
        save_variant(root, variant)
    for table in TABLES:
        (root / SET).parent.joinpath(table).write_text("recipe,variant\n")
    return root


@pytest.fixture
def hub(monkeypatch):
    api = Api()
    monkeypatch.setattr("training.publish.HfApi", lambda: api)
    for user in ("training.publish.get_token", "huggingface_hub.get_token"):
        monkeypatch.setattr(user, lambda: api.token)
    return api


def product_files():
    """Every file of the page in this checkout, listed in another way than the code under test does."""
    files = {"README.md", "LICENSE", "requirements.txt", "app.py"}
    for folder, _, names in os.walk(ROOT / "normzoo"):
        if "__pycache__" not in folder:
            files |= {(Path(folder) / name).relative_to(ROOT).as_posix() for name in names}
    untracked = subprocess.run(["git", "ls-files", "-o", "normzoo"], cwd=ROOT, capture_output=True, text=True, check=True)
    return files - set(untracked.stdout.splitlines())


def checkpoint_files(prefix=""):
    data = SET.partition("/")[0]
    return {f"{prefix}{SET}/{variant}/{name}" for variant in VARIANTS for name in FILES} | {
        f"{prefix}{data}/{table}" for table in TABLES
    }


def test_published_models_are_the_packaged_files_with_a_card_and_load(hub, checkpoints, tmp_path):
    assert main(["publish", "models", "me/zoo", f"--checkpoints={checkpoints}"]) == 0
    files = hub.repositories["model", "me/zoo"]
    assert set(files) == checkpoint_files() | {"README.md"}
    assert all(files[name] == (checkpoints / name).read_bytes() for name in checkpoint_files())
    front = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert front["library_name"] == "normzoo"
    values = [metric["value"] for metric in front["model-index"][0]["results"][0]["metrics"]]
    assert values == [json.loads(files[f"{SET}/{v}/metrics.json"])["final"]["val"]["accuracy"]["mean"] for v in VARIANTS]
    assert list(load_models(get_model_set(SET, store(files, tmp_path)))) == list(VARIANTS)


def store(files, folder):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.process
def test_the_space_has_what_the_page_needs_and_starts_from_its_files_alone_on_zero_gpu_too(hub, checkpoints, tmp_path):
    space = hub.repositories["space", "me/page"] = {"normzoo/gone.py": b"old", "note.txt": b"mine", "README.md": b"old"}
    assert main(["publish", "space", "me/page", f"--checkpoints={checkpoints}"]) == 0
    assert set(space) == product_files() | checkpoint_files("checkpoints/") | {"note.txt"}
    front = yaml.safe_load(space["README.md"].decode().split("---\n")[1])
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    assert f"gradio=={front['sdk_version']}\n" in space["requirements.txt"].decode()

    code = store({**space, "spaces.py": SPACES.encode()}, tmp_path / "space")
    with (
        running_server(tmp_path, {"PYTHONPATH": str(ROOT)}, code, warm.Popen) as server,
        contextlib.closing(Visitor(server.port)) as visitor,
    ):
        photo = json.loads(visitor.upload((FOLDER / "cat.jpg").read_bytes()).body)[0]
        outputs = visitor.run(visitor.functions()["classify"], [file_value(photo), SET, list(VARIANTS)])
    assert list(outputs[-1]["networks"]) == list(VARIANTS)
    assert server.outside_calls() == []
    assert "gpu_name may use a GPU for 1 s" in server.log.read_text()


def test_a_dry_run_prints_every_file_and_its_size_and_sends_nothing(hub, checkpoints, capsys):
    hub.token = None
    for what, expected in (
        ("models", checkpoint_files() | {"README.md"}),
        ("space", product_files() | checkpoint_files("checkpoints/")),
    ):
        assert main(["publish", what, "me/new", f"--checkpoints={checkpoints}", "--dry-run"]) == 0
        *lines, end = capsys.readouterr().out.splitlines()
        listed = dict(reversed(line.split(None, 1)) for line in lines)
        assert set(listed) == expected
        assert end.startswith(f"{len(listed)} files, ")
    assert listed["app.py"] == f"{(ROOT / 'app.py').stat().st_size:,}"
    assert hub.repositories == {}


def test_only_tracked_files_and_the_sets_that_are_named_go_and_the_licence_is_the_one_that_is_given(checkpoints, tmp_path):
    (tmp_path / "normzoo").mkdir()
    for name in ("README.md", "LICENSE", "requirements.txt", "app.py", "normzoo/page.py"):
        (tmp_path / name).write_text("")
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / "normzoo/my-secret.txt").write_text("")
    assert set(page_files(tmp_path)) == {"README.md", "LICENSE", "requirements.txt", "app.py", "normzoo/page.py"}

    shutil.copytree(checkpoints / "toy", tmp_path / "zoo/toy")
    shutil.copytree(checkpoints / "toy", tmp_path / "zoo/pets")
    options = build_parser().parse_args(["publish", "models", "me/pets", "--only=pets/paper,lr=0.1", "--only=toy/paper"])
    assert options.only == ["pets/paper,lr=0.1", "toy/paper"]  # a comma is part of a name
    lines = []
    publish("me/pets", "models", tmp_path / "zoo", ["pets/paper"], dry_run=True, say=lines.append)
    assert {line.split()[1].partition("/")[0] for line in lines[:-1]} == {"README.md", "pets"}
    with pytest.raises(ConfigError, match="Unknown model set 'pets/strong'"):
        publish("me/pets", "models", tmp_path / "zoo", ["pets/strong"], dry_run=True)
    sets = _whole_sets(tmp_path / "zoo", ["pets/paper"])
    for license in (None, "mit"):
        front = yaml.safe_load(repository_card("me/pets", sets, license).split("---\n")[1])
        assert front.get("license") == license


@pytest.mark.parametrize(
    ("token", "what", "name", "sentence"),
    [
        (None, "models", "me/new", "The Hugging Face Hub needs a token"),
        (READ, "models", "me/new", "Your token has no right to do this with me/new: use one that has"),
        (WRITE, "models", "you/new", "Your token has no right to do this with you/new: use one that has"),
        ("hf_old", "models", "me/new", "The Hugging Face Hub rejected your token. Run `hf auth login` again"),
        (WRITE, "space", "free/page", "The Hugging Face Hub asks for a paid account for free/page"),
        (WRITE, "models", "zoo", "'zoo' is not a valid repository name on the Hugging Face Hub"),
        (WRITE, "models", "me/zoo/toy", "'me/zoo/toy' is not a valid repository name on the Hugging Face Hub"),
        ("no network", "models", "me/new", "The Hugging Face Hub cannot be reached"),
    ],
)
def test_what_the_hub_does_not_take_is_told_in_a_sentence(token, what, name, sentence, hub, checkpoints, monkeypatch, capsys):
    hub.token = token
    if token == "no network":

        def fail(*_, **__):
            raise httpx2.ConnectError("no route")

        monkeypatch.setattr(hub, "create_repo", fail)
    assert main(["publish", what, name, f"--checkpoints={checkpoints}"]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(sentence)
    assert told.out == ""
    assert hub.repositories == {}


def test_nothing_is_published_while_a_network_is_damaged(hub, tmp_path, capsys):
    (save_variant(tmp_path, "bn") / "val_logits.safetensors").write_bytes(b"")
    assert main(["publish", "space", "me/page", f"--checkpoints={tmp_path}"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == "A network is damaged, so nothing is published."
    assert second.startswith("toy/paper/bn: ")
    assert hub.repositories == {}
