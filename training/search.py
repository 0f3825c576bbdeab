"""Hyperparameter search with Optuna: short trials on held-out training images, with early stopping of poor ones."""

import dataclasses
import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normzoo.config import nearest
from normzoo.errors import ConfigError, TrainingError
from training.config import RECIPE_FIELDS, Execution, Recipe, Run, changed_recipe, get_recipe
from training.data.dataset import ImageData
from training.engine.trainer import DivergedError, train
from training.launch.local import STOPPING
from training.runs import RunBusyError

#: In the folder of runs; shared by all processes and machines that use it.
STORAGE = "search.log"
SAMPLERS = ("tpe", "random")
#: Complete trials before others are compared with their median.
STARTUP_TRIALS = 4


@dataclass(frozen=True)
class Interval:
    """Values of one field of the recipe; on a logarithmic scale if the last is at least ten times the first."""

    name: str
    low: float
    high: float

    @classmethod
    def parse(cls, text: str) -> "Interval":
        """Read `lr=0.01..1`."""
        name, _, ends = text.partition("=")
        if name not in RECIPE_FIELDS:
            raise ConfigError(f"Unknown setting {name!r}. {nearest(name, RECIPE_FIELDS)}")
        try:
            low, high = map(float, ends.split(".."))
        except ValueError:
            low, high = math.nan, math.nan
        if not (isinstance(getattr(Recipe(), name), int | float) and low < high < math.inf):
            raise ConfigError(f"--search needs SETTING=LOW..HIGH with two numbers, such as lr=0.01..1, got {text!r}.")
        for end in (low, high):
            Recipe().changed(**{name: type(getattr(Recipe(), name))(end)})  # is it within the bounds?
        return cls(name, low, high)

    def suggest(self, trial: Any) -> float | int:
        """Return the value of a trial, to three digits."""
        is_log = self.low > 0 and self.high >= 10 * self.low
        if isinstance(getattr(Recipe(), self.name), int):
            return int(trial.suggest_int(self.name, math.ceil(self.low), math.floor(self.high), log=is_log))
        return float(f"{trial.suggest_float(self.name, self.low, self.high, log=is_log):.3g}")


def search(
    run: Run,
    intervals: Sequence[Interval],
    trials: int,
    sampler: str,
    data: ImageData,
    root: Path,
    execution: Execution,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Train trials of one norm until there are enough, together with other machines that run the same search.

    Each trial is a run in its own folder; one below the median of the others ends early.

    Args:
        run: settings, except the searched ones.
        sampler: tpe (tree-structured Parzen estimator, Bergstra et al. 2011) or random.
        data: images with a share of the training images held out for validation.

    Returns:
        The best settings, with `accuracy` on the held-out images.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("--search needs Optuna: pip install optuna")
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    root.mkdir(parents=True, exist_ok=True)
    name = f"{data.name} {data.digest[:8]} {run.recipe.name} {run.norm} {run.seed} {run.holdout} {intervals}"
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(root / STORAGE)))
    pruner = optuna.pruners.MedianPruner(STARTUP_TRIALS, n_warmup_steps=run.recipe.epochs // 5)
    found = optuna.create_study(storage=storage, study_name=name, load_if_exists=True, direction="maximize", pruner=pruner)
    seed = len(found.trials)
    found.sampler = (
        optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
        if sampler == "tpe"
        else optuna.samplers.RandomSampler(seed)
    )

    base = get_recipe(run.recipe.base)
    fixed = {key: value for key in RECIPE_FIELDS if (value := getattr(run.recipe, key)) != getattr(base, key)}

    def objective(trial: Any) -> float:
        chosen = {each.name: each.suggest(trial) for each in intervals}
        tried = dataclasses.replace(run, recipe=changed_recipe(base.name, {**fixed, **chosen}, data.name))
        trial.set_user_attr("chosen", chosen)

        def on_epoch(rows: list[dict[str, Any]]) -> None:
            trial.report(rows[-1]["accuracy"], rows[-1]["epoch"])
            if trial.should_prune():
                raise optuna.TrialPruned

        words = ", ".join(f"{key} {value:g}" for key, value in chosen.items())
        try:
            state = train(tried, data, root, execution, lambda _: None, STOPPING, on_epoch)
        except RunBusyError:  # another process began with the same values
            found.sampler.reseed_rng()
            raise
        except (optuna.TrialPruned, DivergedError) as error:
            reason = "diverged" if isinstance(error, DivergedError) else "ended early, below the median"
            say(f"{run.norm}, trial {trial.number + 1}: {words}: {reason}")
            raise optuna.TrialPruned from error
        accuracy = float(state.history[-1]["accuracy"])
        say(f"{run.norm}, trial {trial.number + 1}: {words}: {accuracy:.1%}")
        return accuracy

    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    if sum(trial.state in ended for trial in found.trials) < trials:
        callback = optuna.study.MaxTrialsCallback(trials, states=ended)
        found.optimize(objective, callbacks=[callback], catch=RunBusyError)
    if not any(trial.state == ended[0] for trial in found.trials):
        raise TrainingError(f"Every trial of {run.norm} diverged. Search smaller values, or add --clip-norm 1.")
    return {**found.best_trial.user_attrs["chosen"], "accuracy": found.best_value}
