"""python -m training COMMAND: fetch images, train networks, package and check the results."""

import argparse
import os
import sys
from pathlib import Path

from normzoo.allocator import keep_freed_memory
from normzoo.errors import CheckpointError, NormZooError
from normzoo.nn.named_norms import name_own_norm, name_own_norms
from normzoo.nn.resnet import norm_keys
from training.cli import runs
from training.cli.options import (
    EXAMPLES,
    add_choice_of_runs,
    add_cluster_options,
    add_folder_options,
    add_own_norms,
    add_run_options,
    positive,
)
from training.cli.runs import say
from training.data.dataset import fetch
from training.data.sources import SOURCES
from training.engine.distributed import launched_replicas
from training.engine.step import DEVICES, choose_device
from training.engine.trainer import Interrupted
from training.evaluation.package import package
from training.evaluation.verify import evaluate
from training.experiment.runs import RunBusyError
from training.launch.study import EXIT_BUSY, EXIT_INTERRUPTED
from training.measurements.companies import measure_companies
from training.measurements.contrast import measure_contrast
from training.measurements.unknowns import measure_unknowns

#: Commands that measure what is stored beside the networks of a data set.
_MEASUREMENTS = {
    "contrast": (measure_contrast, "measure why less contrast harms the packaged networks"),
    "companies": (measure_companies, "measure what batch statistics of the images themselves change"),
    "unknowns": (measure_unknowns, "measure how sure the packaged networks are of things they do not know"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; gives the exit code."""
    options = build_parser().parse_args(arguments)
    keep_freed_memory()
    try:
        name_own_norms()  # of the environment: the children of a study read them there
        for word in getattr(options, "own_norms", ()):
            name_own_norm(word)
        options.call(options)
    except (NormZooError, Interrupted) as error:
        print(error, file=sys.stderr)
        if isinstance(error, RunBusyError):
            return EXIT_BUSY
        return EXIT_INTERRUPTED if isinstance(error, Interrupted) else 2
    except BrokenPipeError:  # whoever reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        print(
            f"{error.filename or 'A file'} cannot be used ({error.strerror}). Check the path, and who may write there.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("Stopped. What was saved stays; the same command goes on from there.", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    command = commands.add_parser("data", help="fetch a data set and build its cache")
    command.add_argument("action", choices=["fetch"])
    command.add_argument("name", metavar="NAME", help=f"one of: {', '.join(SOURCES)}")
    command.add_argument("--archive", metavar="PATH-OR-URL", help="a copy of the official archive")
    command.add_argument("--image-size", type=int, metavar="PIXELS", help="side of the squares (default: the data set's own)")
    command.set_defaults(call=_fetch)

    command = commands.add_parser("train", help="train one network")
    command.add_argument("--norm", required=True, metavar="KEY", help=f"one of: {', '.join(norm_keys())}; or FILE.py:CLASS")
    command.add_argument("--seed", type=int, default=0, help="decides initial weights, order and augmentation (default: 0)")
    command.add_argument("--threads", type=positive, metavar="N", help="cores to use (default: all)")
    command.add_argument("--stop-after", type=positive, metavar="EPOCH", help="stop after this epoch; the same command goes on")
    command.add_argument(
        "--no-sync-norms",
        action="store_true",
        help="under torchrun: batch statistics of each process's share alone (default: of the whole batch)",
    )
    add_run_options(command)
    command.set_defaults(call=runs.call_train)

    command = commands.add_parser("study", help="train many networks, a process per core; call again to go on")
    add_choice_of_runs(command)
    command.add_argument(
        "--workers", type=positive, metavar="N", help="runs at a time, each a process (default: one per core, one on a GPU)"
    )
    add_cluster_options(command)
    command.set_defaults(call=runs.call_study)

    command = commands.add_parser("package", help="turn finished runs into checkpoint folders")
    command.add_argument(
        "--again", action="store_true", help="measure again what is packaged already, and replace what was trained otherwise"
    )
    add_folder_options(command, "runs", "checkpoints")
    add_own_norms(command)
    command.set_defaults(call=_package)

    command = commands.add_parser("evaluate", help="compute the packaged figures again")
    command.add_argument("--check", action="store_true", help="fail where a figure differs from the stored one")
    command.add_argument(
        "--whole", action="store_true", help="every stored figure, not a sample of what takes long; half an hour on two cores"
    )
    add_folder_options(command, "checkpoints")
    add_own_norms(command)
    command.set_defaults(call=_evaluate)

    for name, (measure, words) in _MEASUREMENTS.items():
        command = commands.add_parser(name, help=words)
        command.add_argument("--data", metavar="NAME", help="networks of this data set alone (default: all)")
        add_folder_options(command, "checkpoints")
        add_own_norms(command)
        command.set_defaults(call=lambda options, measure=measure: measure(options.checkpoints, say, options.data))

    command = commands.add_parser("report", help="write RESULTS.md and its figures from what is packaged")
    command.add_argument("--check", action="store_true", help="write nothing; fail where it is no longer what is packaged")
    command.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="where to (default: here)")
    add_folder_options(command, "checkpoints")
    add_own_norms(command)
    command.set_defaults(call=_report)

    command = commands.add_parser(
        "publish", help="upload the packaged networks, or the page as a Space, to the Hugging Face Hub"
    )
    command.add_argument("what", choices=["models", "space"])
    command.add_argument("repository", metavar="USER/REPO", help="where to; made if it is not there")
    command.add_argument("--dry-run", action="store_true", help="print the files and their sizes, and send nothing")
    command.add_argument("--private", action="store_true", help="make a new repository private")
    hardware = ["cpu-basic", "cpu-upgrade", "zero-a10g"]
    command.add_argument("--hardware", choices=hardware, help="of a new Space (default: what the Hub gives)")
    add_folder_options(command, "checkpoints")
    add_own_norms(command)
    command.set_defaults(call=_publish)

    command = commands.add_parser("bench", help="measure the speed of training")
    command.add_argument("--steps", type=positive, default=60, metavar="N", help="timed steps of each kind (default: 60)")
    command.add_argument("--device", choices=DEVICES, default="auto", help="what follows concerns GPUs (default: auto)")
    command.add_argument("--out", type=Path, default=Path("bench-gpu.json"), metavar="FILE", help="figures (bench-gpu.json)")
    command.add_argument("--norm", metavar="KEYS", help="comma-separated (default: the zoo and torch's own)")
    command.add_argument(
        "--compile", choices=["auto", "on", "off"], default="auto", help="compiled steps, last (default: auto)"
    )
    command.set_defaults(call=_bench)
    return parser


def _fetch(options: argparse.Namespace) -> None:
    print(f"{options.name} is in {fetch(options.name, options.image_size, options.archive)}.")


def _package(options: argparse.Namespace) -> None:
    package(options.runs, options.checkpoints, say, options.again)


def _evaluate(options: argparse.Namespace) -> None:
    problems = evaluate(options.checkpoints, say, whole=options.whole)
    if options.check and problems:
        raise CheckpointError("\n".join(["These figures are not what is stored:", *problems]))


def _report(options: argparse.Namespace) -> None:
    from training.report.build import check_report, write_report  # brings matplotlib and scipy, which no other command needs

    if not options.check:
        write_report(options.checkpoints, options.out, say)
    elif problems := check_report(options.checkpoints, options.out):
        raise CheckpointError("\n".join(["The report is stale. Write it again: python -m training report", *problems]))


def _publish(options: argparse.Namespace) -> None:
    from training.hub.publish import publish_models, publish_space  # brings the Hub's client, which no other command needs

    where = {name: getattr(options, name) for name in ("repository", "checkpoints", "dry_run", "private")}
    if options.what == "models":
        publish_models(**where, say=say)
    else:
        publish_space(**where, hardware=options.hardware, say=say)


def _bench(options: argparse.Namespace) -> None:
    device = choose_device(options.device)
    from training.benchmarks.cpu import bench  # brings torchvision, which no other command needs
    from training.benchmarks.gpu import bench_gpu

    if device.type == "cuda":
        norms = name_own_norms(options.norm) if options.norm else None
        bench_gpu(device, options.out, norms, options.compile != "off", options.steps, say=say)
        return

    bench(options.steps, say)


if __name__ == "__main__":
    code = main()
    if launched_replicas() > 1:
        # The threads of torch's process group outlive it, and on a busy machine were seen to abort the end of the interpreter.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
