"""python -m training COMMAND: fetch images, train networks, package and check the results."""

import argparse
import ctypes
import os
import sys
from pathlib import Path

import torch

from normzoo.errors import NormZooError
from normzoo.resnet import norm_keys
from training import data as image_data
from training.archives import SOURCES
from training.recipes import RECIPES, Recipe, get_recipe
from training.step import PRECISIONS, choose_precision
from training.trainer import Interrupted, Run, train


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
    command.add_argument("--threads", type=int, metavar="N", help="cores to use (default: all)")
    command.add_argument("--stop-after", type=int, metavar="EPOCH", help="stop after this epoch; the same command goes on")
    _add_run_options(command)
    command.set_defaults(call=_train)
    return parser


def _add_run_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--recipe", default="paper", metavar="NAME", help=f"one of: {', '.join(RECIPES)} (default: paper)")
    command.add_argument("--data", default="tiny-imagenet-25", metavar="NAME", help="data set (default: tiny-imagenet-25)")
    command.add_argument("--epochs", type=int, help="instead of the recipe's")
    command.add_argument("--batch-size", type=int, help="instead of the recipe's")
    command.add_argument("--lr", type=float, help="instead of the recipe's")
    command.add_argument(
        "--amp",
        default="auto",
        metavar="PRECISION",
        help=f"{', '.join(PRECISIONS)}, or auto: bf16 convolutions where the CPU has them in hardware (default: auto)",
    )
    command.add_argument("--compile", choices=["auto", "on", "off"], default="auto", help="torch.compile (default: auto)")
    command.add_argument("--runs", type=Path, default=Path("runs"), metavar="FOLDER", help="raw runs (default: runs)")


def _recipe(options: argparse.Namespace) -> Recipe:
    changes = {name: getattr(options, name) for name in ("epochs", "batch_size", "lr")}
    return get_recipe(options.recipe).changed(**{name: value for name, value in changes.items() if value is not None})


def _fetch(options: argparse.Namespace) -> None:
    print(f"{options.name} is in {image_data.fetch(options.name, options.image_size, options.archive)}.")


def _train(options: argparse.Namespace) -> None:
    if options.threads:
        torch.set_num_threads(options.threads)
    run = Run(options.data, _recipe(options), options.norm, options.seed, choose_precision(options.amp))
    state = train(
        run,
        image_data.load(run.data, run.recipe.image_size),
        options.runs,
        compiled={"auto": None, "on": True, "off": False}[options.compile],
        stop_after=options.stop_after,
        say=_say,
    )
    print(f"{run.variant}: {state.epoch} of {run.recipe.epochs} epochs are in {run.folder(options.runs)}.")


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
