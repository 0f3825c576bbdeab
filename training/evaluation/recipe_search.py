"""What was tried to choose a recipe, as a table: the runs that were validated on held-out training images."""

from pathlib import Path
from typing import Any

from normzoo.pretrained.serialization import write_csv
from training.data.dataset import HOLDOUT
from training.experiment.runs import State

COLUMNS = ("recipe", "variant", "seed", "epochs", "holdout", "train_accuracy", "holdout_loss", "holdout_accuracy", "seconds")
NAME = "search.csv"


def write_search(runs: Path, checkpoints: Path) -> list[Path]:
    """Write a table of the finished ones into the folder of each data set; gives the tables written.

    Raises:
        CheckpointError: it could not be written.
    """
    tables: dict[Path, list[dict[str, Any]]] = {}
    for path in sorted(runs.glob(f"*{HOLDOUT}*/*/*/seed-*/state.pt")):
        state = State.load(path.parent)
        if state and state.epoch >= state.run["recipe"]["epochs"]:
            data, _, share = state.run["data"].partition(HOLDOUT)
            tables.setdefault(checkpoints / data / NAME, []).append({**_row(state, path.parents[1].name), "holdout": share})
    for table, rows in tables.items():
        write_csv(table, COLUMNS, rows)
    return list(tables)


def _row(state: State, variant: str) -> dict[str, Any]:
    last = {row["split"]: row for row in state.history[-2:]}
    return {
        "recipe": state.run["recipe"]["name"],
        "variant": variant,
        "seed": state.run["seed"],
        "epochs": state.epoch,
        "train_accuracy": round(last["train"]["accuracy"], 6),
        "holdout_loss": round(last["val"]["loss"], 6),
        "holdout_accuracy": round(last["val"]["accuracy"], 6),
        "seconds": round(sum(session["seconds"] for session in state.sessions), 1),
    }
