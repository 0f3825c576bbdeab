"""Publishing to the Hugging Face Hub: what goes there, that it works there, and a sentence where it does not."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from normzoo.app.core.examples import FOLDER
from normzoo.errors import ConfigError
from normzoo.pretrained.checkpoint import FILES, TABLES
from tests.browser.driver import ROOT, running_server
from tests.support import warm
from tests.support.checkpoints import save_variant
from tests.support.hub_server import READ, WRITE, client_environment, serve_hub
from tests.support.page import free_port
from tests.support.visitor import Visitor, file_value
from training.cards import repository_card
from training.cli import build_parser
from training.publish import _whole_sets, page_files
from training.publish import publish as publish_here

pytestmark = pytest.mark.process

SET = "toy/paper"
VARIANTS = ("bn", "gn")
#: Runs each of the command lines that it is given, with the token beside it; prints the exit codes.
COMMANDS = """
import json, os, sys
from training.cli import main
for token, arguments in json.loads(sys.argv[1]):
    os.environ.pop("HF_TOKEN", None)
    os.environ.update({"HF_TOKEN": token} if token else {})
    print(main(["publish", *arguments]), flush=True)
"""
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


@pytest.fixture(scope="module")
def hub():
    with serve_hub() as hub:
        hub.add("you/theirs")
        yield hub


def publish(commands, url, folder):
    """Publish for real, in a process of its own; gives the exit codes, the other lines, and the errors."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "NORMZOO_"))}
    environment = {**inherited, **client_environment(folder / "home", url), "PYTHONPATH": str(ROOT)}
    exit_code, printed, errors = warm.run([sys.executable, "-c", COMMANDS, json.dumps(commands)], folder, environment)
    assert exit_code == 0, errors
    lines = printed.splitlines()
    return [int(line) for line in lines if line.isdecimal()], [x for x in lines if not x.isdecimal()], errors.splitlines()


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


@pytest.fixture(scope="module")
def published(hub, checkpoints, tmp_path_factory):
    """What was said while both were published; an earlier version had left a file in the Space, and somebody a note."""
    space = hub.add("me/page", kind="spaces")
    space.commit({"normzoo/gone.py": b"old", "note.txt": b"mine", "README.md": b"old"})
    where = ["--checkpoints", str(checkpoints)]
    commands = [(WRITE, ["models", "me/zoo", *where]), (WRITE, ["space", "me/page", *where])]
    codes, lines, errors = publish(commands, hub.url, tmp_path_factory.mktemp("published"))
    assert (codes, errors) == ([0, 0], [])
    return lines


def test_published_models_are_the_packaged_files_with_a_card_and_load_by_name(published, hub, checkpoints, tmp_path):
    files = hub.repositories["models", "me/zoo"].files
    assert set(files) == checkpoint_files() | {"README.md"}
    assert all(files[name] == (checkpoints / name).read_bytes() for name in checkpoint_files())
    front = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert front["library_name"] == "normzoo"
    values = [metric["value"] for metric in front["model-index"][0]["results"][0]["metrics"]]
    assert values == [json.loads(files[f"{SET}/{v}/metrics.json"])["final"]["val"]["accuracy"]["mean"] for v in VARIANTS]
    code = "import normzoo; print(*normzoo.load_models('hf://me/zoo'))"
    environment = {**os.environ, **client_environment(tmp_path, hub.url), "PYTHONPATH": str(ROOT)}
    _, loaded, _ = warm.run([sys.executable, "-c", code], tmp_path, environment)
    assert loaded.split() == list(VARIANTS)


def test_the_space_holds_what_the_page_needs_loses_what_is_old_and_keeps_what_is_not_ours(published, hub):
    space = hub.repositories["spaces", "me/page"]
    assert set(space.files) == product_files() | checkpoint_files("checkpoints/") | {"note.txt"}
    assert len(space.commits) == 2
    front = yaml.safe_load(space.files["README.md"].decode().split("---\n")[1])
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    assert f"gradio=={front['sdk_version']}\n" in space.files["requirements.txt"].decode()


def test_the_space_starts_from_its_files_alone_and_classifies_a_photo_on_zero_gpu_too(published, hub, tmp_path):
    code = tmp_path / "space"
    for name, content in hub.repositories["spaces", "me/page"].files.items():
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        (code / name).write_bytes(content)
    (code / "spaces.py").write_text(SPACES)
    with (
        running_server(tmp_path, {"PYTHONPATH": str(ROOT)}, code, warm.Popen) as server,
        contextlib.closing(Visitor(server.port)) as visitor,
    ):
        photo = json.loads(visitor.upload((FOLDER / "cat.jpg").read_bytes()).body)[0]
        outputs = visitor.run(visitor.functions()["classify"], [file_value(photo), SET, list(VARIANTS)])
    assert list(outputs[-1]["networks"]) == list(VARIANTS)
    assert server.outside_calls() == []
    assert "gpu_name may use a GPU for 1 s" in server.log.read_text()


def test_a_dry_run_prints_every_file_and_its_size_and_sends_nothing(hub, checkpoints, tmp_path):
    hub.requests.clear()
    dry = ["--checkpoints", str(checkpoints), "--dry-run"]
    codes, lines, errors = publish([(None, ["models", "me/new", *dry]), (None, ["space", "me/new", *dry])], hub.url, tmp_path)
    assert (codes, errors, hub.requests) == ([0, 0], [], [])
    ends = [number for number, line in enumerate(lines) if line.endswith("Nothing was uploaded.")]
    listed = [dict(reversed(line.split(None, 1)) for line in part) for part in (lines[: ends[0]], lines[ends[0] + 1 : ends[1]])]
    assert set(listed[0]) == checkpoint_files() | {"README.md"}
    assert set(listed[1]) == product_files() | checkpoint_files("checkpoints/")
    assert listed[1]["app.py"] == f"{(ROOT / 'app.py').stat().st_size:,}"
    assert lines[ends[1]].startswith(f"{len(listed[1])} files, ")


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
    publish_here("me/pets", "models", tmp_path / "zoo", ["pets/paper"], dry_run=True, say=lines.append)
    assert {line.split()[1].partition("/")[0] for line in lines[:-1]} == {"README.md", "pets"}
    with pytest.raises(ConfigError, match="Unknown model set 'pets/strong'"):
        publish_here("me/pets", "models", tmp_path / "zoo", ["pets/strong"], dry_run=True)
    sets = _whole_sets(tmp_path / "zoo", ["pets/paper"])
    for license in (None, "mit"):
        front = yaml.safe_load(repository_card("me/pets", sets, license).split("---\n")[1])
        assert front.get("license") == license


def test_what_the_hub_does_not_take_is_told_in_a_sentence(hub, checkpoints, tmp_path):
    where = ["--checkpoints", str(checkpoints)]
    expected = {
        (None, "models", "me/new"): "The Hugging Face Hub needs a token",
        (READ, "models", "me/new"): "Your token has no right to do this with me/new: use one that has",
        (WRITE, "models", "you/theirs"): "Your token has no right to do this with you/theirs: use one that has",
        (WRITE, "models", "you/new"): "Your token has no right to do this with you/new: use one that has",
        ("hf_old", "models", "me/new"): "The Hugging Face Hub rejected your token. Run `hf auth login` again",
        (WRITE, "space", "free/page"): "The Hugging Face Hub asks for a paid account for free/page",
        (WRITE, "models", "zoo"): "'zoo' is not a valid repository name on the Hugging Face Hub",
        (WRITE, "models", "me/zoo/toy"): "'me/zoo/toy' is not a valid repository name on the Hugging Face Hub",
    }
    commands = [(token, [what, name, *where]) for token, what, name in expected]
    codes, lines, errors = publish(commands, hub.url, tmp_path)
    assert (codes, lines, len(errors)) == ([2] * len(expected), [], len(expected))
    assert [(error, start) for error, start in zip(errors, expected.values(), strict=True) if not error.startswith(start)] == []


def test_without_a_network_a_sentence_says_so(checkpoints, tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    codes, _, errors = publish([(WRITE, ["models", "me/zoo", "--checkpoints", str(checkpoints)])], url, tmp_path)
    assert codes == [2]
    assert [error.partition(",")[0] for error in errors] == ["The Hugging Face Hub cannot be reached"]


def test_nothing_is_published_while_a_network_is_damaged_or_where_there_is_none(hub, tmp_path):
    folder = save_variant(tmp_path / "damaged", "bn")
    (folder / "val_logits.safetensors").write_bytes(b"")
    hub.requests.clear()
    places = [tmp_path / "damaged", tmp_path / "empty"]
    codes, _, errors = publish(
        [(WRITE, ["space", "me/page", "--checkpoints", str(path)]) for path in places], hub.url, tmp_path
    )
    assert (codes, hub.requests) == ([2, 2], [])
    assert errors[0] == "A network is damaged, so nothing is published."
    assert errors[1].startswith("toy/paper/bn: ")
    assert errors[2].startswith(f"No packaged checkpoint under {tmp_path / 'empty'}.")
