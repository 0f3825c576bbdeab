"""The commands of `python -m training` that a machine with a GPU is for."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from normzoo.errors import ConfigError, TrainingError
from normzoo.nn.resnet import norm_keys
from training.engine.budget import Budget
from training.engine.packing import pack, unpack
from training.engine.step import DEVICES, choose_device, missing_for_compile
from training.engine.together import Hardware, train_together
from training.engine.verify import verify
from training.experiment.runs import Run
from training.launch.study import progress_table

Say = Callable[[str], None]
#: Kept of a budget for saving, packing and the end of the process.
RESERVE_SECONDS = 15


def add_gpu_commands(
    commands: Any, add_choice: Callable[[argparse.ArgumentParser], None], choose_runs: Callable[..., list[Run]], say: Say
) -> None:
    """Add the commands.

    Args:
        commands: what `add_subparsers` gave.
        add_choice: adds the options that choose runs.
        choose_runs: (options, device) -> the runs that these options choose, in order of worth.
    """
    command = commands.add_parser("queue", help="train many networks on one GPU, several at a time; call again to go on")
    add_choice(command)
    add_device_options(command)
    command.add_argument("--streams", type=int, default=6, metavar="N", help="runs at a time (default: 6)")
    command.add_argument(
        "--budget", type=float, default=math.inf, metavar="SECONDS", help="end, all saved and packed, within this time"
    )
    command.add_argument("--pack", type=Path, metavar="FOLDER", help="at the end, pack all raw runs into a few files there")
    command.set_defaults(call=lambda options: _queue(options, choose_runs, say))

    command = commands.add_parser("pack", help="put all raw runs into a few files that travel")
    _add_pack_options(command)
    command.set_defaults(call=lambda options: pack(options.runs, options.folder, say))

    command = commands.add_parser("unpack", help="put packed runs back; what is further already is kept")
    _add_pack_options(command)
    command.set_defaults(call=lambda options: unpack(options.folder, options.runs, say))

    command = commands.add_parser("verify", help="do graphs and compiled steps train to the same weights as plain steps?")
    command.add_argument("--norm", metavar="KEYS", help="comma-separated (default: the zoo and torch-bn)")
    command.add_argument("--device", choices=DEVICES, default="auto")
    command.set_defaults(call=lambda options: _verify(options, say))


def add_device_options(command: argparse.ArgumentParser) -> None:
    """What to train on, and how."""
    command.add_argument(
        "--device", choices=DEVICES, default="auto", help="auto: a CUDA GPU where there is one (default: auto)"
    )
    command.add_argument(
        "--graph",
        choices=["auto", "on", "off"],
        default="auto",
        help="replay each step as a CUDA graph; on a CPU, on takes the same path without a graph (default: auto)",
    )


def _add_pack_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, metavar="FOLDER", help="where the files are")
    command.add_argument("--runs", type=Path, default=Path("runs"), metavar="FOLDER", help="raw runs (default: runs)")


def choose_hardware(options: argparse.Namespace, streams: int = 1) -> Hardware:
    """What the options ask for. Steps are compiled only where that is asked for: it takes longer than capturing them."""
    device = choose_device(options.device)
    if options.log_to:
        raise ConfigError("--log-to is for runs on CPUs or under torchrun. Leave it out, or add --device cpu.")
    compiled = options.compile == "on"
    if compiled and (reason := missing_for_compile()):
        raise ConfigError(f"--compile on needs a compiler, and there is {reason} here. Use --compile off.")
    return Hardware(device, graph=options.graph != "off", compiled=compiled, streams=streams)


def _queue(options: argparse.Namespace, choose_runs: Callable[..., list[Run]], say: Say) -> None:
    budget = Budget(options.budget - RESERVE_SECONDS)
    hardware = choose_hardware(options, options.streams)
    runs = choose_runs(options, hardware.device.type)
    try:
        finished = train_together(runs, options.runs, hardware, budget=budget, say=say)
        say(f"{len(finished)} of {len(runs)} runs are finished. The same command goes on from here.")
    finally:
        say(progress_table(runs, options.runs))
        if options.pack:
            pack(options.runs, options.pack, say)


def _verify(options: argparse.Namespace, say: Say) -> None:
    norms = options.norm.split(",") if options.norm else None
    for norm in norms or []:
        if norm not in norm_keys():
            raise ConfigError(f"Unknown norm {norm!r}. Choose from: {', '.join(norm_keys())}.")
    wrong = [each for each in verify(choose_device(options.device), norms, say) if not each.within]
    if wrong:
        raise TrainingError(f"{len(wrong)} ways of doing a step trained to other weights than plain steps.")


def bench_gpu(options: argparse.Namespace, device: torch.device, say: Say) -> None:
    """`bench` on a GPU."""
    from training.benchmarks.gpu import gpu_bench  # brings torchvision, which no other command needs

    norms = options.norm.split(",") if options.norm else None
    gpu_bench(device, options.out, norms=norms, compiled=options.compile != "off", budget=Budget(options.budget), say=say)
