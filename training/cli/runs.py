"""The commands that train: `train` and `study`."""

import argparse
import os

import torch

from normzoo.errors import ConfigError
from normzoo.nn.named_norms import name_own_norms, own_sha256
from training.cli.options import check_own_norms, chosen_images, chosen_recipe, chosen_resources, chosen_runs, images_of
from training.data.dataset import ImageData
from training.engine.distributed import is_writer, launched_replicas, process_group
from training.engine.loggers import import_log
from training.engine.step import choose_device, choose_precision
from training.engine.trainer import train
from training.experiment.recipes import Recipe
from training.experiment.runs import Run
from training.launch.cluster import SUBMITIT_FILES, cluster_study
from training.launch.estimate import forecast, tell
from training.launch.slurm import Resources, script
from training.launch.study import study


def call_train(options: argparse.Namespace) -> None:
    """Train one network; under torchrun, together with the other processes."""
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = chosen_recipe(options)
    data = chosen_images(options, recipe, options.holdout)
    device = choose_device(options.device)
    if launched_replicas() > 1:
        _train_replica(options, recipe, data, device)
        return
    run = _run(options, recipe, data, device)
    if options.dry_run:
        check_own_norms([run], say)
        tell(forecast([run], data, options.runs, device), options.runs, 1, say)
        return
    state = train(
        run,
        data,
        options.runs,
        compiled={"auto": None, "on": True, "off": False}[options.compile],
        stop_after=options.stop_after,
        device=device,
        log_to=options.log_to,
        say=say,
    )
    print(f"{run.variant}: {state.epoch} of {run.recipe.epochs} epochs are in {run.folder(options.runs)}.")


def _run(options: argparse.Namespace, recipe: Recipe, data: ImageData, device: torch.device) -> Run:
    norms = name_own_norms(options.norm)
    if len(norms) != 1:
        raise ConfigError(f"train takes one norm, got {options.norm!r}. Use study for several.")
    precision = choose_precision(options.amp, device.type)
    return Run(data.name, recipe, norms[0], options.seed, precision, data.holdout, own_sha256(norms[0]))


def _train_replica(options: argparse.Namespace, recipe: Recipe, data: ImageData, device: torch.device) -> None:
    if options.dry_run or options.compile == "on":
        raise ConfigError("--dry-run and --compile on are for one process. Leave them out, or torchrun.")
    run = _run(options, recipe, data, device)
    with process_group(device) as own_device:
        tell_once = say if is_writer() else _say_nothing
        tell_once(f"{launched_replicas()} processes, each with its share of a batch of {recipe.batch_size}.")
        sync = not options.no_sync_norms
        state = train(
            run,
            data,
            options.runs,
            stop_after=options.stop_after,
            device=own_device,
            sync_norms=sync,
            log_to=options.log_to,
            say=tell_once,
        )
        tell_once(f"{run.variant}: {state.epoch} of {run.recipe.epochs} epochs are in {run.folder(options.runs)}.")


def call_study(options: argparse.Namespace) -> None:
    """Train many networks here or on a cluster, or foretell it."""
    resources = chosen_resources(options)
    device = choose_device("auto" if resources else options.device)
    runs = chosen_runs(options, resources.device if resources else device.type)
    if options.dry_run:
        _foretell_study(options, runs, device, resources)
        return
    arguments = [f"--compile={options.compile}", f"--device={resources.device if resources else device.type}"]
    if options.log_to:
        import_log(options.log_to)
        arguments.append(f"--log-to={options.log_to}")
    if resources:
        arguments.append(f"--threads={resources.cpus}")
        cluster_study(runs, options.runs, resources, arguments, bool(options.retry), say)
    else:
        study(runs, options.runs, _workers(options, device), arguments, say)


def _workers(options: argparse.Namespace, device: torch.device) -> int:
    return options.workers or (1 if device.type == "cuda" else os.cpu_count() or 1)


def _foretell_study(options: argparse.Namespace, runs: list[Run], device: torch.device, resources: Resources | None) -> None:
    torch.set_num_threads(resources.cpus if resources else 1)  # as each worker
    check_own_norms(runs, say)
    forecasts = forecast(runs, images_of(runs[0]), options.runs, device)
    count = sum(each.epochs_left > 0 for each in forecasts)
    workers = min(resources.at_a_time or count, count) if resources else _workers(options, device)
    tell(forecasts, options.runs, workers, say)
    if resources and count:
        say(f"The times are those of this machine. The cluster is asked for: {resources.total(count)}\nBy this script:\n")
        say(script(options.runs / SUBMITIT_FILES, resources, count))


def say(line: str) -> None:
    """Print a line at once, for who watches through a pipe."""
    print(line, flush=True)


def _say_nothing(line: str) -> None:
    pass
