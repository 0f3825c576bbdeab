"""A custom norm from its file to the page: trained, packaged, checked, shown; its code never run unasked."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from torch.nn import BatchNorm2d

from normzoo.__main__ import main as normzoo_main
from normzoo.analysis.results import final_metrics
from normzoo.app import build_demo
from normzoo.app.components import cubes
from normzoo.errors import CheckpointError, ConfigError, HubError
from normzoo.nn.own_norm import COPY, NAMES_VARIABLE, forget_own_norms, name_own_norm
from normzoo.nn.registry import NORM_LAYERS, describe_norm
from normzoo.plotting.matplotlib import _MARKERS
from normzoo.plotting.spec import MARKERS, OTHER_COLOURS, OTHER_MARKERS, style_of
from normzoo.pretrained.checkpoint import open_checkpoint
from normzoo.pretrained.hub import HubId, download
from normzoo.pretrained.registry import get_model_set, load_model, load_models
from normzoo.variants import Variant
from tests.support import warm
from tests.support.tiny import OPTIONS, ROOT, load_tiny
from training import benchmark
from training import cli as command_line
from training.config import Run
from training.launch import local
from training.publish import publish
from training.runs import State
from training.verify import _check_folder

SET = "tiny/paper,depth=8,image_size=16,epochs=1,batch_size=40,lr=0.01"
FRN = ROOT / "examples" / "frn.py"


@pytest.fixture(autouse=True)
def _own_process(monkeypatch):
    """Each test begins as a new process does: no norm is named."""
    forget_own_norms()
    monkeypatch.delenv(NAMES_VARIABLE, raising=False)
    yield
    forget_own_norms()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the person's file, the images, a run and its checkpoint."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copy(FRN, folder / "my_norms.py")
    load_tiny(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORMZOO_DATA", str(folder / "data"))
        for norm in (f"{folder / 'my_norms.py'}:FRN", "gn"):
            assert command_line.main(["train", f"--norm={norm}", *OPTIONS, "--epochs=1", f"--runs={folder / 'runs'}"]) == 0
        assert command_line.main(["package", f"--runs={folder / 'runs'}", f"--checkpoints={folder / 'checkpoints'}"]) == 0
    forget_own_norms()
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy of it that a test may change."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    return tmp_path


def own(folder):
    return f"{folder / 'my_norms.py'}:FRN"


def test_run_and_checkpoint_carry_the_hash_of_the_file_and_a_copy_as_text_and_those_of_the_zoo_do_not(folder):
    seed, checkpoint = folder / "runs" / SET / "FRN" / "seed-0", open_checkpoint(folder / "checkpoints" / SET / "FRN")
    run = State.load(seed).run
    assert (run.norm, run.variant, len(run.norm_sha256)) == ("FRN", "FRN", 64)
    assert json.loads((seed / "run.json").read_text())["norm_sha256"] == run.norm_sha256
    assert Run.from_dict(run.to_dict()) == run
    assert (checkpoint.config.norm, checkpoint.config.norm_sha256) == ("FRN", run.norm_sha256)
    assert (seed / COPY).read_bytes() == (checkpoint.folder / COPY).read_bytes() == FRN.read_bytes()
    assert not list(checkpoint.folder.glob("*.py"))
    assert "norm_sha256" not in State.load(folder / "runs" / SET / "gn" / "seed-0").run.to_dict()
    assert "norm_sha256" not in (folder / "checkpoints" / SET / "gn" / "config.json").read_text()
    assert not (folder / "checkpoints" / SET / "gn" / COPY).exists()


def test_its_code_is_not_run_unless_the_user_says_so_and_the_others_are_loaded_all_the_same(folder):
    with pytest.raises(CheckpointError, match="FRN is a custom norm, whose code runs only if you allow it") as told:
        load_model(folder / "checkpoints" / SET / "FRN")
    assert f"Read {SET}/FRN/{COPY}, then" in str(told.value), "visitors of the page read it: no path of the host"
    assert "FRN" not in NORM_LAYERS
    model_set = get_model_set(SET, folder / "checkpoints")
    assert list(load_models(model_set)) == model_set.main_variants == ["gn"]
    assert list(final_metrics(model_set, ["gn", "FRN"]).frame["variant"]) == ["gn", "FRN"]
    name_own_norm(own(folder))
    models = load_models(get_model_set(SET, folder / "checkpoints"))
    assert list(models) == ["gn", "FRN"]
    assert type(models["FRN"].network.norm1).__name__ == "FRN"


def test_it_loads_where_the_environment_names_the_file(folder, monkeypatch, capsys):
    monkeypatch.setenv(NAMES_VARIABLE, own(folder))
    photo = ROOT / "normzoo" / "app" / "photos" / "cat.jpg"
    assert normzoo_main(["predict", str(photo), "--model-set", SET, "--checkpoints", str(folder / "checkpoints")]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("FRN")


def test_another_text_of_the_file_is_refused_and_a_run_does_not_go_on_with_it(folder, capsys):
    path = folder / "my_norms.py"
    path.write_text(path.read_text() + "\n# changed\n")
    name_own_norm(own(folder))
    with pytest.raises(CheckpointError, match="FRN was trained with another version of"):
        load_model(folder / "checkpoints" / SET / "FRN")
    code = command_line.main(["train", f"--norm={own(folder)}", *OPTIONS, "--epochs=1", f"--runs={folder / 'runs'}"])
    assert code == 2
    assert "norm_sha256" in capsys.readouterr().err


def test_the_copy_is_sent_to_the_hub_and_fetched_from_there_as_text(folder, monkeypatch):
    lines = []
    name_own_norm(own(folder))
    publish("user/zoo", "models", folder / "checkpoints", dry_run=True, say=lines.append)
    assert any(f"FRN/{COPY}" in line for line in lines)
    asked = {}
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda repository, **options: asked.update(options) or folder)
    with pytest.raises(HubError, match="has no NormZoo checkpoint"):
        download(HubId("user/zoo", "no/such/set"))
    assert f"no/such/set/{COPY}" in asked["allow_patterns"]


def test_packaging_leaves_out_what_it_may_not_build_and_says_so(folder, capsys):
    shutil.rmtree(folder / "checkpoints")
    assert command_line.main(["package", f"--runs={folder / 'runs'}", f"--checkpoints={folder / 'checkpoints'}"]) == 0
    assert "FRN is a custom norm" in capsys.readouterr().out
    assert not (folder / "checkpoints" / SET / "FRN").exists()
    arguments = ["package", f"--norm={own(folder)}", f"--runs={folder / 'runs'}", f"--checkpoints={folder / 'checkpoints'}"]
    assert command_line.main(arguments) == 0
    assert (folder / "checkpoints" / SET / "FRN").exists()


def test_evaluating_finds_every_figure_again(folder):
    assert "whose code runs only" in _check_folder(folder / "checkpoints" / SET / "FRN")[1][0]
    name_own_norm(own(folder))
    assert _check_folder(folder / "checkpoints" / SET / "FRN")[1] == []


def test_the_report_has_it(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("normzoo.plotting.matplotlib.to_svg", lambda *_: "")  # it is about the words
    out = tmp_path / "out"
    arguments = [f"--norm={own(folder)}", f"--checkpoints={folder / 'checkpoints'}", f"--out={out}"]
    assert command_line.main(["report", *arguments]) == 0
    text = (out / "RESULTS.md").read_text()
    assert "FRN, filter response normalization" in text
    assert "--norm gn,norm.py:FRN" in text


def test_the_page_has_it_where_it_is_named_and_the_others_where_it_is_not(folder):
    def named():
        return json.dumps(build_demo(folder / "checkpoints").get_config_file(), default=str)

    name_own_norm(own(folder))
    assert "ilter response normalization" in named()
    forget_own_norms()
    assert "roup normalization" in named()


def test_a_dry_run_checks_the_layer_first(folder, capsys):
    arguments = ["train", *OPTIONS, "--epochs=1", f"--runs={folder / 'new'}", "--dry-run"]
    assert command_line.main([*arguments, f"--norm={own(folder)}"]) == 0
    assert "✓ FRN passed all" in capsys.readouterr().out
    (folder / "cut.py").write_text(
        "from torch import nn\n\n\nclass Cut(nn.Module):\n    def __init__(self, c):\n        super().__init__()\n\n"
        "    def forward(self, x):\n        return x.sub_(x.mean((2, 3), keepdim=True))\n"
    )
    assert command_line.main([*arguments, f"--norm={folder / 'cut.py'}:Cut"]) == 2
    assert "Cut fails a check, so it is not trained" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [(name, "must not have the name of a built-in norm") for name in ("bn", "BN", "Gn")] + [("FRN", "both define FRN")],
)
def test_a_name_that_is_taken_is_refused(name, message, folder, tmp_path):
    name_own_norm(own(folder))
    (tmp_path / "other.py").write_text(f"from torch import nn\n\n\nclass {name}(nn.Identity):\n    pass\n")
    with pytest.raises(ConfigError, match=message):
        name_own_norm(f"{tmp_path / 'other.py'}:{name}")


def test_only_files_are_named(capsys):
    assert command_line.main(["package", "--norm=bn"]) == 2
    assert "FILE.py:CLASS, got 'bn'" in capsys.readouterr().err


def test_style_and_words_do_not_depend_on_whether_its_code_is_here(folder):
    before = style_of("FRN")
    assert (before.name, before.dash) == ("FRN", "solid")
    assert before.colour not in {style_of(key).colour for key in NORM_LAYERS}
    assert before.marker not in {style_of(key).marker for key in NORM_LAYERS}
    name_own_norm(own(folder))
    assert style_of("FRN") == before
    assert Variant.parse("FRN").description == "filter response normalization"
    assert ">FRN<" in cubes.figure("FRN", describe_norm("FRN"))


def test_every_marker_has_a_counterpart_in_drawings():
    assert set(_MARKERS) == {*MARKERS, *OTHER_MARKERS}
    assert len(set(OTHER_COLOURS)) == len(OTHER_COLOURS)


def test_a_budget_drops_the_outermost_rates_then_seeds():
    rates, seeds = [1, 2, 3, 4, 5], [0, 1, 2]
    for hours, kept in ((2, (rates, seeds)), (1.3, ([2, 3, 4], seeds)), (1, ([2, 3, 4], [0, 1])), (0.5, ([3], [0]))):
        assert benchmark.within_budget(3600 * hours, 360, 1200, rates, seeds) == kept
    with pytest.raises(ConfigError, match="26 min"):
        benchmark.within_budget(60, 360, 1200, rates, seeds)


def test_a_norm_that_keeps_a_tensor_more_takes_more_memory():
    plain, torch_layer = (benchmark.kept_for_backward(layer) for layer in ("nn", BatchNorm2d))
    assert 1.5 < torch_layer / plain < 2.5


@pytest.mark.process
def test_benchmark_chooses_a_rate_on_held_out_images_and_puts_the_norm_in_a_row_beside_others(folder, monkeypatch, capsys):
    monkeypatch.setattr(local, "subprocess", warm)
    monkeypatch.setattr(benchmark, "TRIAL_EPOCHS", 1)
    monkeypatch.setattr(benchmark, "TIMED_STEPS", 1)
    monkeypatch.setitem(benchmark.RATES, "paper", (0.01, 1e-9))
    small = [word for word in OPTIONS if not word.startswith(("--data", "--lr"))]
    places = [f"--{name}={folder / name}" for name in ("runs", "checkpoints", "out")]
    command = ["benchmark", own(folder), "--data=tiny", "--seeds=0,1", *places]
    command.append(f"--study={' '.join([*small, '--epochs=1', '--workers=2'])}")
    assert command_line.main([*command[:2], "--dry-run", *command[2:]]) == 0
    assert "Nothing was trained" in capsys.readouterr().out
    assert command_line.main(command) == 0
    assert "the best learning rate is 0.01" in capsys.readouterr().out
    trials = folder / "runs" / "tiny,holdout=0.1"
    assert len(list(trials.glob("*/FRN/seed-0/state.pt"))) == 2
    table = pd.read_csv(folder / "out/FRN/paper/table.csv").set_index("Norm")
    rows = {name.partition(",")[0]: row for name, row in table.iterrows()}
    assert {name: row["n"] for name, row in rows.items()} == {"FRN": 2, "GN": 1}
    stored = open_checkpoint(folder / "checkpoints" / SET / "FRN")
    assert rows["FRN"]["Validation accuracy (%)"] == pytest.approx(100 * stored.metrics["final"]["val"]["accuracy"]["mean"])
    assert rows["FRN"]["Corrupted images (%)"] == pytest.approx(100 * np.mean([row["accuracy"] for row in stored.robustness()]))
    assert set(table["Changed by the batch (%)"]) == {0}
    assert table.loc[table.index.str.startswith("FRN"), "Memory relative to torch's BN"].between(0.5, 3).all()
    capsys.readouterr()
    assert command_line.main([*command, "--budget=1h"]) == 0, "nothing is left to train"
    assert "within the budget, learning rates 0.01, 1e-09 and seeds 0,1." in capsys.readouterr().out
    for file in ("table.md", "table.tex"):
        assert "FRN" in (folder / "out/FRN/paper" / file).read_text()
