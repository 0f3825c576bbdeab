"""Provenance of a result: commit, versions, processor."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "pillow", "safetensors")


def provenance(command: str) -> dict[str, Any]:
    """Return what to store with a result made by this process: nothing of whose machine it is."""
    return {
        "command": command,
        "commit": commit(),
        "device": device_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def commit() -> str | None:
    """The commit of this code, with "+" where it was changed since; None outside a checkout."""
    try:
        head = _git("rev-parse", "HEAD", check=True).stdout.strip()
        dirty = _git("diff", "--quiet", "HEAD", "--", "*.py", check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if dirty else "")


def _git(*arguments: str, check: bool) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[1]
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=check)


def device_name() -> str:
    """The model name of the processor that trains."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
