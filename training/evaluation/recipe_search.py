"""Table of the runs that were tried to choose a recipe: validated on held-out training images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from normzoo.pretrained.serialization import read_table, write_csv
from training.experiment.runs import State, iter_runs

COLUMNS = ("recipe", "variant", "seed", "epochs", "holdout", "train_accuracy", "holdout_loss", "holdout_accuracy", "seconds")
NAME = "search.csv"


def write_search(runs: Path, checkpoints: Path) -> list[Path]:
    """Write a table of the finished ones into the folder of each data set; return the tables written.

    Rows that are stored already stay, also where their runs are gone; those of the same run are replaced.

    Raises:
        CheckpointError: it could not be written, or one that is there is damaged.
    """
    tables: dict[Path, list[dict[str, Any]]] = {}
    for _, state in iter_runs(runs):
        if state.run.holdout and state.is_finished:
            tables.setdefault(checkpoints / state.run.data / NAME, []).append(_row(state))
    for table, rows in tables.items():
        stored = {_identity(row): row for row in (*read_table(table, _identity), *rows)}
        write_csv(table, COLUMNS, [row for _, row in sorted(stored.items())])
    return list(tables)


def _identity(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("recipe", "variant", "seed", "holdout"))


def _row(state: State) -> dict[str, Any]:
    last = {row["split"]: row for row in state.history[-2:]}
    return {
        "recipe": state.run.recipe.name,
        "variant": state.run.variant,
        "seed": state.run.seed,
        "epochs": state.epoch,
        "holdout": state.run.holdout,
        "train_accuracy": round(last["train"]["accuracy"], 6),
        "holdout_loss": round(last["val"]["loss"], 6),
        "holdout_accuracy": round(last["val"]["accuracy"], 6),
        "seconds": round(sum(session["seconds"] for session in state.sessions), 1),
    }
