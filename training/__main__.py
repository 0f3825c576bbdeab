"""python -m training COMMAND: fetch images, train networks, package and check the results."""

import argparse
import ctypes
import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import torch

from normzoo.errors import CheckpointError, ConfigError, NormZooError
from normzoo.norms import NORM_LAYERS
from normzoo.resnet import norm_keys
from training import data as image_data
from training.archives import SOURCES
from training.evaluate import evaluate
from training.package import package
from training.recipes import RECIPES, Recipe, get_recipe
from training.runs import Run
from training.step import PRECISIONS, choose_precision
from training.study import study
from training.trainer import Interrupted, train


def main(arguments: list[str] | None = None) -> int:
    """Run one command; gives the exit code."""
    options = build_parser().parse_args(arguments)
    keep_freed_memory()
    try:
        options.call(options)
    except (NormZooError, Interrupted) as error:
        print(error, file=sys.stderr)
        return 130 if isinstance(error, Interrupted) else 2
    except KeyboardInterrupt:
        print("Stopped. What was saved stays; the same command goes on from there.", file=sys.stderr)
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    command = commands.add_parser("data", help="fetch a data set and build its cache")
    command.add_argument("action", choices=["fetch"])
    command.add_argument("name", metavar="NAME", help=f"one of: {', '.join(SOURCES)}")
    command.add_argument("--archive", metavar="PATH-OR-URL", help="a copy of the official archive")
    command.add_argument("--image-size", type=int, default=32, metavar="PIXELS")
    command.set_defaults(call=_fetch)

    command = commands.add_parser("train", help="train one network")
    command.add_argument("--norm", required=True, metavar="KEY", help=f"one of: {', '.join(norm_keys())}")
    command.add_argument("--seed", type=int, default=0, help="decides initial weights, order and augmentation (default: 0)")
    command.add_argument("--threads", type=positive, metavar="N", help="cores to use (default: all)")
    command.add_argument("--stop-after", type=positive, metavar="EPOCH", help="stop after this epoch; the same command goes on")
    _add_run_options(command)
    command.set_defaults(call=_train)

    command = commands.add_parser("study", help="train all variants, a process per core; call again to go on")
    command.add_argument(
        "--norm", default=",".join(NORM_LAYERS), metavar="KEYS", help="comma-separated (default: the whole zoo)"
    )
    command.add_argument("--seeds", type=numbers, default=[0], metavar="N,N", help="comma-separated (default: 0)")
    command.add_argument(
        "--workers", type=positive, default=os.cpu_count() or 1, metavar="N", help="runs at a time (default: one per core)"
    )
    _add_run_options(command)
    command.set_defaults(call=_study)

    command = commands.add_parser("package", help="turn finished runs into checkpoint folders")
    _add_folder_options(command, "runs", "checkpoints")
    command.set_defaults(call=_package)

    command = commands.add_parser("evaluate", help="compute the packaged figures again")
    command.add_argument("--check", action="store_true", help="fail where a figure differs from the stored one")
    _add_folder_options(command, "checkpoints")
    command.set_defaults(call=_evaluate)

    command = commands.add_parser("bench", help="measure the speed of training")
    command.add_argument("--steps", type=positive, default=60, metavar="N", help="timed steps of each kind (default: 60)")
    command.set_defaults(call=_bench)
    return parser


_FOLDERS = {"runs": "raw runs", "checkpoints": "packaged results"}


def _add_folder_options(command: argparse.ArgumentParser, *names: str) -> None:
    for name in names:
        command.add_argument(
            f"--{name}", type=Path, default=Path(name), metavar="FOLDER", help=f"{_FOLDERS[name]} (default: {name})"
        )


def _add_run_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--recipe", default="paper", metavar="NAME", help=f"one of: {', '.join(RECIPES)} (default: paper)")
    command.add_argument("--data", default="tiny-imagenet-25", metavar="NAME", help="data set (default: tiny-imagenet-25)")
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
    command.add_argument("--compile", choices=["auto", "on", "off"], default="auto", help="torch.compile (default: auto)")
    _add_folder_options(command, "runs")
    fields = command.add_argument_group("instead of the recipe's own")
    for field in dataclasses.fields(Recipe):
        if field.name != "name":
            kind = bool_word if field.type is bool else field.type
            fields.add_argument(_flag(field.name), type=kind, dest=field.name, metavar="X", help=field.metadata["help"])


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


def _recipe(options: argparse.Namespace) -> Recipe:
    """The named recipe with the changes asked for; changed in more than its batch size, it gets a name of its own."""
    recipe, changes = get_recipe(options.recipe), _changes(options)
    suffix = "" if changes.keys() <= {"batch_size"} else "".join(f",{name}={value}" for name, value in changes.items())
    return recipe.changed(name=recipe.name + suffix, **changes)


def _images(options: argparse.Namespace, recipe: Recipe) -> image_data.ImageData:
    data = image_data.load(options.data, recipe.image_size)
    return image_data.hold_out(data, options.holdout) if options.holdout else data


def _fetch(options: argparse.Namespace) -> None:
    print(f"{options.name} is in {image_data.fetch(options.name, options.image_size, options.archive)}.")


def _train(options: argparse.Namespace) -> None:
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = _recipe(options)
    data = _images(options, recipe)
    run = Run(data.name, recipe, options.norm, options.seed, choose_precision(options.amp))
    state = train(
        run,
        data,
        options.runs,
        compiled={"auto": None, "on": True, "off": False}[options.compile],
        stop_after=options.stop_after,
        say=_say,
    )
    print(f"{run.variant}: {state.epoch} of {run.recipe.epochs} epochs are in {run.folder(options.runs)}.")


def _study(options: argparse.Namespace) -> None:
    recipe, precision = _recipe(options), choose_precision(options.amp)
    data = _images(options, recipe)
    runs = [Run(data.name, recipe, norm, seed, precision) for seed in options.seeds for norm in options.norm.split(",")]
    for run in runs:
        if run.norm not in norm_keys():
            raise ConfigError(f"Unknown norm {run.norm!r}. Choose from: {', '.join(norm_keys())}.")
    arguments = [f"--{name}={getattr(options, name)}" for name in ("recipe", "data", "holdout", "compile", "runs")]
    arguments += [f"--amp={precision}"]
    for name, value in _changes(options).items():
        arguments.append(f"{_flag(name)}={('no', 'yes')[value] if isinstance(value, bool) else value}")
    study(runs, options.runs, options.workers, arguments, _say)


def _package(options: argparse.Namespace) -> None:
    package(options.runs, options.checkpoints, _say)


def _evaluate(options: argparse.Namespace) -> None:
    problems = evaluate(options.checkpoints, _say)
    if options.check and problems:
        raise CheckpointError("\n".join(["These figures are not what is stored:", *problems]))


def _bench(options: argparse.Namespace) -> None:
    from training.bench import bench  # brings torchvision, which no other command needs

    bench(options.steps, _say)


def _say(line: str) -> None:
    print(line, flush=True)


def keep_freed_memory() -> None:
    """Have glibc keep freed activations for the next step instead of returning them page by page; elsewhere nothing."""
    if sys.platform == "linux" and hasattr(os, "confstr") and "CS_GNU_LIBC_VERSION" in os.confstr_names:
        libc = ctypes.CDLL(None)
        for option, value in ((-3, 1 << 30), (-1, 2**31 - 1)):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD (malloc.h)
            libc.mallopt(option, value)


if __name__ == "__main__":
    sys.exit(main())
