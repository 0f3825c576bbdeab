"""The rules of the house that no linter holds: what is pinned, what importing does, what the README and the allocator do."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.support import warm
from tests.support.tiny import ROOT

pytestmark = pytest.mark.process

PINS = dict(
    line.split("==")
    for file in ("requirements.txt", "requirements-dev.txt")
    for line in (ROOT / file).read_text().splitlines()
    if "==" in line
)


def python_files(*folders):
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


PRODUCT = [*python_files("normzoo", "training"), "app.py"]


def parse(path):
    return ast.parse((ROOT / path).read_text(), path)


def imports(path):
    """The full names of the modules that a file imports, at the top or anywhere inside."""
    package = Path(path).parent.parts
    found = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*parents, *filter(None, [node.module])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def committed_files():
    """What git has or would take: tracked files and new ones that it does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("This is no git checkout: what would be committed is not known.")
    return sorted({path for path in listed.split("\0") if (ROOT / path).is_file()})


def test_every_imported_package_is_pinned():
    packages = {name.partition(".")[0] for path in PRODUCT for name in imports(path)} - sys.stdlib_module_names
    providers = packages_distributions()
    for package in packages - {"normzoo", "training", "spaces"}:  # spaces: Hugging Face brings it
        names = {name.lower().replace("_", "-") for name in providers[package]}
        assert names & set(PINS), f"{package} is in no requirements file"


def test_every_package_that_the_library_and_the_page_import_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {
        name: {re.split(r"[<>=\[]", line)[0] for line in lines} for name, lines in project["optional-dependencies"].items()
    }
    core = {re.split(r"[<>=\[]", line)[0] for line in project["dependencies"]}
    providers = packages_distributions()
    for path in PRODUCT:
        allowed = core | (declared["app"] if path.startswith(("normzoo/app", "app.py")) else set())
        for package in {name.partition(".")[0] for name in imports(path)} - sys.stdlib_module_names:
            if package not in {"normzoo", "training", "spaces"} and not path.startswith("training/"):
                names = {name.lower().replace("_", "-") for name in providers[package]}
                assert names & allowed, f"{path} imports {package}, which pyproject.toml does not declare for it"


#: What Windows has not.
POSIX_ONLY = ("fcntl", "grp", "posix_ipc", "pwd", "resource", "termios", "tty", "pty", "syslog")


def test_importing_everything_does_nothing_visible_and_needs_no_module_that_windows_has_not(tmp_path):
    names = ", ".join(module_name(path) for path in PRODUCT)
    # What others import of these is theirs to guard: they are imported first.
    others = (
        "import asyncio, subprocess, multiprocessing, torch, gradio, matplotlib, sklearn.metrics, torchvision, filelock, tqdm"
    )
    hide = f"{others}\nfor name in {POSIX_ONLY}: sys.modules[name] = None"
    run_silently(f"import os, sys; os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'\n{hide}\nimport {names}", tmp_path)


def run_silently(code, folder):
    """Run `code` with the checkout on its path, in an empty folder, with arguments that no parser would take."""
    empty = folder / "empty"
    empty.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    assert warm.run([sys.executable, "-c", code, "--no-such-option"], folder, environment, empty) == (0, "", "")
    assert list(empty.iterdir()) == []


def module_name(path):
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_import_normzoo_alone_brings_neither_gradio_nor_training(tmp_path):
    code = "import normzoo, sys\nassert not {'gradio', 'training', 'normzoo.app'} & set(sys.modules)"
    run_silently(code, tmp_path)


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_exact_and_name_no_host(file):
    lines = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]
    wrong = [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==\d+(\.\d+)*", line) and line != "-r requirements.txt"]
    assert wrong == []
    pins = [line for line in lines if "==" in line]
    assert pins == sorted(pins)


def front_matter():
    text = (ROOT / "README.md").read_text()
    assert text.startswith("---\n"), "Spaces reads its settings from the very first line of README.md"
    loaded = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(loaded, dict)
    return loaded


def test_spaces_gets_the_gradio_that_is_pinned():
    settings = front_matter()
    assert settings["sdk"] == "gradio"
    assert settings["sdk_version"] == PINS["gradio"]
    assert settings["python_version"] == "3.11"  # a string: YAML reads a bare 3.10 as 3.1
    assert (ROOT / str(settings["app_file"])).is_file()


def tree_of_files():
    """The paths in the tree of CONTRIBUTING.md; folders end in a slash."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    block = re.search(r"^## Where things are\n.*?^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert block, "CONTRIBUTING.md has no fenced tree under `## Where things are`"
    paths, folders = [], []
    for line in block[1].splitlines():
        match = re.fullmatch(r"(?P<indent>(  )*)(?P<name>\S+) +# \S.*", line)
        assert match, f"not `path  # one line`: {line!r}"
        folders[len(match["indent"]) // 2 :] = [match["name"]]
        paths.append("".join(folders))
    return paths


def test_the_tree_in_contributing_is_that_of_the_folders():
    tree = tree_of_files()
    assert [path for path in tree if not (ROOT / path).exists()] == []
    folders = {f"{Path(path).parent.as_posix()}/" for path in PRODUCT if "/" in path}
    assert {folder for folder in folders if folder not in tree and folder.count("/") <= 2} == set()


def test_no_committed_file_is_over_2_mb():
    sizes = {path: (ROOT / path).stat().st_size for path in committed_files()}
    assert {path: size for path, size in sizes.items() if size > 2_000_000} == {}


def test_no_image_of_a_data_set_is_committed():
    files = committed_files()
    # Tiny ImageNet's names, archives and caches, and anything of the size of a training image.
    named = [path for path in files if re.search(r"(n\d{8}_\d+|val_\d+)\.jpe?g$|\.(zip|tar|gz|npy|npz)$", path, re.IGNORECASE)]
    assert named == []
    for path in files:
        if re.search(r"\.(jpe?g|png|webp|gif|bmp)$", path, re.IGNORECASE):
            with Image.open(ROOT / path) as image:
                assert image.size not in [(32, 32), (64, 64)], f"{path} has the size of a training image"


PAGE_FAULTS = """
import resource, sys
import torch
from normzoo import allocator
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    allocator.disable_malloc_trim()
    allocator.limit_malloc_arenas(2)
torch.ones(8_000_000)  # 32 MB
found = []
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        torch.ones(16_000_000)
    found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(found))  # a system that is short of memory takes some of it back meanwhile
"""


def test_memory_that_is_kept_need_not_be_asked_for_again(tmp_path):
    keep, leave = (
        int(warm.run([sys.executable, "-c", PAGE_FAULTS, word], tmp_path, None, ROOT)[1]) for word in ("keep", "leave")
    )
    assert keep * 2 < leave
