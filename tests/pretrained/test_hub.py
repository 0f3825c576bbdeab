"""Model sets from the Hugging Face Hub, by its real client, from a stand-in that answers over HTTP."""

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from normzoo.app.core.examples import FOLDER
from normzoo.pretrained.checkpoint import FILES, TABLES
from normzoo.pretrained.hub import HubId
from normzoo.pretrained.registry import Model
from tests.browser.driver import ROOT, running_server
from tests.support import warm
from tests.support.checkpoints import save_variant
from tests.support.hub_server import READ, Api, client_environment, serve_hub
from tests.support.visitor import Visitor, file_value, free_port

pytestmark = pytest.mark.process

SET = "toy/paper"
VARIANTS = ("bn", "gn")
PREAMBLE = "import json, sys\nimport normzoo\nfrom normzoo.pretrained.registry import checkpoints_root\n"
#: Prints what each of the names on the command line leads to: the networks, or the sentence that says why there are none.
LOAD = """
for name in sys.argv[1:]:
    try:
        print(json.dumps(list(normzoo.load_models('hf://' + name))))
    except normzoo.NormZooError as error:
        print(json.dumps(str(error)))
"""


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    """A repository as it is published, with things in it that nobody should fetch."""
    root = tmp_path_factory.mktemp("packaged")
    for variant in VARIANTS:
        save_variant(root, variant)
    for name in ("README.md", "code.py", f"{SET}/bn/pytorch_model.bin", f"{SET}/bn/more/model.safetensors", "toy/config.json"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"not one of ours")
    for table in TABLES:
        (root / "toy" / table).write_text("recipe,variant\n")
    return root


@pytest.fixture(scope="module")
def hub(packaged, tmp_path_factory):
    with serve_hub() as hub:
        first = hub.add("you/zoo", packaged)
        first.tags["v1"] = first.commits[0][0]
        newer = tmp_path_factory.mktemp("newer")
        save_variant(newer, "bn", epochs=5)
        first.commit({**first.files, **_contents(newer)})
        hub.add("you/private", packaged, private=True)
        hub.add("you/gated", packaged, gated=True)
        hub.add("you/other").commit({"README.md": b"a language model", "model.safetensors": b"large"})
        two = hub.add("you/two", packaged)
        two.commit({**two.files, **{name.replace(SET, "toy/strong"): content for name, content in two.files.items()}})
        yield hub


def _contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(code, *arguments, environment, folder):
    """Run some code in a process of its own; gives what it printed, each line as JSON."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "NORMZOO_"))}
    settings = {**inherited, "PYTHONPATH": str(ROOT), "NORMZOO_CHECKPOINTS": str(folder / "nothing"), **environment}
    exit_code, printed, errors = warm.run([sys.executable, "-c", PREAMBLE + code, *arguments], folder, settings)
    assert exit_code == 0, errors
    return [json.loads(line) for line in printed.splitlines()]


@pytest.fixture(scope="module")
def fetched(hub, tmp_path_factory):
    """A cache with `you/zoo` in it: its environment and folder, and what was asked of the Hub to fill it."""
    folder = tmp_path_factory.mktemp("fetched")
    environment = client_environment(folder / "home", hub.url)
    hub.requests.clear()
    assert run(LOAD, "you/zoo", environment=environment, folder=folder) == [list(VARIANTS)]
    return environment, folder, list(hub.requests)


def test_exactly_the_packaged_files_are_fetched(fetched, packaged):
    requests = [request.partition("/resolve/")[2] for request in fetched[2]]
    asked = {request.partition("/")[2] for request in requests if request}
    files = {f"{SET}/{variant}/{file}" for variant in VARIANTS for file in FILES if (packaged / SET / variant / file).is_file()}
    assert asked == files | {f"toy/{table}" for table in TABLES}


@pytest.mark.parametrize("offline", ["the Hub has nothing new", "HF_HUB_OFFLINE", "the network is gone"])
def test_what_was_fetched_is_not_fetched_again_and_works_without_a_network(fetched, hub, offline):
    environment, folder, _ = fetched
    changes = {
        "HF_HUB_OFFLINE": {"HF_HUB_OFFLINE": "1"},
        "the network is gone": {"HF_ENDPOINT": f"http://127.0.0.1:{free_port()}"},
    }
    hub.requests.clear()
    names = ["you/zoo", f"you/zoo/{SET}"]
    found = run(LOAD, *names, environment={**environment, **changes.get(offline, {})}, folder=folder)
    assert found == [list(VARIANTS)] * 2
    assert hub.requests == ([] if offline in changes else ["GET /api/models/you/zoo/revision/main"] * 2)


def test_one_variant_an_older_revision_and_a_private_repository(hub, tmp_path):
    code = """
for name in sys.argv[1:]:
    model = normzoo.load_model('hf://' + name)
    print(json.dumps(model.variant))
print(json.dumps([len(model_set.checkpoints["bn"].history()) for model_set in (
    normzoo.list_model_sets(checkpoints_root(place))[0] for place in ("hf://you/zoo", "hf://you/zoo@v1", "hf://you/zoo@main"))]))
"""
    environment = client_environment(tmp_path / "home", hub.url, READ)
    hub.requests.clear()
    names = [f"you/zoo/{SET}/gn@v1", f"you/private/{SET}/bn"]
    found = run(code, *names, environment=environment, folder=tmp_path)
    assert found == ["gn", "bn", [10, 6, 10]]
    first = hub.requests[: hub.requests.index("GET /api/models/you/private/revision/main")]
    others = [request for request in first if "/resolve/" in request and f"/{SET}/gn/" not in request]
    assert {request.rpartition("/toy/")[2] for request in others} == set(TABLES)


def test_a_network_in_a_repository_of_its_own(hub, packaged, tmp_path, monkeypatch):
    api = Api()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)
    assert "/me/gn/commit/" in Model.from_pretrained(packaged / SET / "gn").push_to_hub("me/gn")
    files = api.repositories["model", "me/gn"]
    assert files == _contents(packaged / SET / "gn")
    hub.add("me/gn").commit(files)
    code = "print(json.dumps(normzoo.Model.from_pretrained('hf://me/gn').variant))"
    assert run(code, environment=client_environment(tmp_path / "home", hub.url), folder=tmp_path) == ["gn"]


SENTENCES = {
    "you/none": "You have no access to you/none on the Hugging Face Hub, or it does not exist. Check the name; if it is "
    "private, run `hf auth login` or set HF_TOKEN.",
    "you/private": "You have no access to you/private on the Hugging Face Hub, or it does not exist. Check the name; if it is "
    "private, run `hf auth login` or set HF_TOKEN.",
    "you/gated": "you/gated is gated. Accept its terms on its page on the Hugging Face Hub, then run `hf auth login`.",
    "you/zoo@v9": "you/zoo has no such revision. Give one of its branches, tags or commits after the @.",
    "you/other": "you/other on the Hugging Face Hub has no NormZoo checkpoint. Give a repository whose folders are "
    "<data set>/<recipe>/<variant>.",
    "you/zoo/birds": "you/zoo on the Hugging Face Hub has no NormZoo checkpoint under birds. Give a repository whose "
    "folders are <data set>/<recipe>/<variant>.",
    "you/two": "'hf://you/two' must have one model set, got 2. Choose one of: hf://you/two/toy/paper, hf://you/two/toy/strong.",
    "you--me/zoo": "'you--me/zoo' is not a valid repository name on the Hugging Face Hub. Give user/repo.",
}


def test_what_cannot_be_had_is_told_in_a_sentence(hub, tmp_path):
    environment = client_environment(tmp_path / "home", hub.url)
    assert run(LOAD, *SENTENCES, environment=environment, folder=tmp_path) == list(SENTENCES.values())


def test_a_name_without_the_prefix_never_asks_the_hub(hub, tmp_path):
    environment = client_environment(tmp_path / "home", hub.url)
    hub.requests.clear()
    code = LOAD.replace("'hf://' + name", "name") + LOAD.replace("'hf://' + name", "checkpoints_root(name) / 'bn'").replace(
        "load_models", "load_model"
    )
    found = run(code, "you/zoo", environment=environment, folder=tmp_path)
    assert all("There is no" in str(sentence) for sentence in found), found
    assert hub.requests == []


@pytest.mark.parametrize("cause", ["the network is gone", "HF_HUB_OFFLINE", "the Hub is ill", "half of it was fetched"])
def test_without_the_hub_and_without_a_cache_a_sentence_says_so(cause, hub, fetched, tmp_path):
    environment, folder = client_environment(tmp_path / "home", hub.url), tmp_path
    if cause == "HF_HUB_OFFLINE":
        environment["HF_HUB_OFFLINE"] = "1"
    elif cause == "the network is gone":
        environment["HF_ENDPOINT"] = f"http://127.0.0.1:{free_port()}"
    elif cause == "half of it was fetched":
        shutil.copytree(Path(fetched[0]["HF_HOME"]), tmp_path / "home", symlinks=True)
        next((tmp_path / "home").rglob("snapshots/*/toy/paper/gn/history.csv")).unlink()
        environment["HF_ENDPOINT"] = f"http://127.0.0.1:{free_port()}"
    hub.down = cause == "the Hub is ill"
    try:
        (sentence,) = run(LOAD, "you/zoo", environment=environment, folder=folder)
    finally:
        hub.down = False
    if cause == "the Hub is ill":
        assert sentence == "The Hugging Face Hub answered you/zoo with the error 503: try again later."
    else:
        assert str(sentence).startswith("The Hugging Face Hub cannot be reached, and you/zoo is not in the cache.")


def test_the_page_shows_the_networks_of_a_repository(hub, tmp_path):
    places = {"NORMZOO_CHECKPOINTS": "hf://you/zoo", "PYTHONPATH": str(ROOT)}
    settings = client_environment(tmp_path / "home", hub.url) | places
    hub.requests.clear()
    with running_server(tmp_path, settings, popen=warm.Popen) as server, contextlib.closing(Visitor(server.port)) as visitor:
        photo = json.loads(visitor.upload((FOLDER / "cat.jpg").read_bytes()).body)[0]
        outputs = visitor.run(visitor.functions()["classify"], [file_value(photo), SET, list(VARIANTS)])
        assert list(outputs[-1]["networks"]) == list(VARIANTS)
    assert hub.requests.count("GET /api/models/you/zoo/revision/main") == 1
    assert server.outside_calls() == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://user/repo", HubId("user/repo")),
        ("hf://user/repo@v1", HubId("user/repo", "", "v1")),
        ("hf://user/my.zoo_2/birds/strong/bn@refs/pr/1", HubId("user/my.zoo_2", "birds/strong/bn", "refs/pr/1")),
        *(
            (f"hf://{text}", None)
            for text in ["user", "/user/repo", "./user/repo", "../a/b", "a//b", "a/b/", "a/b/../c", "a/b/1/2/3/4"]
        ),
        *((f"hf://{text}", None) for text in ("", "user/repo@", "~/zoo", "C:\\user/repo", "user name/repo", "user/répo")),
        *((text, None) for text in ("user/repo", "tiny-imagenet-25/paper", "hf:/user/repo", "HF://user/repo")),
    ],
)
def test_what_is_a_name_on_the_hub(text, expected):
    assert HubId.parse(text) == expected
