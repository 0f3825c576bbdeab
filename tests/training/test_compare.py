"""Finished runs side by side: every way to train is a row, whether it lies in runs or is packaged, and counts once."""

import csv
import io
import statistics

import pytest

from tests.support.tiny import FIELDS, RECIPE, load_tiny, train_tiny
from training import cli
from training.compare import chart, chosen_rows, finished_runs
from training.runs import iter_runs, lock

RATES = (0.01, 0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two norms at two learning rates in two seeds, one of which is not finished."""
    root = tmp_path_factory.mktemp("sweep")
    data = load_tiny(root / "data")
    for rate in RATES:
        recipe = RECIPE.changed(name=f"quick,lr={rate}", lr=rate)
        for norm, seed in (("bn", 0), ("bn", 1), ("gn", 0), ("gn", 1)):
            unfinished = (norm, seed, rate) == ("gn", 1, 0.02)
            train_tiny(data, root / "runs", norm, seed, recipe, stop_after=1 if unfinished else None)
    return root


def compare(folder, *words):
    return cli.main(["compare", f"--runs={folder / 'runs'}", f"--checkpoints={folder / 'checkpoints'}", *words])


@pytest.fixture(autouse=True)
def _usual(folder, monkeypatch):
    monkeypatch.setenv("NORMZOO_DATA", str(folder / "data"))


def accuracies(folder, norm, rate):
    states = [state for _, state in iter_runs(folder / "runs")]
    chosen = [each for each in states if each.run.norm == norm and each.run.recipe.lr == rate and each.is_finished]
    return [each.history[-1]["accuracy"] for each in chosen]


def test_csv_has_a_row_for_each_way_to_train_with_mean_and_deviation(folder, capsys):
    assert compare(folder, "--format=csv", "--by=lr") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(float(row["lr"]), row["norm"], row["n"]) for row in rows] == [
        (0.01, "bn", "2"),
        (0.01, "gn", "2"),
        (0.02, "bn", "2"),
        (0.02, "gn", "1"),
    ]
    for row in rows:
        values = accuracies(folder, row["norm"], float(row["lr"]))
        assert float(row["val_accuracy"]) == pytest.approx(statistics.mean(values))
        sd = row["val_accuracy_sd"]
        assert (sd == "") if len(values) == 1 else float(sd) == pytest.approx(statistics.stdev(values))


def test_text_and_latex_have_the_settings_that_differ_and_the_columns_that_are_asked_for(folder, capsys):
    assert compare(folder, "--where=norm=bn") == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["norm", "lr", "n"]
    assert [row.split()[:3] for row in rows] == [["bn", "0.01", "2"], ["bn", "0.02", "2"]]
    assert compare(folder, "--where=lr=1e-2", "--format=latex", "--columns=norm,seeds,val_accuracy") == 0
    lines = capsys.readouterr().out.splitlines()
    assert (lines[1], lines[-1]) == (r"\toprule", r"\end{tabular}")
    mean, sd = statistics.mean(accuracies(folder, "gn", 0.01)), statistics.stdev(accuracies(folder, "gn", 0.01))
    assert any(f"{100 * mean:.2f} ± {100 * sd:.2f}" in line for line in lines)


def test_what_is_packaged_counts_once_and_stays_where_its_runs_are_gone(folder, tmp_path, capsys):
    where = [f"--checkpoints={tmp_path / 'checkpoints'}", "--format=csv", "--columns=norm,lr,n,val_accuracy"]
    assert cli.main(["package", f"--runs={folder / 'runs'}", where[0]]) == 0
    capsys.readouterr()
    tables = []
    for runs in (folder / "runs", tmp_path / "gone"):
        assert cli.main(["compare", f"--runs={runs}", *where]) == 0
        tables.append(list(csv.DictReader(io.StringIO(capsys.readouterr().out))))
    assert tables[0] == tables[1]
    assert [row["n"] for row in tables[0]] == ["2", "2", "2", "1"]


def test_each_value_is_tested_against_the_best_of_its_norm_and_drawn(folder, tmp_path, capsys):
    where = [f"--runs={folder / 'runs'}", f"--checkpoints={tmp_path / 'checkpoints'}"]
    assert cli.main(["package", *where]) == 0
    capsys.readouterr()
    for kind in ("png", "svg"):
        assert cli.main(["compare", "--by=lr", *where, f"--chart={tmp_path / 'chart'}.{kind}"]) == 0
    tested = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("quick  ")]
    for norm in ("bn", "gn"):
        means = {rate: statistics.mean(accuracies(folder, norm, rate)) for rate in RATES}
        best = max(means, key=lambda rate: means[rate])
        (row,) = {tuple(row) for row in tested if row[1] == norm and len(row) == 8}
        assert (float(row[2]), float(row[3])) == (min(set(RATES) - {best}), best)
        assert float(row[4]) == pytest.approx(100 * (means[float(row[2])] - means[best]), abs=0.01)
        assert float(row[5]) <= float(row[4]) <= float(row[6])
    assert (tmp_path / "chart.png").read_bytes()[1:4] == b"PNG"
    rows = chosen_rows(finished_runs(folder / "runs", tmp_path), ["norm=bn"])
    (drawn,) = chart(rows, "lr").panels[0].series
    assert (list(drawn.x), list(drawn.y)) == (
        list(RATES),
        [pytest.approx(100 * statistics.mean(accuracies(folder, "bn", rate))) for rate in RATES],
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--where=nrom=bn", "Unknown column 'nrom'. Did you mean norm?"),
        ("--where=lr=7", "No run has lr=7. Choose from: 0.01, 0.02."),
        ("--columns=lr,accuracy", "Unknown column 'accuracy'"),
        ("--by=learning_rate", "Unknown column 'learning_rate'"),
        ("--chart=x.svg", "--chart needs --by"),
        ("--runs=nowhere", "No finished run under nowhere"),
    ],
)
def test_what_cannot_be_compared_is_said(words, message, folder, tmp_path, capsys):
    assert compare(folder, words) == 2
    assert message in capsys.readouterr().err


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
