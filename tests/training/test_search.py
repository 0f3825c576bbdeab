"""`study --search`: Optuna's trials are runs on held-out images; the same command goes on where it ended."""

import pytest

from tests.support.tiny import FIELDS, load_tiny
from training import cli
from training.runs import iter_runs, lock


def search(root, *words):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in FIELDS.items() if name != "lr"]
    options += ["--data=tiny", "--amp=fp32", "--compile=off", "--epochs=5", f"--runs={root / 'runs'}", "--norm=bn"]
    return cli.main(["study", *options, *words])


def test_a_search_finds_the_best_of_its_trials_and_goes_on(tmp_path, monkeypatch, capsys):
    load_tiny(tmp_path / "data")
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    assert search(tmp_path, "--search=lr=0.000001..0.1", "--trials=4", "--sampler=random") == 0
    first = capsys.readouterr().out
    states = [state for _, state in iter_runs(tmp_path / "runs")]
    assert len(states) == 4
    assert {state.run.holdout for state in states} == {0.1}
    accuracies = {state.run.recipe.lr: state.history[-1]["accuracy"] for state in states}
    assert accuracies[float(first.split()[-1])] == max(accuracies.values()) > min(accuracies.values())

    assert search(tmp_path, "--search=lr=0.000001..0.1", "--trials=12") == 0
    assert capsys.readouterr().out.count(", trial ") == 8
    states = [state for _, state in iter_runs(tmp_path / "runs")]
    assert not all(state.is_finished for state in states), "some that lag behind end early"
    assert search(tmp_path, "--search=lr=0.000001..0.1", "--trials=12") == 0
    assert capsys.readouterr().out.count("\n") == 2, "nothing is left to do but to say what was best"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("lrr=0.1..1", "Did you mean lr?"),
        ("lr=1..0.1", "such as lr=0.01..1"),
        ("optimizer=adam..sgd", "such as lr=0.01..1"),
        ("lr=0..1", "lr must be a number above 0"),
    ],
)
def test_what_cannot_be_searched_is_said_before_anything_is_trained(tmp_path, monkeypatch, capsys, words, said):
    load_tiny(tmp_path / "data")
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    assert search(tmp_path, f"--search={words}") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_what_another_machine_trains_is_left_to_it(tmp_path, monkeypatch):
    load_tiny(tmp_path / "data")
    monkeypatch.setenv("NORMZOO_DATA", str(tmp_path / "data"))
    assert search(tmp_path / "first", "--search=lr=0.0001..0.01", "--trials=1") == 0
    ((folder, _),) = iter_runs(tmp_path / "first" / "runs")
    taken = tmp_path / "second" / folder.relative_to(tmp_path / "first")  # what a search begins with
    taken.mkdir(parents=True)
    with lock(taken):
        assert search(tmp_path / "second", "--search=lr=0.0001..0.01", "--trials=2") == 0
    assert len(list(iter_runs(tmp_path / "second" / "runs"))) == 2
    assert not (taken / "state.pt").exists()
