"""The examples in the documentation: each public name has one, and all of them run."""

import doctest
import importlib
import inspect
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import normzoo
from normzoo.app.core.examples import FOLDER

ROOT = Path(__file__).parents[2]
DOCUMENTED = sorted({getattr(normzoo, name).__module__ for name in normzoo.__all__ if name != "NORM_LAYERS"})
PYTHON = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", normzoo.__all__)
def test_every_public_name_has_an_example(name):
    named = importlib.import_module("normzoo.nn.registry") if name == "NORM_LAYERS" else getattr(normzoo, name)
    assert name in re.sub(r"^(?! *>>>| *\.\.\.).*$", "", inspect.getdoc(named) or "", flags=re.MULTILINE)


@pytest.mark.parametrize("module", DOCUMENTED)
def test_the_examples_give_what_they_say(module, monkeypatch):
    monkeypatch.chdir(ROOT)
    names = {"normzoo": normzoo, "torch": torch, "np": np}
    result = doctest.testmod(importlib.import_module(module), extraglobs=names, report=False)
    assert result.attempted > 0
    assert result.failed == 0  # what failed is printed


@pytest.mark.parametrize("code", PYTHON, ids=[code.splitlines()[-1][:40] for code in PYTHON])
def test_the_code_in_the_readme_runs(code, monkeypatch, tmp_path):
    shutil.copy(FOLDER / "dog.jpg", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
