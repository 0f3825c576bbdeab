"""`pip install .` from a copy of this checkout, into a folder of its own: the whole library, and the page's own files."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.driver import ROOT
from tests.house.test_house import PUBLIC_NAMES
from tests.support.checkpoints import save_variant

BUILT_FROM = ("LICENSE", "README.md", "pyproject.toml")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pip installs from."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "normzoo", source / "normzoo", ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, source)
    return source


@pytest.fixture(scope="module")
def site(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder into which it was installed, without a network: what it depends on is there already."""
    target = tmp_path_factory.mktemp("site")
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check", "--quiet", "--no-compile"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", target, "."], cwd=source, check=True)
    yield target
    shutil.rmtree(target)


def run(site: Path, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Python where nothing of this checkout is on its path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NORMZOO_")}
    environment |= {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_every_file_of_the_package_is_installed_and_nothing_else(source, site):
    def files(folder: Path) -> set[str]:
        found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {path.relative_to(folder).as_posix() for path in found}

    assert files(site / "normzoo") == files(source / "normzoo")
    assert {"py.typed", "app/components/page.css", "app/photos/dog.jpg"} <= files(site / "normzoo")
    assert {path.name.partition("-")[0] for path in site.iterdir()} == {"normzoo", "bin"}
    assert (site / "bin/normzoo").is_file()


def test_the_installed_library_has_its_names_and_classifies_a_photo_on_the_command_line(site, tmp_path):
    names = run(site, tmp_path, "-c", "import normzoo; print(normzoo.__file__, *normzoo.__all__)").stdout.split()
    assert names[0] == str(site / "normzoo/__init__.py")
    assert sorted(names[1:]) == sorted(PUBLIC_NAMES)
    save_variant(tmp_path / "zoo", "gn")
    photo = str(site / "normzoo/app/photos/dog.jpg")
    result = run(site, tmp_path, str(site / "bin/normzoo"), "predict", photo, "--json", "--checkpoints", str(tmp_path / "zoo"))
    assert list(json.loads(result.stdout)["networks"]) == ["gn"], result.stderr


def test_without_networks_it_says_how_to_get_some(site, tmp_path):
    result = run(site, tmp_path, "-m", "normzoo", "predict", str(site / "normzoo/app/photos/dog.jpg"))
    assert (result.returncode, result.stdout) == (2, "")
    assert "There is no trained network in" in result.stderr
    assert "--checkpoints" in result.stderr
