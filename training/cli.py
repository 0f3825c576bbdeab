"""The command line of the training; its options are the fields of the configurations."""

import argparse
import dataclasses
import functools
import hashlib
import json
import os
import re
import secrets
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from normzoo.allocator import disable_malloc_trim
from normzoo.check.report import check_apart
from normzoo.check.subject import Subject
from normzoo.config import fields_of
from normzoo.console import Parser, positive, run_command
from normzoo.errors import CheckpointError, ConfigError, NormZooError
from normzoo.formatting import visible
from normzoo.nn.own_norm import NAMES_VARIABLE, OWN_NORMS, name_own_norm, name_own_norms
from normzoo.nn.resnet import norm_keys
from normzoo.pretrained.registry import get_model_set
from training.compare import FIGURES, FORMATS, chart, chosen_rows, differences, finished_runs, table
from training.config import PLANS, RECIPE_FIELDS, RECIPES, SEARCH_HOLDOUT, Execution, Run, Study, flag
from training.data.dataset import ImageData, fetch, hold_out
from training.data.image_folder import open_images
from training.data.sources import SOURCES
from training.engine.distributed import is_writer, launched_replicas, process_group
from training.engine.speed import choose_precision
from training.engine.step import DEVICES, choose_device, start_of
from training.engine.trainer import LOOK, Interrupted, import_log, train
from training.launch.local import EXIT_BUSY, EXIT_INTERRUPTED, STOPPING, check_images, estimate, print_estimate, study
from training.launch.slurm import SUBMITIT_FILES, ClusterStudy, Resources, require_cluster, script
from training.measurements.batch_statistics import measure_batch_statistics
from training.measurements.ood import measure_ood
from training.measurements.robustness import measure_contrast
from training.package import package
from training.runs import RunBusyError, device_name
from training.search import SAMPLERS, Interval, search
from training.verify import evaluate, final_test

EXAMPLES = """from images to checkpoints:
  python -m training data fetch tiny-imagenet-25
  python -m training study --recipe paper --dry-run
  python -m training study --recipe paper
  python -m training package
  python -m training evaluate --check

with your own images, one folder per class:
  python -m training study --data path/to/folder --recipe strong

compare learning rates:
  python -m training study --norm bn,gn --lr 0.05,0.1,0.2 --seeds 0-4
  python -m training compare --by lr

python -m training COMMAND --help lists the options of a command."""

#: More runs than this need `--yes`.
MANY_RUNS = 500
_FOLDERS = {"runs": "raw runs", "checkpoints": "packaged results"}
#: Measurements of packaged networks.
_MEASUREMENTS = {"contrast": measure_contrast, "batch-statistics": measure_batch_statistics, "ood": measure_ood}
#: Old commands -> measurement.
_OLD_MEASUREMENTS = {"contrast": "contrast", "companies": "batch-statistics", "unknowns": "ood"}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = build_parser().parse_args(arguments)
    disable_malloc_trim()

    def call() -> int | None:
        try:
            name_own_norms()  # of the environment: the children of a study read them there
            for word in getattr(options, "own_norms", ()):
                name_own_norm(word)
            code: int | None = options.call(options)
        except (RunBusyError, Interrupted) as error:
            print(visible(str(error)), file=sys.stderr)
            return EXIT_BUSY if isinstance(error, RunBusyError) else EXIT_INTERRUPTED
        return code

    return run_command(call)


def build_parser() -> Parser:
    parser = Parser(
        prog="python -m training",
        description="Fetch images, train networks, package and check the results.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(*names: str, **options: Any) -> None:
        command.add_argument(*names, **options)

    command = parser.command(commands, "data", _fetch, "fetch a data set and build its cache")
    add("action", choices=["fetch"])
    add("name", metavar="NAME", help=f"one of: {', '.join(SOURCES)}")
    add("--archive", metavar="PATH-OR-URL", help="a copy of the official archive")
    add("--image-size", type=int, metavar="PIXELS", help="side of the square images (default: that of the data set)")

    command = parser.command(commands, "train", call_train, "train one network")
    add("--norm", required=True, metavar="KEY", help=f"one of: {', '.join(norm_keys())}; or FILE.py:CLASS")
    add("--seed", default="0", help="seed of initial weights, order and augmentation (default: 0)")
    _add_run_options(command)
    add("--no-sync-norms", dest="sync_norms", action="store_false", help="the opposite of --sync-norms")

    command = parser.command(commands, "study", call_study, "train many networks, one process per core; run again to resume")
    add("file", nargs="?", type=Path, metavar="FILE.toml", help="the settings below, each a value or a list")
    add("--plan", metavar="NAME", help=f"one of: {', '.join(PLANS)} (default: study, without other settings)")
    add("--norm", metavar="KEYS", help="all, or comma-separated keys or FILE.py:CLASS (default: all)")
    add("--seeds", metavar="N,N", help="such as 0,1,2 or 0-4 (default: 0)")
    add("--combine", metavar="HOW", help=f"{fields_of(Study)['combine'].description} (product or pairs)")
    add("--yes", action="store_true", help=f"allow more than {MANY_RUNS} runs")
    add("--search", action="append", metavar="SETTING=LOW..HIGH", help="search with Optuna, such as lr=0.01..1; repeatable")
    add("--trials", type=positive, default=12, metavar="N", help="trials of a search per norm (default: 12)")
    add("--sampler", choices=SAMPLERS, default=SAMPLERS[0], help="sampler of a search (default: %(default)s)")
    _add_run_options(command, without=("threads", "stop_after", "sync_norms"))
    add("--workers", type=positive, metavar="N", help="runs at a time (default: one per core, one on a GPU)")
    add("--launcher", choices=["local", "slurm"], default="local", help="this machine or a Slurm cluster (default: local)")
    group = command.add_argument_group("with --launcher slurm", "For the rest use Slurm's variables, such as SBATCH_ACCOUNT.")
    _add_fields(group, Resources)
    group.add_argument("--retry", action="store_true", default=None, help="submit failed runs again")

    command = parser.command(commands, "benchmark", _benchmark, "tune, train and measure a custom norm beside all others")
    add("norm", metavar="FILE.py:CLASS", help="the norm; this runs its file")
    add("--on", default="paper", metavar="RECIPES", help=f"comma-separated recipes ({', '.join(RECIPES)}; default: paper)")
    add("--data", default="tiny-imagenet-25", metavar="NAME-OR-FOLDER", help="as for study (default: %(default)s)")
    add("--seeds", default="0-2", metavar="N,N", help="seeds at the best learning rate, such as 0,1,2 (default: %(default)s)")
    add("--budget", type=_seconds, metavar="TIME", help="most time per recipe, such as 2h or 90min: fewer rates, then seeds")
    add("--dry-run", action="store_true", help="check the norm and estimate the time; train nothing")
    add("--out", type=Path, default=Path("benchmark"), metavar="FOLDER", help="folder of the tables (default: benchmark)")
    _add_folders(command, "runs", "checkpoints")
    add("--study", type=shlex.split, default=[], metavar="OPTIONS", help="options of study: --study='--workers 4'")

    command = parser.command(commands, "compare", _compare, "compare finished runs by their settings")
    add("--by", default="", metavar="SETTING", help="the setting whose values are compared, such as lr")
    add("--where", action="append", default=[], metavar="SETTING=VALUE", help="only such runs: recipe=strong, lr=0.05,0.1")
    add("--columns", metavar="NAMES", help=f"settings and figures ({', '.join(FIGURES)}) to show (default: what differs)")
    add("--format", choices=FORMATS, default="text", help="(default: text)")
    add("--chart", type=Path, metavar="FILE", help="draw validation accuracy against the setting of --by, as PNG or SVG")
    _add_folders(command, "runs", "checkpoints")

    command = parser.command(commands, "package", _package, "turn finished runs into checkpoint folders")
    add("--again", action="store_true", help="measure again; replace what has other settings or cannot be read")
    _add_folders(command, "runs", "checkpoints")
    _add_own_norms(command)

    command = parser.command(commands, "evaluate", _evaluate, "recompute the packaged figures")
    add("--check", action="store_true", help="fail if a figure differs from the stored one")
    add("--full", action="store_true", help="recompute every figure; needs the images and 45 minutes on two cores")
    add("--whole", action=_Renamed, new="full", help=argparse.SUPPRESS)
    _add_folders(command, "checkpoints")
    _add_own_norms(command)

    command = parser.command(commands, "test", _test, "evaluate packaged networks on test images, once, at the end")
    add("folder", type=Path, metavar="FOLDER", help="folder with test/<class>/… or <class>/…")
    add("--set", required=True, metavar="SET", help="the model set, such as my-pets/strong")
    _add_folders(command, "checkpoints")
    _add_own_norms(command)

    words = "measure packaged networks: low contrast, batch statistics at test time, out-of-distribution images"
    for name, help_ in {"measure": words, **dict.fromkeys(_OLD_MEASUREMENTS, "")}.items():
        command = parser.command(commands, name, functools.partial(_measure, command=name), help_)
        if name == "measure":
            add("what", choices=[*_MEASUREMENTS, "all"])
        add("--data", metavar="NAME", help="only networks of this data set (default: all)")
        _add_folders(command, "checkpoints")
        _add_own_norms(command)

    command = parser.command(commands, "report", _report, "write RESULTS.md and its charts from the packaged results")
    add("--check", action="store_true", help="write nothing; fail if the report is out of date")
    add("--out", type=Path, default=Path(), metavar="FOLDER", help="where to write (default: here)")
    _add_folders(command, "checkpoints")
    _add_own_norms(command)

    words = "upload the packaged networks, or the page as a Space, to the Hugging Face Hub"
    command = parser.command(commands, "publish", _publish, words)
    add("what", choices=["models", "space"])
    add("repository", metavar="USER/REPO", help="repository to upload to; created if it does not exist")
    add("--only", action="append", metavar="SET", help="only this model set, such as my-pets/strong; repeatable (default: all)")
    add("--license", metavar="ID", help="licence of the networks, such as cc-by-4.0 (default: none stated)")
    add("--dry-run", action="store_true", help="print the files and their sizes; upload nothing")
    add("--private", action="store_true", help="make a new repository private")
    hardware = ["cpu-basic", "cpu-upgrade", "zero-a10g"]
    add("--hardware", choices=hardware, help="hardware of a new Space (default: the Hub's)")
    _add_folders(command, "checkpoints")
    _add_own_norms(command)

    command = parser.command(commands, "bench", _bench, "measure the speed of training")
    add("--steps", type=positive, default=60, metavar="N", help="timed steps per measurement (default: 60)")
    add("--device", choices=DEVICES, default="auto", help="(default: auto)")
    add("--out", type=Path, metavar="FILE", help="write the figures to a JSON file")
    add("--norm", metavar="KEYS", help="comma-separated (default: the six norms)")
    add("--compile", choices=["auto", "on", "off"], default="auto", help="measure compiled steps as well (default: auto)")
    return parser


class _Renamed(argparse.Action):
    """Old name of an option, for one release."""

    def __init__(self, option_strings: list[str], dest: str, new: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)
        self.new = new

    def __call__(self, parser: Any, options: argparse.Namespace, values: Any, option: str | None = None) -> None:
        print(f"{option} is now called {flag(self.new)}; the old name will be removed in the next release.", file=sys.stderr)
        setattr(options, self.new, True)


def _add_fields(group: Any, cls: type, without: Iterable[str] = ()) -> None:
    """Add an option for each field of a configuration, which parses the text itself."""
    for name, about in fields_of(cls).items():
        if name in without or name == "sync_norms":
            continue
        if about.annotation is bool:
            group.add_argument(flag(name), action="store_true", default=None, help=about.description)
        else:
            group.add_argument(flag(name), metavar="X", help=about.description)


def _add_folders(command: argparse.ArgumentParser, *names: str) -> None:
    for name in names:
        words = f"{_FOLDERS[name]} (default: {name})"
        command.add_argument(flag(name), type=Path, default=Path(name), metavar="FOLDER", help=words)


def _add_run_options(command: argparse.ArgumentParser, without: Iterable[str] = ()) -> None:
    command.add_argument("--recipe", metavar="NAME", help=f"one of: {', '.join(RECIPES)} (default: paper)")
    words = (
        f"one of: {', '.join(SOURCES)}; a folder with <class>/… or train/<class>/… and optionally val/<class>/…, with "
        "Parquet files or WebDataset shards; or hf://datasets/user/name (default: tiny-imagenet-25)"
    )
    command.add_argument("--data", metavar="NAME-OR-FOLDER", help=words)
    command.add_argument("--holdout", metavar="SHARE", help="validate on this share of the training images (default: 0)")
    command.add_argument("--amp", metavar="PRECISION", help="fp32, bf16 or auto: the faster one, timed once (default: auto)")
    command.add_argument("--dry-run", action="store_true", help="estimate steps, time and disk space; train nothing")
    _add_fields(command, Execution, without)
    _add_folders(command, "runs")
    fields = command.add_argument_group("settings of the recipe", "Each defaults to the value of the recipe.")
    for name, about in RECIPE_FIELDS.items():
        fields.add_argument(flag(name), metavar="X", help=about.description)


def _add_own_norms(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--norm",
        dest="own_norms",
        type=lambda words: [word.strip() for word in words.split(",")],
        default=[],
        metavar="FILE.py:CLASS",
        help=f"custom norms of these networks, comma-separated (default: ${NAMES_VARIABLE}); this runs their files",
    )


def given(options: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name in names if (value := getattr(options, name, None)) is not None}


def chosen_study(options: argparse.Namespace) -> Study:
    """The study of the options, of the file, or of both."""
    fields = given(options, (*(name for name in fields_of(Study) if name != "changes"), *RECIPE_FIELDS))
    if getattr(options, "file", None):
        return Study.read(options.file, fields)
    if not fields.keys() - {"data", "seeds", "holdout", "amp"}:
        fields["plan"] = "study"
    return Study.from_fields(fields)


class Chosen:
    """Runs of a study with their images, opened once per size."""

    def __init__(self, study: Study, device: torch.device, root: Path) -> None:
        self.study, self.images = study, functools.cache(self._open)
        parts = study.parts()
        study.check_norms()
        first = study.runs(study.data, "fp32")[0].recipe  # the images' own size and name are known once they are open
        self.name = self.images(first.image_size).name
        recipe = study.runs(self.name, "fp32")[0].recipe
        precision = choose_precision(study.amp, recipe, device, say)
        runs = study.runs(self.name, precision) if parts else []
        for run in runs:
            start_of(run)  # is it there?
        self.runs = [_as_stored(run, root) for run in runs] if study.amp == "auto" else runs

    def _open(self, image_size: int) -> ImageData:
        data = open_images(self.study.data, image_size, say)
        for line in data.remarks():
            say(line)
        return hold_out(data, self.study.held_out) if self.study.held_out else data

    def data(self, run: Run) -> ImageData:
        return self.images(run.recipe.image_size)

    def digest(self, run: Run) -> str:
        return self.data(run).digest


def check_own_norms(norms: Iterable[str]) -> None:
    """Run the checks for every norm on custom norms, before training."""
    for norm in dict.fromkeys(norm for norm in norms if norm in OWN_NORMS):
        if not _checked(norm):
            raise ConfigError(f"{norm} fails a check, so it is not trained. Fix it; `normzoo check` shows details.")


@functools.cache
def _checked(norm: str) -> bool:
    report = check_apart(functools.partial(Subject, OWN_NORMS[norm]), norm, with_compiler=False)
    say(report.to_text())
    return report.passed


def _as_stored(run: Run, root: Path) -> Run:
    """The run with its stored precision, if nothing else differs."""
    try:
        stored = Run.from_dict(json.loads((run.folder(root) / "run.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, LookupError, TypeError, NormZooError):
        return run  # `train` says what is wrong with it
    return stored if dataclasses.replace(run, precision=stored.precision) == stored else run


def call_train(options: argparse.Namespace) -> None:
    """Train one network; under torchrun, in several processes."""
    options.seeds = options.seed
    chosen_one = chosen_study(options)
    _check_single(chosen_one)
    execution = Execution(**given(options, fields_of(Execution)))
    device = choose_device(execution.device)
    if execution.threads:
        torch.set_num_threads(execution.threads)
    if launched_replicas() > 1 and (options.dry_run or execution.compile == "on"):
        raise ConfigError("--dry-run and --compile on work in one process only. Omit them, or torchrun.")
    chosen = Chosen(chosen_one, device, options.runs)
    (run,) = chosen.runs
    if options.dry_run:
        check_own_norms(run.norm for run in chosen.runs)
        print_estimate(estimate([run], chosen.data, options.runs, device, execution.compile), options.runs, 1, say)
        return
    replicas = launched_replicas()
    with process_group(device):
        tell = say if is_writer() else _say_nothing
        if replicas > 1:
            tell(f"{replicas} processes, each with a share of each batch of {run.recipe.batch_size}.")
        state = train(run, chosen.data(run), options.runs, execution, tell, STOPPING)
        if execution.log_to:
            tell(f"To view the log: {LOOK[execution.log_to].format(runs=options.runs)}")
        tell(f"{run.variant}: {state.epoch} of {run.recipe.epochs} epochs in {run.folder(options.runs)}.")


def _check_single(study: Study) -> None:
    lists = {"norm": study.norm, "recipe": study.recipe, "seed": study.seeds, **study.changes}
    for name, values in lists.items():
        if len(values) != 1 or values == ("all",):
            words = ",".join(map(str, values))
            raise ConfigError(f"train takes one {name}, got {words!r}. For several use study.")


def call_study(options: argparse.Namespace) -> None:
    """Train many networks here or on a cluster, or estimate the time, or search a setting."""
    resources = _resources(options)
    if options.search:
        if resources:
            raise ConfigError("--search cannot use --launcher slurm. Run the same command on more machines: they share trials.")
        options.holdout = options.holdout or str(SEARCH_HOLDOUT)
    execution = Execution(**given(options, ("device", "compile", "log_to", "retrain")))
    device = choose_device("auto" if resources else execution.device)
    if not resources:
        torch.set_num_threads(1)  # as each worker
    on = torch.device(resources.device) if resources else device
    chosen = Chosen(chosen_study(options), on, options.runs)
    runs, root = chosen.runs, options.runs
    if options.search:
        _search(options, chosen, device, execution)
        return
    if options.dry_run:
        _dry_run(options, chosen, device, resources, execution)
        return
    if len(runs) > MANY_RUNS and not options.yes:
        raise ConfigError(f"These are {len(runs):,} runs. Add --yes to train them, or --dry-run to estimate their time.")
    for run in {run.recipe.image_size: run for run in runs}.values():
        chosen.data(run)  # decoded before any run begins
    check_images(runs, root, chosen.digest, execution.retrain, say)
    if execution.log_to:
        import_log(execution.log_to)
        say(f"To view the log: {LOOK[execution.log_to].format(runs=root)}")
    if resources:
        require_cluster()
    _keep_study(chosen, options)
    if resources:
        placed = dataclasses.replace(execution, device=resources.device, threads=resources.cpus_per_run)
        cluster = ClusterStudy(runs, root, resources, placed, chosen.digest, say)
        cluster.begin(bool(options.retry))
        cluster.watch()
        return
    arguments = [f"--compile={execution.compile}", f"--device={device.type}"]
    arguments += [f"--log-to={execution.log_to}"] * bool(execution.log_to) + ["--retrain"] * execution.retrain
    study(runs, root, _workers(options, device), arguments, chosen.digest, say)


def _search(options: argparse.Namespace, chosen: Chosen, device: torch.device, execution: Execution) -> None:
    """Run one search per norm, or estimate its time."""
    intervals = [Interval.parse(text) for text in options.search]
    check_own_norms(run.norm for run in chosen.runs)
    if options.dry_run:
        once = estimate(chosen.runs, chosen.data, options.runs, device, execution.compile)
        print_estimate([each for each in once for _ in range(options.trials)], options.runs, 1, say)
        return
    rows = []
    for run in chosen.runs:
        best = search(run, intervals, options.trials, options.sampler, chosen.data(run), options.runs, execution, say)
        accuracy = best.pop("accuracy")
        words = " ".join(f"{flag(key)} {value:g}" for key, value in best.items())
        rows.append((run.recipe.name, run.norm, *best.values(), f"{accuracy:.1%}", words))
    titles = ["recipe", "norm", *(each.name for each in intervals), "held-out accuracy", "options of study"]
    say(tabulate(rows, titles, "plain", disable_numparse=True))


def _benchmark(options: argparse.Namespace) -> None:
    """Study learning rates, then seeds at the best one; package, and write the table."""
    from normzoo.findings.learning_rate import without_rate
    from training import benchmark  # brings torchvision and scipy, which few need

    keys = name_own_norms(options.norm)
    if len(keys) != 1:
        raise ConfigError(f"benchmark takes one norm, got {options.norm}.")
    if not options.dry_run:
        check_own_norms(keys)

    def planned(*words: str) -> tuple[argparse.Namespace, Chosen]:
        same = [f"--norm={options.norm}", f"--data={options.data}", f"--runs={options.runs}", *options.study]
        made = build_parser().parse_args(["study", *same, *words, *(["--dry-run"] * options.dry_run)])
        return made, Chosen(chosen_study(made), choose_device("cpu"), options.runs)

    def studied(*words: str) -> list[Run]:
        made, chosen = planned(*words)
        call_study(made)
        return chosen.runs

    def within_budget(rates: Sequence[float], words: list[str]) -> tuple[Sequence[float], str]:
        """Rates and seeds that can be trained in time; begun rates are kept, so that a second call goes on."""
        (made, trials), (_, finals) = planned(*words), planned(words[0], f"--seeds={options.seeds}")
        device = choose_device(made.device or "auto")
        trial_time, final_time = (
            estimate(each.runs[:1], each.data, options.out, device)[0].seconds for each in (trials, finals)
        )
        begun = [run.recipe.lr for run in trials.runs if run.folder(options.runs).exists()]
        seeds = sorted({run.seed for run in finals.runs})
        limits = begun or rates, seeds, _workers(made, device)
        kept_rates, kept_seeds = benchmark.within_budget(options.budget, trial_time, final_time, *limits)
        return kept_rates, ",".join(map(str, kept_seeds))

    for recipe in options.on.split(","):
        rates: Sequence[float] = benchmark.rates_of(recipe)
        seeds = options.seeds
        trial = [f"--recipe={recipe}", f"--holdout={benchmark.TRIAL_HOLDOUT}", f"--epochs={benchmark.TRIAL_EPOCHS}"]
        if options.budget is not None:
            rates, seeds = within_budget(rates, [*trial, f"--lr={','.join(map(str, rates))}"])
            say(f"{recipe}: within the budget, learning rates {', '.join(f'{rate:g}' for rate in rates)} and seeds {seeds}.")
        if options.dry_run:
            say(f"\n{recipe}: finding the learning rate on held-out training images:")
        trials = studied(*trial, f"--lr={','.join(map(str, rates))}")
        rate = rates[0] if options.dry_run else benchmark.best_rate(trials, options.runs)
        words = "training at the best learning rate" if options.dry_run else f"the best learning rate is {rate:g}"
        say(f"\n{recipe}: {words}{':' * options.dry_run or '.'}")
        final = studied(f"--recipe={recipe}", f"--lr={rate}", f"--seeds={seeds}")[0]
        if not options.dry_run:
            package(options.runs, options.checkpoints, say)
            name = without_rate(final.recipe.name)
            table = benchmark.benchmark_table(options.checkpoints, final.data, name, torch.device("cpu"))
            benchmark.write_benchmark(table, options.out / keys[0] / recipe, device_name(), say)


def _seconds(text: str) -> float:
    """Read a time such as 2h, 1.5h or 90min."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(h|min)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"must be a time such as 2h or 90min, got {text!r}")
    return float(found[1]) * {"h": 3600, "min": 60}[found[2]]


def _resources(options: argparse.Namespace) -> Resources | None:
    """Return the cluster resources of each run, or None for this machine."""
    asked = given(options, fields_of(Resources))
    if options.launcher == "local":
        if asked or options.retry:
            name = flag(next(iter(asked), "retry"))
            raise ConfigError(f"{name} needs --launcher slurm. Add that, or omit {name}.")
        return None
    if options.workers is not None:
        raise ConfigError("--workers does not work with --launcher slurm. Use --array-limit instead.")
    resources = Resources(**asked)
    if options.device not in (None, "auto", resources.device):
        raise ConfigError(f"--device {options.device} contradicts --gpus-per-run {resources.gpus_per_run}. Omit one of them.")
    return resources


def _keep_study(chosen: Chosen, options: argparse.Namespace) -> None:
    """Store a file that reproduces this study beside its runs."""
    text = chosen.study.to_toml(chosen.name)
    folder = chosen.runs[0].folder(options.runs).parents[2]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{options.file.stem if options.file else 'study'}.toml"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        path = path.with_name(f"{path.stem}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.toml")
    if not path.exists():
        part = path.with_name(f".{path.name}-{secrets.token_hex(4)}")  # another study may write the same file now
        part.write_text(text, encoding="utf-8")
        part.replace(path)


def _workers(options: argparse.Namespace, device: torch.device) -> int:
    return options.workers or (1 if device.type == "cuda" else os.cpu_count() or 1)


def _dry_run(
    options: argparse.Namespace, chosen: Chosen, device: torch.device, resources: Resources | None, execution: Execution
) -> None:
    torch.set_num_threads(resources.cpus_per_run if resources else 1)
    check_own_norms(run.norm for run in chosen.runs)
    found = estimate(chosen.runs, chosen.data, options.runs, device, execution.compile)
    count = sum(each.epochs_left > 0 for each in found)
    workers = min(resources.array_limit or count, count) if resources else _workers(options, device)
    print_estimate(found, options.runs, workers, say)
    if resources and count:
        say(f"These times are for this machine. Requested from the cluster: {resources.total(count)}\nThe script:\n")
        say(script(options.runs / SUBMITIT_FILES, resources, count))


def say(line: str) -> None:
    """Print a line and flush."""
    print(visible(line), flush=True)


def _say_nothing(line: str) -> None:
    pass


def _fetch(options: argparse.Namespace) -> None:
    print(f"{options.name} is in {fetch(options.name, options.image_size, options.archive)}.")


def _compare(options: argparse.Namespace) -> None:
    rows = chosen_rows(finished_runs(options.runs, options.checkpoints), options.where)
    columns = options.columns.split(",") if options.columns else []
    say(table(rows, columns, options.by, options.format).rstrip("\n"))
    if options.by and options.format != "csv":
        note = "% " if options.format == "latex" else ""
        tested, alone = differences(rows, options.by, options.format)
        if tested:
            title = f"Accuracy of each {options.by} minus that of the best one, all else equal, in points:"
            say(f"\n{note}{title}\n{tested}")
            say(f"{note}The best one is chosen on the same images, so p is slightly too small; --holdout avoids that.")
        if alone:
            say(f"\n{note}Not tested, because no run differs in {options.by} alone: {'; '.join(alone)}.")
        if raw := int(rows["place"].isna().sum()):
            say(f"\n{note}{raw} of {len(rows)} runs are not packaged, so not tested. Package them: python -m training package")
    if options.chart:
        if not options.by or options.chart.suffix not in (".png", ".svg"):
            raise ConfigError(f"--chart needs --by and a .png or .svg file, got {options.chart}.")
        from normzoo.plotting.matplotlib import draw, to_bytes  # brings matplotlib, which few need

        options.chart.write_bytes(to_bytes(draw(chart(rows, options.by)), options.chart.suffix[1:]))
        say(f"\nThe chart is in {options.chart}.")


def _package(options: argparse.Namespace) -> None:
    package(options.runs, options.checkpoints, say, options.again)


def _evaluate(options: argparse.Namespace) -> None:
    problems = evaluate(options.checkpoints, say, full=options.full)
    if (options.check or options.full) and problems:
        raise CheckpointError("\n".join(["These figures differ from the stored ones:", *problems]))


def _test(options: argparse.Namespace) -> None:
    final_test(options.folder, get_model_set(options.set, options.checkpoints), say)


def _measure(options: argparse.Namespace, command: str) -> None:
    what = _OLD_MEASUREMENTS.get(command) or options.what
    if command in _OLD_MEASUREMENTS:
        print(f"`{command}` is now `measure {what}`; the old name will be removed in the next release.", file=sys.stderr)
    for name, measure in _MEASUREMENTS.items():
        if what in (name, "all"):
            measure(options.checkpoints, say, options.data)


def _report(options: argparse.Namespace) -> None:
    from training.report import check_report, write_report  # brings scipy, which no other command needs

    if not options.check:
        write_report(options.checkpoints, options.out, say)
    elif problems := check_report(options.checkpoints, options.out):
        raise CheckpointError("\n".join(["The report is out of date. Write it again: python -m training report", *problems]))


def _publish(options: argparse.Namespace) -> None:
    from training.publish import publish  # brings the Hub's client, which no other command needs

    new = given(options, ("private", "hardware", "license"))
    publish(options.repository, options.what, options.checkpoints, options.only, options.dry_run, say, **new)


def _bench(options: argparse.Namespace) -> None:
    from training.bench import bench  # brings torchvision, which no other command needs

    norms = name_own_norms(options.norm) if options.norm else None
    bench(choose_device(options.device), options.steps, norms, options.compile != "off", options.out, say)
