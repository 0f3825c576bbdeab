"""One run as a task of a job array, on the node that Slurm gives it."""

import contextlib
import importlib
import json
import os
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from normzoo.errors import TrainingError
from normzoo.formatting import counted
from training.experiment.plans import train_options
from training.experiment.runs import Run, replace_file
from training.launch.study import EXIT_BUSY, EXIT_INTERRUPTED, epochs_done

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

#: In the folder of a run: how its last job ended, where that was with an error.
FAILURE = "failed.json"


@dataclass
class Task:
    """One run as a task of a job array, on the node. Submitit pickles it and loads it there.

    Where the time limit comes near, submitit calls `checkpoint` in the middle of a step, has Slurm queue the job again, and
    ends this process: what is lost is the epoch that was begun.
    """

    run: Run
    root: Path
    arguments: tuple[str, ...]  # of `python -m training train`, besides those of the run
    minutes: int
    environment: dict[str, str]
    epochs_before: int = 0
    started: float = 0.0

    def __call__(self) -> None:
        folder = self.run.folder(self.root)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILURE).unlink(missing_ok=True)
        os.environ.update(self.environment)
        self.epochs_before, self.started = epochs_done(self.run, self.root), time.monotonic()
        with (
            open(folder / "train.log", "a", buffering=1, encoding="utf-8") as log,
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            code = self._train()
        if code not in (0, EXIT_BUSY, EXIT_INTERRUPTED):
            replace_file(folder / FAILURE, json.dumps({"exit_code": code}).encode())
            raise TrainingError(f"The run stopped with an error. See {folder / 'train.log'}.")

    def _train(self) -> int:
        # In this process, which is the one that Slurm tells of its time limit; and as `study` would, by the command line.
        main = importlib.import_module("training.__main__").main
        sys.argv[1:] = ["train", f"--runs={self.root}", *train_options(self.run), *self.arguments]  # and so in the provenance
        try:
            code: int = main()
        except Exception:
            traceback.print_exc()
            return 1
        return code

    def checkpoint(self) -> "DelayedSubmission | None":
        """Return what to do when the job is queued again; None where that would go on for ever."""
        from submitit.core.utils import DelayedSubmission

        whole_limit = time.monotonic() - self.started > 15 * self.minutes  # not preempted early on
        if whole_limit and epochs_done(self.run, self.root) <= self.epochs_before:
            print(f"No epoch ended within {counted(self.minutes, 'minute')}: this run needs a longer --time.", file=sys.stderr)
            return None
        return DelayedSubmission(self)
