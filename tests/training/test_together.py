"""Several runs at a time on one device: each as if alone, ended in time, resumable, packed and unpacked."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from normzoo.errors import ConfigError, TrainingError
from tests.support.tiny import FIELDS, OPTIONS, RECIPE, load_tiny, train_tiny
from training import __main__ as command_line
from training.benchmarks import gpu as gpu_bench
from training.engine import packing, together, verify
from training.engine.budget import Budget
from training.engine.packing import pack, unpack
from training.engine.replay import CpuReplay, Mark
from training.engine.together import Hardware, train_together
from training.experiment.recipes import RECIPES
from training.experiment.runs import Run, State

CPU = torch.device("cpu")
STEPPED = RECIPE.changed(epochs=3, lr=2**-7, schedule="step", step_epochs=1, step_factor=0.5)
RUNS = [
    Run("tiny", STEPPED, "bn"),
    Run("tiny", STEPPED.changed(name="other", batch_size=16), "gn"),
    Run("tiny", STEPPED.changed(name="sgd", optimizer="sgd"), "bin", 1),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    load_tiny(tmp_path / "data")
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(together, "STEPS_PER_PIECE", 2)
    monkeypatch.setattr(command_line, "keep_freed_memory", lambda: None)
    return tmp_path


def silent(line: str) -> None:
    pass


def saved(run: Run, root: Path) -> State:
    state = State.load(run.folder(root))
    assert state is not None
    return state


def assert_same_result(one: State, other: State) -> None:
    assert (one.run, one.epoch) == (other.run, other.epoch)
    torch.testing.assert_close(dict(one.model), dict(other.model), rtol=0, atol=0)
    rows = [[{**row, "seconds": 0} for row in each.history] for each in (one, other)]
    assert rows[0] == rows[1]


class SlowReplay(CpuReplay):
    """A device that has done its work only when it is asked for the third time."""

    def mark(self) -> Mark:
        asked = itertools.count(1)
        return lambda: next(asked) > 2


@pytest.mark.parametrize("streams", [1, 3])
def test_runs_together_are_as_if_alone(streams: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "make_replay", lambda *arguments: SlowReplay())
    order: list[str] = []
    original = together.StaticStep.train

    def noted(self: Any, first: int, last: int) -> None:
        order.append(type(self.model.norm1).__name__)
        original(self, first, last)

    monkeypatch.setattr(together.StaticStep, "train", noted)
    assert train_together(RUNS, folder / "runs", Hardware(CPU, streams=streams), say=silent) == RUNS
    turns = len([norm for norm, _ in itertools.groupby(order)])
    assert turns == 3 if streams == 1 else turns > 6
    data = load_tiny(folder / "data")
    for run in RUNS:
        expected = train_tiny(data, folder / "alone", run.norm, run.seed, run.recipe)
        state = saved(run, folder / "runs")
        assert_same_result(state, expected)
        assert {key: state.sessions[0][key] for key in ("streams", "graph", "compiled", "first_epoch")} == {
            "streams": streams,
            "graph": True,
            "compiled": False,
            "first_epoch": 1,
        }


def test_a_budget_ends_runs_at_whole_epochs_and_the_next_call_goes_on(folder: Path) -> None:
    clock = itertools.count()
    budget = Budget(40, now=lambda: float(next(clock)))
    done = train_together(RUNS[:2], folder / "parts", Hardware(CPU, streams=2), budget=budget, say=silent)
    epochs = [saved(run, folder / "parts").epoch for run in RUNS[:2]]
    assert done != RUNS[:2]
    assert 0 < sum(epochs) < 6
    assert train_together(RUNS[:2], folder / "parts", Hardware(CPU), say=silent) == RUNS[:2]
    train_together(RUNS[:2], folder / "whole", Hardware(CPU), say=silent)
    for run in RUNS[:2]:
        assert_same_result(saved(run, folder / "parts"), saved(run, folder / "whole"))


def test_no_time_starts_nothing(folder: Path) -> None:
    assert train_together(RUNS, folder / "runs", Hardware(CPU), budget=Budget(-1), say=silent) == []
    assert not (folder / "runs").exists()


def test_a_run_that_fails_keeps_its_last_good_state_and_stops_no_other(folder: Path) -> None:
    broken = Run("tiny", STEPPED.changed(name="broken", optimizer="sgd", lr=1e30), "nn")
    with pytest.raises(TrainingError, match=r"broken/nn/seed-0: The \w+ loss of nn became nan in epoch 1"):
        train_together([broken, RUNS[0]], folder / "runs", Hardware(CPU, streams=2), say=silent)
    assert State.load(broken.folder(folder / "runs")) is None
    assert saved(RUNS[0], folder / "runs").epoch == 3


def test_streams_are_bounded() -> None:
    with pytest.raises(ConfigError, match="streams must be between 1 and 32, got 33"):
        Hardware(CPU, streams=33)


def test_packed_runs_arrive_finished_ones_first_and_go_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_tiny(folder / "data")
    whole = train_tiny(data, folder / "whole", "bn", recipe=STEPPED)
    train_tiny(data, folder / "there", "nn", recipe=STEPPED)
    train_tiny(data, folder / "there", "bn", recipe=STEPPED, stop_after=2)
    paths = pack(folder / "there", folder / "packed", silent)
    assert [path.name for path in paths] == ["runs-1.zip"]
    unpack(folder / "packed", folder / "here", silent)
    done, going = Run("tiny", STEPPED, "nn"), Run("tiny", STEPPED, "bn")
    assert_same_result(saved(done, folder / "here"), saved(done, folder / "there"))
    assert saved(done, folder / "here").optimizer == {}
    assert_same_result(train_tiny(data, folder / "here", "bn", recipe=STEPPED), whole)
    assert train_tiny(data, folder / "here", "nn", recipe=STEPPED).epoch == 3  # finished, without its optimizer

    lines: list[str] = []
    unpack(folder / "packed", folder / "here", lines.append)
    assert any("epoch 3 is here, epoch 2 came; kept" in line for line in lines)
    assert saved(going, folder / "here").epoch == 3

    monkeypatch.setattr(packing, "MAX_PARTS", 1)
    size = (done.folder(folder / "there") / "state.pt").stat().st_size
    monkeypatch.setattr(packing, "PART_BYTES", size)
    assert len(pack(folder / "there", folder / "small", lines.append)) == 1
    assert lines[-1] == "left out, for want of room: tiny/quick/bn/seed-0/state.pt"


def _no_file(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:500])


@pytest.mark.parametrize(("damage", "message"), [(_no_file, "There is no runs-"), (_cut, "cannot be read")])
def test_damaged_packs_are_refused(damage: Callable[[Path], None], message: str, folder: Path) -> None:
    train_tiny(load_tiny(folder / "data"), folder / "runs", recipe=STEPPED, stop_after=1)
    damage(pack(folder / "runs", folder / "packed", silent)[0])
    with pytest.raises(TrainingError, match=message):
        unpack(folder / "packed", folder / "here", silent)


def test_other_settings_are_not_overwritten_by_unpacking(folder: Path) -> None:
    data = load_tiny(folder / "data")
    train_tiny(data, folder / "there", recipe=STEPPED, stop_after=2)
    train_tiny(data, folder / "here", recipe=STEPPED.changed(lr=2**-6), stop_after=1)
    pack(folder / "there", folder / "packed", silent)
    with pytest.raises(TrainingError, match="holds a run with other settings"):
        unpack(folder / "packed", folder / "here", silent)


def test_the_commands_train_pack_and_unpack(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*OPTIONS, "--epochs=1", "--device=cpu", f"--runs={folder / 'runs'}"]
    assert command_line.main(["queue", "--norm=bn,nn", *options, "--streams=2", f"--pack={folder / 'packed'}"]) == 0
    assert "2 of 2 runs are finished." in capsys.readouterr().out
    assert command_line.main(["unpack", str(folder / "packed"), f"--runs={folder / 'here'}"]) == 0
    assert len(list((folder / "here").glob("tiny/*/*/seed-0/state.pt"))) == 2
    assert command_line.main(["train", "--norm=in", *options, "--graph=on"]) == 0
    assert "in: 1 of 1 epochs are in" in capsys.readouterr().out
    if not torch.cuda.is_available():
        assert command_line.main(["train", "--norm=in", *options, "--device=cuda"]) == 2
        assert "--device cuda needs a CUDA GPU, and torch sees none here." in capsys.readouterr().err


def test_verify_finds_equal_steps_equal_and_others_not(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {name: FIELDS[name] for name in ("depth",)} | {"image_size": 8}
    monkeypatch.setattr(verify, "ADAM", verify.ADAM.changed(**small, epochs=2))
    monkeypatch.setattr(verify, "SGD", verify.SGD.changed(**small, epochs=2))
    monkeypatch.setattr(verify, "missing_for_compile", lambda: "no compiler in this test")
    found = verify.verify(CPU, ["bin"], silent)
    assert [(each.recipe, each.dtype, each.mode, each.within) for each in found] == [
        (recipe, dtype, mode, True)
        for recipe, dtype in (("adam", "float32"), ("sgd", "float32"), ("adam", "float64"))
        for mode in ("eager", "graph")
    ]
    original = verify.learning_rates
    monkeypatch.setattr(verify, "learning_rates", lambda *arguments: [2 * rate for rate in original(*arguments)])
    assert not any(each.within for each in verify.verify(CPU, ["bin"], silent))


def test_the_bench_for_gpus_writes_its_figures(tmp_path: Path) -> None:
    lines: list[str] = []
    result = gpu_bench.gpu_bench(
        CPU,
        tmp_path / "bench.json",
        norms=["nn"],
        batch_sizes=(4,),
        streams=(2,),
        steps=2,
        compiled=False,
        recipe=RECIPES["paper"].changed(depth=8, image_size=8),
        say=lines.append,
    )
    assert [(row["mode"], row["streams"]) for row in result["rows"]] == [("graph", 1), ("eager", 1), ("graph", 2)]
    for row in result["rows"]:
        assert row["images_per_second"] == pytest.approx(4 * row["steps_per_second"])
        assert row["share_of_floor"] == pytest.approx(row["images_per_second"] / result["floor_images_per_second"])
    assert json.loads((tmp_path / "bench.json").read_text())["rows"] == result["rows"]
    assert lines[-1] == "Nothing compiled: it was not asked for."


def test_activations_are_those_of_the_convolutions() -> None:
    # 5 maps of 16x32x32, 4 of 32x16x16, 4 of 64x8x8
    assert gpu_bench.count_activations(32) == 5 * 16 * 32 * 32 + 4 * 32 * 16 * 16 + 4 * 64 * 8 * 8
