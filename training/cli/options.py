"""The options that choose runs, the same for every command that trains, and what they mean."""

import argparse
import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from normzoo.checking.report import check_generic
from normzoo.checking.subject import Subject
from normzoo.errors import ConfigError
from normzoo.nn.named_norms import NAMES_VARIABLE, OWN_NORMS, name_own_norms
from normzoo.nn.resnet import norm_keys
from training.data.dataset import ImageData, hold_out, load
from training.data.image_folder import open_images
from training.data.sources import SOURCES
from training.engine.loggers import LOGS
from training.engine.step import DEVICES, PRECISIONS, choose_precision
from training.experiment.plans import (
    PLANS,
    SEARCH,
    SEARCH_FINAL,
    SEARCH_HOLDOUT,
    ZOO,
    Part,
    changed_recipe,
    get_plan,
    plan_runs,
)
from training.experiment.recipes import RECIPES, Recipe
from training.experiment.runs import Run
from training.launch.slurm import Resources

EXAMPLES = """the whole way, from images to checkpoints:
  python -m training data fetch tiny-imagenet-25
  python -m training study --recipe paper --dry-run
  python -m training study --recipe paper
  python -m training package
  python -m training evaluate --check

with your own images, a folder for each class:
  python -m training study --data path/to/folder --recipe strong --image-size 64

one network, with another depth and learning rate than the recipe's:
  python -m training train --norm gn --recipe strong --depth 20 --lr 0.05

many networks on a Slurm cluster, each a task of a job array:
  python -m training study --recipe strong --seeds 0,1,2 --launcher slurm --time 120 --dry-run

one network in two processes:
  torchrun --nproc-per-node 2 -m training train --norm bn --recipe strong

python -m training COMMAND --help says more about each."""

#: Of cores, workers, steps: no more than any machine has.
MOST = 1_000_000
_FOLDERS = {"runs": "raw runs", "checkpoints": "packaged results"}


def add_folder_options(command: argparse.ArgumentParser, *names: str) -> None:
    for name in names:
        command.add_argument(
            f"--{name}", type=Path, default=Path(name), metavar="FOLDER", help=f"{_FOLDERS[name]} (default: {name})"
        )


def add_choice_of_runs(command: argparse.ArgumentParser) -> None:
    command.add_argument("--plan", default="study", metavar="NAME", help=f"one of: {', '.join(PLANS)} (default: study)")
    command.add_argument(
        "--norm",
        metavar="KEYS",
        help="all, or comma-separated, FILE.py:CLASS for your own: these with --recipe (default: paper) instead of the plan",
    )
    command.add_argument("--seeds", type=numbers, default=[0], metavar="N,N", help="comma-separated (default: 0)")
    add_run_options(command)
    command.set_defaults(recipe=None)


def add_cluster_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--launcher",
        choices=["local", "slurm"],
        default="local",
        help="local: processes of this machine; slurm: a job array of a Slurm cluster, through submitit (default: local)",
    )
    group = command.add_argument_group("with --launcher slurm", "More goes by Slurm's own variables, such as SBATCH_ACCOUNT.")
    defaults = Resources()
    group.add_argument("--partition", metavar="NAME", help="where to queue (default: the cluster's)")
    group.add_argument("--gpus-per-run", type=int, choices=[0, 1], help=f"GPUs of each run (default: {defaults.gpus})")
    group.add_argument("--cpus-per-run", type=positive, metavar="N", help=f"cores of each run (default: {defaults.cpus})")
    group.add_argument(
        "--time",
        type=positive,
        metavar="MINUTES",
        help="limit of each run, at which it is queued again and goes on from its last whole epoch "
        f"(default: {defaults.minutes})",
    )
    group.add_argument("--array-limit", type=positive, metavar="N", help="runs at a time (default: all)")
    group.add_argument("--retry", action="store_true", default=None, help="submit also what failed")


def chosen_resources(options: argparse.Namespace) -> Resources | None:
    """Return what each run asks of a cluster, or None where the runs stay on this machine.

    Raises:
        ConfigError: the options do not go together.
    """
    fields = {"partition": "partition", "gpus_per_run": "gpus", "cpus_per_run": "cpus", "time": "minutes"}
    fields["array_limit"] = "at_a_time"
    given = {name: value for name in (*fields, "retry") if (value := getattr(options, name)) is not None}
    if options.launcher == "local":
        if given:
            raise ConfigError(f"{_flag(next(iter(given)))} is for a cluster. Add --launcher slurm, or leave it out.")
        return None
    if options.workers is not None:
        raise ConfigError("--workers is for one machine. With --launcher slurm take --array-limit.")
    resources = Resources(**{fields[name]: value for name, value in given.items() if name in fields})
    if options.device not in ("auto", resources.device):
        raise ConfigError(f"--device {options.device} does not go with --gpus-per-run {resources.gpus}. Leave it out.")
    return resources


def add_run_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--recipe", default="paper", metavar="NAME", help=f"one of: {', '.join(RECIPES)} (default: paper)")
    command.add_argument(
        "--data",
        default="tiny-imagenet-25",
        metavar="NAME-OR-FOLDER",
        help=f"one of: {', '.join(SOURCES)}; or a folder of your own images, train/<class>/… with or without val/<class>/…, "
        "or <class>/… (default: tiny-imagenet-25)",
    )
    command.add_argument(
        "--holdout",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="validate on this share of the training images, never seen in training: for choosing a recipe (default: 0, off)",
    )
    command.add_argument(
        "--amp",
        default="auto",
        metavar="PRECISION",
        help=f"{', '.join(PRECISIONS)}, or auto: bf16 convolutions where the CPU has them in hardware (default: auto)",
    )
    command.add_argument(
        "--dry-run", action="store_true", help="train nothing: say how many steps there are, and what time and disk they need"
    )
    command.add_argument(
        "--device", choices=DEVICES, default="auto", help="auto: a CUDA GPU where there is one (default: auto)"
    )
    command.add_argument("--compile", choices=["auto", "on", "off"], default="auto", help="torch.compile (default: auto)")
    command.add_argument(
        "--log-to",
        choices=list(LOGS),
        help="send the figures of every epoch there as well; needs that package",
    )
    add_folder_options(command, "runs")
    fields = command.add_argument_group("instead of the recipe's own", "Without them everything is as the recipe says.")
    for field in dataclasses.fields(Recipe):
        if field.name != "name":
            kind = bool_word if field.type is bool else field.type
            fields.add_argument(_flag(field.name), type=kind, dest=field.name, metavar="X", help=field.metadata["help"])


def add_own_norms(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--norm",
        dest="own_norms",
        type=lambda words: [word.strip() for word in words.split(",")],
        default=[],
        metavar="FILE.py:CLASS",
        help=f"norms of your own that networks here have, comma-separated (default: ${NAMES_VARIABLE}); runs those files",
    )


def check_own_norms(runs: Iterable[Run], say: Callable[[str], None]) -> None:
    """Check what holds for every norm on those of one's own, before time is spent on them.

    Raises:
        ConfigError: one of them fails.
    """
    for norm in dict.fromkeys(run.norm for run in runs if run.norm in OWN_NORMS):
        report = check_generic(Subject(OWN_NORMS[norm], "own"))
        say(report.to_text())
        if not report.passed:
            raise ConfigError(f"{norm} fails a check, so it is not trained. Mend it; `normzoo check` says more.")


def _flag(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def bool_word(word: str) -> bool:
    """yes or no."""
    if word not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"yes or no, got {word!r}")
    return word == "yes"


def positive(word: str) -> int:
    """A whole number above 0."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"a whole number above 0, got {word!r}")
    if int(word) > MOST:
        raise argparse.ArgumentTypeError(f"at most {MOST:,}, got {word!r}")
    return int(word)


def numbers(words: str) -> list[int]:
    """Whole numbers with commas between them: 0,1,2."""
    if not all(word.strip().isdecimal() for word in words.split(",")):
        raise argparse.ArgumentTypeError(f"whole numbers with commas between them, got {words!r}")
    return [int(word) for word in words.split(",")]


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    """The recipe fields given on the command line."""
    names = [field.name for field in dataclasses.fields(Recipe) if field.name != "name"]
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def chosen_recipe(options: argparse.Namespace) -> Recipe:
    """The recipe that `--recipe` names, with the fields changed that are given besides."""
    return changed_recipe(options.recipe, _changes(options), options.data)


def chosen_images(options: argparse.Namespace, recipe: Recipe, holdout: float, say: Callable[[str], None] = print) -> ImageData:
    """The images that `--data` names, at the recipe's size; a share of the training ones held out, if asked for."""
    data = open_images(options.data, recipe.image_size, say)
    return hold_out(data, holdout) if holdout else data


def images_of(run: Run) -> ImageData:
    """The cached images that a run is trained on."""
    data = load(run.data, run.recipe.image_size)
    return hold_out(data, run.holdout) if run.holdout else data


def chosen_runs(options: argparse.Namespace, device: str) -> list[Run]:
    """The runs that the options choose, in order of worth, for cpu or cuda."""
    precision, holdout = choose_precision(options.amp, device), options.holdout
    if options.recipe or options.norm or _changes(options):
        norms = ZOO if options.norm in (None, "all") else tuple(name_own_norms(options.norm))
        plan: tuple[Part, ...] = (Part(options.recipe or "paper", norms, _changes(options)),)
    else:
        plan = get_plan(options.plan)
        holdout = holdout or (SEARCH_HOLDOUT if plan in (SEARCH, SEARCH_FINAL) else 0.0)
    data = chosen_images(options, changed_recipe(plan[0].recipe, plan[0].changes, options.data), holdout)
    runs = plan_runs(plan, data.name, options.seeds, precision, data.holdout)
    for run in runs:
        if run.norm not in norm_keys():
            raise ConfigError(f"Unknown norm {run.norm!r}. Choose from: {', '.join(norm_keys())}.")
    return runs
