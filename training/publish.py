"""Upload to the Hugging Face Hub: packaged model sets, or the page as a Space."""

import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, SpaceHardware, get_token

from normzoo.errors import CheckpointError, ConfigError, DataError, HubError
from normzoo.nn.own_norm import COPY
from normzoo.pretrained.checkpoint import CARD, FILES, TABLES
from normzoo.pretrained.hub import explain, require_name
from normzoo.pretrained.registry import ModelSet, list_model_sets
from normzoo.pretrained.serialization import read_text
from training.cards import model_card, repository_card

ROOT = Path(__file__).parents[1]
#: What the page needs, besides the checkpoints; only tracked files.
SPACE_FILES = ("README.md", "LICENSE", "requirements.txt", "app.py", "normzoo")
#: Folders of a Space in which files of earlier versions are deleted.
SPACE_FOLDERS = ("normzoo/", "checkpoints/")

Files = dict[str, Path | bytes]  # path in the repository -> a file here, or what it holds


def publish(
    repository: str,
    what: str,
    checkpoints: Path,
    only: Sequence[str] | None = None,
    dry_run: bool = False,
    say: Callable[[str], None] = print,
    *,
    private: bool = False,
    hardware: str | None = None,
    license: str | None = None,
) -> None:
    """Upload packaged model sets with a card, or the page with them as a Space, in one commit.

    Args:
        what: models or space.
        only: names of the model sets; None: all.
        private: where the repository is new.
        hardware: of a new Space, by the Hub's name; None takes what the Hub gives.
        license: of the networks, by its name on the Hub.
    """
    require_name(repository)
    model_sets = _whole_sets(checkpoints, only)
    files = _checkpoint_files(model_sets, checkpoints, license)
    kind = "space" if what == "space" else "model"
    if kind == "space":
        files = page_files() | {f"checkpoints/{name}": file for name, file in files.items()}
    else:
        files = {CARD: repository_card(repository, model_sets, license).encode(), **files}
    sizes = {name: len(file) if isinstance(file, bytes) else file.stat().st_size for name, file in files.items()}
    total = f"{len(sizes)} files, {sum(sizes.values()) / 1e6:.1f} MB"
    if dry_run:
        for name, size in sizes.items():
            say(f"{size:>10,}  {name}")
        say(f"{total} would be uploaded to the {kind} {repository}. Nothing was uploaded.")
        return
    if get_token() is None:
        raise HubError("The Hugging Face Hub needs a token with write access. Run `hf auth login`, or set HF_TOKEN.")
    api = HfApi()
    operations: list[CommitOperationAdd | CommitOperationDelete] = [CommitOperationAdd(*each) for each in files.items()]
    try:
        new: dict[str, Any] = {"space_sdk": "gradio"} if kind == "space" else {}
        new |= {"space_hardware": SpaceHardware(hardware)} if hardware else {}
        api.create_repo(repository, repo_type=kind, private=private or None, exist_ok=True, **new)
        if kind == "space":
            there = api.list_repo_files(repository, repo_type=kind)
            stale = [name for name in there if name.startswith(SPACE_FOLDERS) and name not in files]
            operations += [CommitOperationDelete(name) for name in stale]
        url = api.create_commit(repository, operations, commit_message=f"NormZoo: {total}", repo_type=kind).commit_url
    except Exception as error:  # the Hub's own, those of its HTTP client, and those of the disk have no common base
        raise HubError(explain(error, repository)) from error
    say(f"{total} are at {url}")


def page_files(root: Path = ROOT) -> Files:
    """Every tracked file of the page."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z", "--", *SPACE_FILES], cwd=root, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        listing = ""
    names = [name for name in listing.split("\0") if name and (root / name).is_file()]
    if missing := [each for each in SPACE_FILES if not any(f"{name}/".startswith(f"{each}/") for name in names)]:
        raise DataError(f"{root} lacks {missing[0]}. Publish the Space from a complete checkout of the repository.")
    return {name: root / name for name in names}


def _whole_sets(checkpoints: Path, only: Sequence[str] | None) -> list[ModelSet]:
    """The model sets, after reading each checkpoint."""
    model_sets = list_model_sets(checkpoints)
    if not any(model_set.checkpoints for model_set in model_sets):
        raise CheckpointError(f"No packaged checkpoint under {checkpoints}. Package runs with: python -m training package")
    names = [model_set.name for model_set in model_sets]
    for name in only or ():
        if name not in names:
            raise ConfigError(f"Unknown model set {name!r}. Choose from: {', '.join(names)}.")
    model_sets = [model_set for model_set in model_sets if only is None or model_set.name in only]
    for model_set in model_sets:
        problems = dict(model_set.problems)
        for variant, checkpoint in model_set.checkpoints.items():
            try:
                checkpoint.load_model(), checkpoint.history(), checkpoint.val_logits(), read_text(checkpoint.folder / CARD)
            except CheckpointError as error:
                problems[variant] = str(error)
        if problems:
            reasons = "\n".join(f"{model_set.name}/{variant}: {problem}" for variant, problem in problems.items())
            raise CheckpointError(f"A network is damaged, so nothing is published.\n{reasons}")
    return model_sets


def _checkpoint_files(model_sets: Iterable[ModelSet], checkpoints: Path, license: str | None) -> Files:
    found = [checkpoint for model_set in model_sets for checkpoint in model_set.checkpoints.values()]
    paths = [checkpoint.folder / file for checkpoint in found for file in (*FILES, COPY)]
    paths += [data / table for data in dict.fromkeys(each.folder.parents[1] for each in found) for table in TABLES]
    files: Files = {path.relative_to(checkpoints).as_posix(): path for path in paths if path.is_file()}
    for checkpoint in found if license else ():
        card = model_card(checkpoint.config, checkpoint.metrics, license)
        files[(checkpoint.folder / CARD).relative_to(checkpoints).as_posix()] = card.encode()
    return files
