"""From this checkout to the Hugging Face Hub: the packaged model sets, or the page as a Space."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, SpaceHardware, get_token

from normzoo.errors import CheckpointError, DataError, HubError
from normzoo.nn.named_norms import COPY
from normzoo.pretrained.checkpoint import CARD, FILES, TABLES
from normzoo.pretrained.hub import PREFIX, HubId, explain
from normzoo.pretrained.registry import ModelSet, list_model_sets
from normzoo.pretrained.serialization import read_text
from training.hub.repository_card import repository_card

ROOT = Path(__file__).parents[2]
#: What the page needs, and no more: no training, no tests. The checkpoints come besides.
SPACE_FILES = ("README.md", "LICENSE", "requirements.txt", "app.py", "normzoo/**/*")
#: What an earlier version may have left in these folders of a Space is deleted.
SPACE_FOLDERS = ("normzoo/", "checkpoints/")

Files = dict[str, Path | bytes]  # path in the repository -> a file here, or what it holds


@dataclass(frozen=True)
class Upload:
    """Files that go to the Hub, and where."""

    repository: str
    kind: str  # model or space
    files: Files
    private: bool  # where the repository is new
    hardware: str | None = None  # of a new Space

    def send(self, api: HfApi, message: str) -> str:
        """Make the repository where there is none, and commit the files; gives the address of the commit."""
        is_space = self.kind == "space"
        api.create_repo(
            self.repository,
            repo_type=self.kind,
            private=self.private or None,
            exist_ok=True,
            space_sdk="gradio" if is_space else None,
            space_hardware=SpaceHardware(self.hardware) if self.hardware else None,
        )
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(name, file) for name, file in self.files.items()
        ]
        if is_space:
            there = api.list_repo_files(self.repository, repo_type=self.kind)
            stale = [name for name in there if name.startswith(SPACE_FOLDERS) and name not in self.files]
            operations += [CommitOperationDelete(name) for name in stale]
        return api.create_commit(self.repository, operations, commit_message=message, repo_type=self.kind).commit_url


def publish_models(
    repository: str,
    checkpoints: Path,
    dry_run: bool = False,
    private: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Upload every packaged variant, in one commit, with a card of the whole.

    Raises:
        CheckpointError: a variant is damaged, or there is none.
        HubError: the Hub cannot be reached, or does not take it.
    """
    model_sets = _whole_sets(checkpoints)
    card = repository_card(repository, model_sets).encode()
    files = {"README.md": card, **_checkpoint_files(model_sets, checkpoints)}
    _publish(Upload(repository, "model", files, private), dry_run, say)


def publish_space(
    repository: str,
    checkpoints: Path,
    dry_run: bool = False,
    private: bool = False,
    hardware: str | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Upload the page with its checkpoints, in one commit, as a Space that starts by itself.

    Args:
        hardware: what a new Space runs on, by the Hub's name; None takes what the Hub gives.

    Raises:
        CheckpointError: a variant is damaged, or there is none.
        HubError: the Hub cannot be reached, or does not take it.
    """
    _publish(Upload(repository, "space", space_files(checkpoints), private, hardware), dry_run, say)


def space_files(checkpoints: Path) -> Files:
    """Every file of the Space.

    Raises:
        CheckpointError: a variant is damaged, or there is none.
        DataError: this is no checkout, but for instance an installed package.
    """
    files: Files = {}
    for pattern in SPACE_FILES:
        found = [path for path in sorted(ROOT.glob(pattern)) if path.is_file() and "__pycache__" not in path.parts]
        if not found:
            raise DataError(f"There is no {pattern} in {ROOT}: publish the Space from a checkout of the whole repository.")
        files |= {path.relative_to(ROOT).as_posix(): path for path in found}
    return files | {
        f"checkpoints/{name}": path for name, path in _checkpoint_files(_whole_sets(checkpoints), checkpoints).items()
    }


def _whole_sets(checkpoints: Path) -> list[ModelSet]:
    """The model sets, each of whose checkpoints was read once to see that it can be."""
    model_sets = list_model_sets(checkpoints)
    if not any(model_set.checkpoints for model_set in model_sets):
        raise CheckpointError(f"No packaged checkpoint under {checkpoints}. Make them with: python -m training package")
    for model_set in model_sets:
        problems = dict(model_set.problems)
        for variant, checkpoint in model_set.checkpoints.items():
            try:
                checkpoint.load_model(), checkpoint.history(), checkpoint.val_logits(), read_text(checkpoint.folder / CARD)
            except CheckpointError as error:
                problems[variant] = str(error)
        if problems:
            reasons = "\n".join(f"{model_set.name}/{variant}: {problem}" for variant, problem in problems.items())
            raise CheckpointError(f"Nothing is published while a network is damaged.\n{reasons}")
    return model_sets


def _checkpoint_files(model_sets: Iterable[ModelSet], checkpoints: Path) -> Files:
    folders = [checkpoint.folder for model_set in model_sets for checkpoint in model_set.checkpoints.values()]
    paths = [folder / file for folder in folders for file in (*FILES, COPY)]
    paths += [data / table for data in dict.fromkeys(folder.parents[1] for folder in folders) for table in TABLES]
    return {path.relative_to(checkpoints).as_posix(): path for path in paths if path.is_file()}


def _publish(upload: Upload, dry_run: bool, say: Callable[[str], None]) -> None:
    repository, kind, files = upload.repository, upload.kind, upload.files
    if HubId.parse(f"{PREFIX}{repository}") != HubId(repository):
        raise HubError(f"{repository!r} cannot be the name of a repository on the Hugging Face Hub: name it as user/repo.")
    sizes = {name: len(file) if isinstance(file, bytes) else file.stat().st_size for name, file in files.items()}
    total = f"{len(sizes)} files, {sum(sizes.values()) / 1e6:.1f} MB"
    if dry_run:
        for name, size in sizes.items():
            say(f"{size:>10,}  {name}")
        say(f"{total} would go to the {kind} {repository}. Nothing was sent.")
        return
    if get_token() is None:
        raise HubError("There is no token for the Hugging Face Hub: `hf auth login`, or set HF_TOKEN to one that may write.")
    try:
        url = upload.send(HfApi(), f"NormZoo: {total}")
    except Exception as error:  # the Hub's own, those of its HTTP client, and those of the disk have no common base
        raise HubError(explain(error, repository)) from error
    say(f"{total} are at {url}")
