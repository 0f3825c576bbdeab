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


def test_without_networks_it_says_how_to_get_some(site, tmp_path):
    code, printed, errors = run(site, tmp_path, "-m", "normzoo", "predict", str(site / "normzoo/app/photos/cat.jpg"))
    assert (code, printed) == (2, "")
    assert "There is no trained network in" in errors
    assert "--checkpoints" in errors
