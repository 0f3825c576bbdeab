"""`pip install .` from a copy of this checkout, into a folder of its own: the whole library, and the page's own files."""

import json
import os
import shutil
import subprocess
import sys

import pytest

import normzoo
from tests.browser.driver import ROOT
from tests.support import warm
from tests.support.checkpoints import save_variant

pytestmark = pytest.mark.process

BUILT_FROM = ("LICENSE", "README.md", "pyproject.toml")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """What pip installs from."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "normzoo", source / "normzoo", ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, source)
    return source


@pytest.fixture(scope="module")
def site(source, tmp_path_factory):
    """The folder into which it was installed, without a network: what it depends on is there already."""
    target = tmp_path_factory.mktemp("site")
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check", "--quiet", "--no-compile"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", target, "."], cwd=source, check=True)
    yield target
    shutil.rmtree(target)


def environment(site):
    """Of a process that finds what is installed, and nothing of this checkout."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NORMZOO_")}
    return inherited | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}


def run(site, folder, *arguments):
    """Exit code, output and errors of such a Python."""
    return warm.run([sys.executable, *arguments], folder, environment(site))


def test_every_file_of_the_package_is_installed_and_nothing_else(source, site):
    def files(folder):
        found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {path.relative_to(folder).as_posix() for path in found}

    assert files(site / "normzoo") == files(source / "normzoo")
    assert {"py.typed", "app/components/page.css", "app/photos/cat.jpg"} <= files(site / "normzoo")
    assert {path.name.partition("-")[0] for path in site.iterdir()} == {"normzoo", "bin"}
    assert (site / "bin/normzoo").is_file()


def test_the_installed_library_has_its_names_and_classifies_a_photo_on_the_command_line(site, tmp_path):
    names = run(site, tmp_path, "-c", "import normzoo; print(normzoo.__file__, *normzoo.__all__)")[1].split()
    assert names[0] == str(site / "normzoo/__init__.py")
    assert sorted(names[1:]) == sorted(normzoo.__all__)
    save_variant(tmp_path / "zoo", "gn")
    photo = str(site / "normzoo/app/photos/cat.jpg")
    command = [str(site / "bin/normzoo"), "predict", photo, "--json", "--checkpoints", str(tmp_path / "zoo")]
    _, printed, errors = run(site, tmp_path, *command)
    assert list(json.loads(printed)["networks"]) == ["gn"], errors


#: A stranger's environment after `pip install '.[app]'`: of the packages here those alone that follow from what is declared.
DECLARED_ONLY = """
import sys
from importlib.abc import MetaPathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

def closure(lines, extra=""):
    found, waiting = set(), [(Requirement(line), extra) for line in lines]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        for extra in ("", *requirement.extras):
            if (name, extra) not in found:
                found.add((name, extra))
                try:
                    waiting += [(Requirement(line), extra) for line in requires(name) or []]
                except PackageNotFoundError:
                    pass
    return {name for name, _ in found}

class OnlyDeclared(MetaPathFinder):
    def __init__(self, allowed):
        self.foreign = {
            module for module, names in packages_distributions().items()
            if module != "normzoo" and not {canonicalize_name(name) for name in names} & allowed
        }
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.foreign:
            raise ModuleNotFoundError(f"{name} is not among what pyproject.toml declares", name=name)

declared = requires("normzoo")
sys.meta_path.insert(0, OnlyDeclared(closure(declared, "app")))
"""
OPEN_EVERY_TAB = """
import inspect, pkgutil, importlib
from pathlib import Path
import normzoo
from normzoo.app import build_demo
from normzoo.images.corruptions import CORRUPTIONS
for module in pkgutil.walk_packages(normzoo.__path__, "normzoo."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
events = {event.api_name: event.fn for event in build_demo(Path(sys.argv[1])).fns.values()}
photo = {"path": sys.argv[2]}
choices = {
    "model_set": "toy/paper", "variants": None, "metric": "loss", "splits": "Both", "photo": photo,
    "photos": {"set": "drawings"},
    "smoothing": 0, "log_axes": [], "severity": 3, "variant": "gn", "view": "All networks, one metric",
}
opened = []
for name, function in events.items():
    parameters = inspect.signature(function).parameters.values() if function and name else ()
    needed = [each.name for each in parameters if each.default is each.empty]
    if needed and set(needed) <= set(choices):
        function(*(choices[each] for each in needed))
        opened.append(name)
print(" ".join(opened))
"""


def test_what_is_declared_is_enough_for_every_tab(site, tmp_path):
    for variant in ("bn", "gn"):
        save_variant(tmp_path / "zoo", variant)
    photo = str(site / "normzoo/app/photos/cat.jpg")
    # Not a warm one, which has packages already.
    command = [sys.executable, "-c", DECLARED_ONLY + OPEN_EVERY_TAB, str(tmp_path / "zoo"), photo]
    result = subprocess.run(command, cwd=tmp_path, env=environment(site), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert {"results", "evidence", "many_photos", "learning_curves"} <= set(result.stdout.split())


def test_without_networks_it_says_how_to_get_some(site, tmp_path):
    code, printed, errors = run(site, tmp_path, "-m", "normzoo", "predict", str(site / "normzoo/app/photos/cat.jpg"))
    assert (code, printed) == (2, "")
    assert "There is no trained network in" in errors
    assert "--checkpoints" in errors
