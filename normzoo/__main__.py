"""The library on the command line: `normzoo predict PHOTO` and `normzoo check FILE.py:CLASS`."""

import argparse
import csv
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from normzoo.check.report import WIDTH, behaves, check_apart, in_own_process
from normzoo.check.subject import CHOICES, SYMBOLS, Subject
from normzoo.console import Parser, positive, run_command
from normzoo.errors import CheckpointError, ConfigError, ImageError
from normzoo.formatting import csv_cell, visible
from normzoo.images.limits import MAX_BYTES
from normzoo.images.preprocess import load_image, to_pixels
from normzoo.inference.predict import Prediction, Statistics, agreement, check_statistics, predict, predict_many
from normzoo.nn.own_norm import name_own_norms, read_own_norm
from normzoo.pretrained.export import export_onnx
from normzoo.pretrained.registry import (
    Model,
    ModelSet,
    checkpoints_root,
    default_model_set,
    get_model_set,
    list_model_sets,
    load_models,
    nothing_in,
)
from normzoo.variants import short_name


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = build_parser().parse_args(arguments)

    def call() -> int:
        name_own_norms()
        code: int = options.call(options) or 0
        return code

    return run_command(call)


def build_parser() -> Parser:
    parser = Parser(prog="normzoo", description="Networks that differ only in their normalization layer.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    command = parser.command(commands, "predict", _predict, "classify a photo with every network")
    command.add_argument(
        "photos",
        metavar="PHOTO",
        nargs="+",
        help="JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF files, folders of them, or - for standard input",
    )
    command.add_argument("--model-set", metavar="NAME", help="such as tiny-imagenet-25/paper (default: as on the page)")
    command.add_argument("--variants", type=_words, metavar="KEY,KEY", help="such as bn,gn (default: the six norms)")
    command.add_argument("--k", type=positive, default=5, metavar="N", help="number of classes per network (default: 5)")
    command.add_argument(
        "--statistics",
        type=_statistics,
        default="running",
        metavar="WHICH",
        help="statistics of batch and batch-instance normalization: running, batch (of all photos together), or a blend in "
        "which the running ones count as N photos (default: running)",
    )
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV, one row per photo and network")
    command.add_argument(
        "--checkpoints",
        metavar="PLACE",
        help="folder of the networks, or hf://user/repo[@revision] on the Hugging Face Hub "
        "(default: $NORMZOO_CHECKPOINTS, else the folder beside the library)",
    )

    command = parser.command(commands, "export", _export, "write a trained network as an ONNX file")
    command.epilog = (
        "The model takes images, float32 RGB from 0 to 1, (N, 3, S, S), and returns logits; its metadata name the classes."
    )
    command.add_argument("file", type=Path, metavar="FILE.onnx", help="file to write, such as bn.onnx")
    command.add_argument("--variant", metavar="KEY", help="network to export (default: the name of the file)")
    command.add_argument("--model-set", metavar="NAME", help="such as tiny-imagenet-25/paper (default: as on the page)")
    command.add_argument("--checkpoints", metavar="PLACE", help="as for predict")
    command.add_argument(
        "--photos",
        metavar="FOLDER",
        help="images on which ONNX Runtime must give PyTorch's logits (default: 64 random images)",
    )

    command = parser.command(commands, "check", _check, "compare your norm layer with the formulas")
    command.epilog = _CHECK_EPILOG
    command.add_argument(
        "layer", metavar="FILE.py:CLASS", help="your layer, a torch.nn.Module built with the number of channels"
    )
    command.add_argument(
        "--as",
        dest="kind",
        choices=CHOICES,
        metavar="KIND",
        help=f"what it should be, one of: {', '.join(CHOICES)} "
        "(default: what it computes); own: check only what holds for every norm",
    )
    command.add_argument(
        "--args",
        default="",
        metavar="NAME=VALUE,…",
        help='for its constructor, where it takes other arguments than the usual ones: "shape=(C, H, W)"; '
        f"{', '.join(f'{letter} is {size}' for letter, size in SYMBOLS.items())}",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--verbose", action="store_true", help="show every check, not only those that fail")

    command = parser.command(commands, "identify", _identify, "identify which norm your layer computes")
    command.epilog = _CHECK_EPILOG
    command.add_argument("layer", metavar="FILE.py:CLASS", help="your layer")
    command.add_argument("--args", default="", metavar="NAME=VALUE,…", help="arguments of its constructor")
    command.add_argument("--json", action="store_true", help="print JSON")
    return parser


_CHECK_EPILOG = "This runs the file with all your rights. The exit code is 0 if all checks pass."


def _check(options: argparse.Namespace) -> int:

    if sys.stderr.isatty():
        print(f"Checking {options.layer} …", file=sys.stderr)
    name = options.layer.rpartition(":")[2]
    report = check_apart(lambda: Subject(read_own_norm(options.layer), options.kind, options.args), name)
    print(report.to_json() if options.json else report.to_text(options.verbose))
    return 0 if report.passed else 1


def _export(options: argparse.Namespace) -> None:

    variant = options.variant or options.file.stem
    model = load_models(_model_set(options.model_set, options.checkpoints), [variant])[variant]
    size = model.config.image_size
    if options.photos:
        images = [image for _, image in _images(_sources(options.photos))]
        if not images:
            raise ImageError(f"{options.photos} holds no photo that can be read. Give another folder.")
        pixels = torch.stack([torch.from_numpy(to_pixels(image, size).copy()) for image in images])
    else:
        pixels = torch.randint(0, 256, (64, size, size, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    difference = export_onnx(model.network, model.config, options.file, pixels)
    print(f"{options.file}: ONNX Runtime gives PyTorch's logits on {len(pixels)} images (largest difference {difference:.1e}).")


def _identify(options: argparse.Namespace) -> None:

    def found() -> dict[str, str]:
        subject = Subject(read_own_norm(options.layer), None, options.args)
        return {"layer": subject.own.name, "kind": subject.kind, "behaves": behaves(subject)}

    try:
        fields = in_own_process(found)
    except (TimeoutError, ChildProcessError) as error:
        raise ConfigError(f"{options.layer} does not return: {error}.") from error
    text = f"{fields['layer']}: {fields['behaves']}"
    print(json.dumps(fields, indent=1, ensure_ascii=False) if options.json else textwrap.fill(text, WIDTH))


def _predict(options: argparse.Namespace) -> int:
    """Classify each photo; the exit code is 1 if some cannot be read, 2 if none can."""
    model_set = _model_set(options.model_set, options.checkpoints)
    models, unavailable = _load(model_set, options.variants)
    if not models:
        raise CheckpointError("\n".join(unavailable.values()) or f"No network of {model_set.name} can be read.")
    sources = [source for photo in options.photos for source in _sources(photo)]
    answers: list[dict[str, Any]] = []
    rows = csv.writer(sys.stdout, lineterminator="\n") if options.csv else None
    if rows:
        rows.writerow(("photo", "variant", "answer", "probability"))
    for name, predictions in _answers(models, sources, options.k, options.statistics):
        answers.append(_answer(name, model_set.name, predictions) | {"unavailable": unavailable})
        if rows:
            rows.writerows(
                (csv_cell(visible(name)), variant, csv_cell(visible(found.top[0][0])), found.top[0][1])
                for variant, found in predictions.items()
            )
        elif not options.json:
            _print_words(answers[-1], predictions, with_name=len(sources) > 1)
    if options.json and answers:
        print(visible(json.dumps(answers[0] if len(sources) == 1 else answers, indent=1, ensure_ascii=False)))
    if not options.json:
        for problem in unavailable.values():
            print(visible(problem), file=sys.stderr)
    return 0 if len(answers) == len(sources) else 1 if answers else 2


def _answers(
    models: Mapping[str, Model], sources: list[tuple[str, bytes | Path]], k: int, statistics: Statistics
) -> Iterator[tuple[str, dict[str, Prediction]]]:
    """Yield name and predictions of every readable photo; print the others on standard error."""
    images = _images(sources)
    if statistics == "running":
        yield from ((name, predict(models, image, k)) for name, image in images)
        return
    size = next(iter(models.values())).config.image_size  # kept small: they go through together
    small = [(name, Image.fromarray(to_pixels(image, size))) for name, image in images]
    if small:
        names, squares = zip(*small, strict=True)
        yield from zip(names, predict_many(models, squares, k, statistics), strict=True)


def _images(sources: list[tuple[str, bytes | Path]]) -> Iterator[tuple[str, Image.Image]]:
    for name, source in sources:
        try:
            yield name, load_image(source, allow_tiff=True)
        except ImageError as error:
            print(visible(f"{name}: {error}"), file=sys.stderr)


def _sources(photo: str) -> list[tuple[str, bytes | Path]]:
    """Return the photos of an argument, with their names: a file, every file below a folder, or standard input.

    Raises:
        ImageError: a folder without files.
    """
    if photo == "-":
        return [("standard input", sys.stdin.buffer.read(MAX_BYTES + 1))]
    path = Path(photo)
    if not path.is_dir():
        return [(photo, path)]
    files = sorted(each for each in path.rglob("*") if each.is_file() and not each.name.startswith("."))
    if not files:
        raise ImageError(f"{photo} holds no file. Give another folder.")
    return [(str(each), each) for each in files]


def _answer(photo: str, model_set: str, predictions: Mapping[str, Prediction]) -> dict[str, Any]:
    networks = {
        variant: {
            "name": short_name(variant),
            "answer": prediction.label,
            "top": [{"class": label, "probability": round(probability, 6)} for label, probability in prediction.top],
        }
        for variant, prediction in predictions.items()
    }
    sentence = agreement({variant: prediction.label for variant, prediction in predictions.items()}).sentence
    return {"photo": photo, "model_set": model_set, "agreement": sentence, "networks": networks}


def _print_words(answer: dict[str, Any], predictions: Mapping[str, Prediction], with_name: bool) -> None:
    if with_name:
        print(visible(f"{answer['photo']}:"))
    width = max(len(short_name(variant)) for variant in predictions)
    for variant, prediction in predictions.items():
        top = ", ".join(f"{' '.join(label.split())} {probability:.1%}" for label, probability in prediction.top)
        print(visible(f"{short_name(variant):{width}}  {top}"))
    print(visible(answer["agreement"]))


def _model_set(name: str | None, place: str | None) -> ModelSet:
    root = checkpoints_root(place)
    if name:
        return get_model_set(name, root)
    model_set = default_model_set(list_model_sets(root))
    if model_set is None:
        raise nothing_in(root)
    return model_set


def _load(model_set: ModelSet, variants: list[str] | None) -> tuple[dict[str, Model], dict[str, str]]:
    """Return the networks, and the reason for each that cannot be loaded."""
    models, unavailable = {}, {}
    for variant in variants or [*model_set.main_variants, *model_set.problems]:
        try:
            models.update(load_models(model_set, [variant]))
        except CheckpointError as error:
            unavailable[variant] = str(error)
    return models, unavailable


def _words(text: str) -> list[str]:

    return [word.strip() for word in text.split(",") if word.strip()]


def _statistics(word: str) -> Statistics:

    try:
        return check_statistics(float(word) if word[:1].isdigit() else word)
    except (ConfigError, ValueError):
        raise argparse.ArgumentTypeError(f"must be running, batch or a number of photos from 0, got {word!r}") from None


if __name__ == "__main__":
    sys.exit(main())
