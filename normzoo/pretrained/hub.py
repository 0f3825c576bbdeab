"""Model sets on the Hugging Face Hub: downloaded once, then read from the local cache."""

import glob
import re
from dataclasses import dataclass
from pathlib import Path

from normzoo.errors import HubError
from normzoo.nn.own_norm import COPY
from normzoo.pretrained.checkpoint import FILES, METRICS, TABLES

#: Checkpoints are in `<data set>/<recipe>/<variant>`; only their files are downloaded.
DEPTH = 3
PREFIX = "hf://"


@dataclass(frozen=True)
class HubId:
    """A repository of the Hub, or a part of it: `hf://user/repo[/<data set>[/<recipe>[/<variant>]]][@revision]`.

    The prefix is required: the name of a missing set is never requested from the Hub, where anyone could register it.
    """

    repository: str
    folder: str = ""
    revision: str | None = None  # a branch, a tag or a commit; None is the newest of the main branch

    @classmethod
    def parse(cls, text: str) -> "HubId | None":
        """Parse a text; None if it names nothing on the Hub."""
        if not text.startswith(PREFIX):
            return None
        name, at, revision = text.removeprefix(PREFIX).partition("@")
        user, _, rest = name.partition("/")
        repository, *folders = rest.split("/")
        named = all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", part) for part in (user, repository))
        named &= len(folders) <= DEPTH and not any(part[:1] in ("", ".") for part in folders)
        if not named or (at and not revision):
            return None
        return cls(f"{user}/{repository}", "/".join(folders), revision or None)

    @property
    def depth(self) -> int:
        """Number of folders named."""
        return len(self.folder.split("/")) if self.folder else 0


def download(hub_id: HubId, is_one: bool = False) -> Path:
    """Return the local folder of a repository's model sets, after downloading what `hub_id` names.

    Unchanged files in the cache are not downloaded again. Offline, or with `HF_HUB_OFFLINE=1`, only the cache is used.

    Args:
        is_one: the repository has one checkpoint, as from `upload`; return its folder.
    """
    from huggingface_hub import snapshot_download  # here, as few need it: it would slow every start

    named = [glob.escape(part) for part in hub_id.folder.split("/") if part]
    folders = "" if is_one else "/".join([*named, *["*"] * (DEPTH - len(named)), ""])
    tables = [] if is_one else [f"{folders.split('/')[0]}/{table}" for table in TABLES]
    try:
        snapshot = snapshot_download(
            hub_id.repository,
            revision=hub_id.revision,
            allow_patterns=[*(f"{folders}{file}" for file in (*FILES, COPY)), *tables],
            ignore_patterns="/".join("*" * (DEPTH + 2)),  # there a star stands for slashes too
        )
    except Exception as error:  # the Hub's own, those of its HTTP client, and those of the disk have no common base
        raise HubError(explain(error, hub_id.repository)) from error
    root = Path(snapshot)
    if not any(root.glob(f"{folders}{METRICS}")):
        wanted = (
            "the repository of one checkpoint" if is_one else "a repository whose folders are <data set>/<recipe>/<variant>"
        )
        raise HubError(
            f"{hub_id.repository} on the Hugging Face Hub has no NormZoo checkpoint"
            f"{f' under {hub_id.folder}' if hub_id.folder else ''}. Give {wanted}."
        )
    return root


def upload(folder: Path, repository: str, private: bool | None = None) -> str:
    """Upload one checkpoint as a repository of its own, its files at the top; return its address."""
    from huggingface_hub import HfApi

    require_name(repository)
    try:
        api = HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        files = [*FILES, COPY]
        return api.upload_folder(
            repo_id=repository, folder_path=folder, allow_patterns=files, commit_message="NormZoo"
        ).commit_url
    except Exception as error:  # as above
        raise HubError(explain(error, repository)) from error


def require_name(repository: str) -> None:
    """Raise a HubError unless it is a valid repository name."""
    if HubId.parse(f"{PREFIX}{repository}") != HubId(repository):
        raise HubError(f"{repository!r} is not a valid repository name on the Hugging Face Hub. Give user/repo.")


def explain(error: Exception, repository: str) -> str:
    """Return one sentence on a failure of the Hub, with what to do."""
    from huggingface_hub import errors, get_token

    if isinstance(error.__cause__, errors.HfHubHTTPError) and not isinstance(error, errors.HfHubHTTPError):
        error = error.__cause__
    unreachable = (errors.LocalEntryNotFoundError, errors.IncompleteSnapshotError, errors.FileMetadataError)
    if isinstance(error, errors.GatedRepoError):
        return f"{repository} is gated. Accept its terms on its page on the Hugging Face Hub, then run `hf auth login`."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repository} has no such revision. Give one of its branches, tags or commits after the @."
    if isinstance(error, errors.HFValidationError):
        return f"{repository!r} is not a valid repository name on the Hugging Face Hub. Give user/repo."
    if isinstance(error, errors.HfHubHTTPError):
        is_missing = isinstance(error, errors.RepositoryNotFoundError)
        return _explain_status(error.response.status_code, is_missing, get_token() is not None, repository)
    if isinstance(error, OSError) and not isinstance(error, (*unreachable, ConnectionError, TimeoutError)):
        return f"{repository} could not be stored on this machine ({error}). Free some space, or set HF_HOME."
    return (
        f"The Hugging Face Hub cannot be reached, and {repository} is not in the cache. Connect to the network, "
        "unset HF_HUB_OFFLINE, and try again."
    )


def _explain_status(status: int, is_missing: bool, has_token: bool, repository: str) -> str:
    if status == 401 and has_token:
        return "The Hugging Face Hub rejected your token. Run `hf auth login` again, or set HF_TOKEN to a valid one."
    if status == 401 or is_missing:  # to strangers the Hub does not say which
        return (
            f"You have no access to {repository} on the Hugging Face Hub, or it does not exist. Check the name; if it is "
            "private, run `hf auth login` or set HF_TOKEN."
        )
    if status == 402:
        return f"The Hugging Face Hub asks for a paid account for {repository}: a free one may use --hardware zero-a10g."
    if status == 403:
        return f"Your token has no right to do this with {repository}: use one that has, from huggingface.co/settings/tokens."
    return f"The Hugging Face Hub answered {repository} with the error {status}: try again later."
