"""A study: each run in a process of its own, what is done is skipped, what failed is named."""

import contextlib
import subprocess
from pathlib import Path

import pytest

from normzoo.errors import ConfigError, TrainingError
from tests.support import warm
from tests.support.tiny import OPTIONS, RECIPE, ROOT, load_tiny, train_tiny
from training import __main__ as command_line
from training.cli.options import chosen_recipe
from training.experiment.plans import PLANS, get_plan, plan_runs, train_options
from training.experiment.runs import Run, State, lock
from training.launch import study as study_module
from training.launch.study import finished, progress_table, study

pytestmark = pytest.mark.process

STUDY = ["study", "--norm=bn,nn", "--workers=2", *OPTIONS, "--epochs=1", "--horizontal-flip=yes"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    load_tiny(tmp_path / "data")
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(study_module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(study_module, "subprocess", warm)
    monkeypatch.setattr(command_line, "keep_freed_memory", lambda: None)
    monkeypatch.chdir(ROOT)
    return tmp_path


@pytest.mark.parametrize("data", ["tiny", "tiny-imagenet-25-64px"])
@pytest.mark.parametrize("name", PLANS)
def test_what_trains_a_run_of_a_plan_gives_it_the_name_that_the_plan_has(name: str, data: str) -> None:
    for run in plan_runs(get_plan(name), data, [0], "fp32", 0.1):
        options = command_line.build_parser().parse_args(["train", *train_options(run)])
        assert chosen_recipe(options) == run.recipe
        assert (options.norm, options.data, options.holdout) == (run.norm, data, 0.1)


def test_study_trains_what_is_not_done_and_names_what_failed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*STUDY, f"--runs={folder / 'runs'}"]
    recipe_folder = folder / "runs/tiny/paper,depth=8,image_size=16,epochs=1,batch_size=40,lr=0.01,horizontal_flip=True"
    bn, nn = recipe_folder / "bn/seed-0", recipe_folder / "nn/seed-0"
    nn.mkdir(parents=True)
    State(Run("tiny", RECIPE, "nn"), "0" * 64, 0, {}, {}, [], []).save(nn)  # of other settings
    assert command_line.main(command) == 2
    told = capsys.readouterr()
    assert "2 runs, 0 finished before, 2 at a time." in told.out
    assert f"1 of 2 runs stopped with an error. See {nn / 'train.log'}, then call again." in told.err
    assert "holds a run with other settings" in (nn / "train.log").read_text()
    (nn / "state.pt").unlink()

    state = State.load(bn)
    assert state is not None
    recipe = state.run.recipe.to_dict()
    assert {key: recipe[key] for key in ("epochs", "batch_size", "depth", "image_size", "lr", "horizontal_flip")} == {
        "epochs": 1,
        "batch_size": 40,
        "depth": 8,
        "image_size": 16,
        "lr": 0.01,
        "horizontal_flip": True,
    }
    assert (state.run.precision, state.sessions[0]["threads"], state.sessions[0]["compiled"]) == ("fp32", 1, False)

    before = (bn / "state.pt").stat().st_mtime_ns
    assert command_line.main(command) == 0
    told = capsys.readouterr()
    assert "2 runs, 1 finished before, 2 at a time." in told.out
    assert [line.split()[1:4] for line in told.out.splitlines()[-2:]] == [["bn", "0", "1/1"], ["nn", "0", "1/1"]]

    monkeypatch.setattr(warm, "Popen", None)  # nothing is left to start
    assert command_line.main(command) == 0
    assert (bn / "state.pt").stat().st_mtime_ns == before


def test_run_is_finished_after_its_last_epoch_with_its_own_settings(folder: Path) -> None:
    data, runs = load_tiny(folder / "data"), folder / "runs"
    run = Run("tiny", RECIPE, "bn")
    assert not finished(run, runs)
    train_tiny(data, runs, stop_after=1)
    assert not finished(run, runs)
    train_tiny(data, runs)
    assert finished(run, runs)
    assert not finished(Run("tiny", RECIPE.changed(lr=0.5), "bn"), runs)


def test_progress_table_has_every_run_with_its_last_epoch(folder: Path) -> None:
    state = train_tiny(load_tiny(folder / "data"), folder / "runs", stop_after=1)
    table = progress_table([Run("tiny", RECIPE, "bn"), Run("tiny", RECIPE, "gn", 3)], folder / "runs").splitlines()
    assert table[0].split() == ["recipe", "variant", "seed", "epoch", "train", "loss", "val", "loss", "val", "accuracy"]
    figures = [f"{state.history[0]['loss']:.4f}", f"{state.history[1]['loss']:.4f}", f"{state.history[1]['accuracy']:.4f}"]
    assert table[1].split() == ["quick", "bn", "0", "1/2", *figures]
    assert table[2].split() == ["quick", "gn", "3", "not", "started"]


def test_same_run_twice_is_one(folder: Path) -> None:
    train_tiny(load_tiny(folder / "data"), folder / "runs")
    lines: list[str] = []
    study([Run("tiny", RECIPE, "bn")] * 2, folder / "runs", 1, [], lines.append)
    assert lines[0] == "1 run, 1 finished before, 1 at a time."


def test_damaged_run_is_named(folder: Path) -> None:
    run = Run("tiny", RECIPE, "bn")
    run.folder(folder).mkdir(parents=True)
    (run.folder(folder) / "state.pt").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"bn/seed-0/state.pt is damaged"):
        study([run], folder, 1, [])


def test_no_workers_are_refused() -> None:
    with pytest.raises(ConfigError, match="workers must be at least 1, got 0"):
        study([Run("tiny", RECIPE, "bn")], Path("unused"), 0, [])


def test_run_that_another_process_trains_is_left_to_it_and_taken_over_when_it_dies(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = folder / "runs"
    busy, free = Run("tiny", RECIPE, "bn"), Run("tiny", RECIPE, "nn")
    busy.folder(runs).mkdir(parents=True)
    lines: list[str] = []
    started: list[str] = []

    def start(run: Run, root: Path, arguments: list[str]) -> object:
        started.append(run.norm)
        train_tiny(load_tiny(folder / "data"), root, run.norm)
        return subprocess.Popen(["true"])

    monkeypatch.setattr(study_module, "_start", start)
    with contextlib.ExitStack() as other_process:
        other_process.enter_context(lock(busy.folder(runs)))

        def say(line: str) -> None:
            lines.append(line)
            if "Waiting, to take over" in line:
                assert started == ["nn"]
                other_process.close()  # it is dead

        study([busy, free], runs, 2, [], say)
    assert started == ["nn", "bn"]
    assert "Trained by other processes: 1 run. Waiting, to take over what they leave." in lines


def test_run_that_another_was_faster_to_begin_is_no_failure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, run = folder / "runs", Run("tiny", RECIPE, "bn")

    def start(run: Run, root: Path, arguments: list[str]) -> object:
        train_tiny(load_tiny(folder / "data"), root)  # meanwhile, by the other
        return subprocess.Popen(["sh", "-c", f"exit {study_module.EXIT_BUSY}"])

    monkeypatch.setattr(study_module, "_start", start)
    study([run], runs, 1, [])
    assert finished(run, runs)


def test_busy_run_ends_train_with_a_code_of_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = folder / "runs"
    command = ["train", "--norm=bn", *OPTIONS, "--epochs=1", f"--runs={runs}"]
    assert command_line.main(command) == 0
    (path,) = runs.rglob("lock")
    with lock(path.parent):
        assert command_line.main(command) == study_module.EXIT_BUSY
    assert "Another process is training" in capsys.readouterr().err
