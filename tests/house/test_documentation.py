"""The examples in the documentation: each public name has one, and all of them run."""

import doctest
import importlib
import inspect
import json
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
NOTEBOOK = ROOT / "docs" / "norms-by-hand.ipynb"
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
    shutil.copy(FOLDER / "cat.jpg", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


def test_the_notebook_runs_from_the_first_cell_to_the_last(monkeypatch, tmp_path, capsys):
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "notebook"}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    told = capsys.readouterr().out
    assert names["values"]["gn"].arithmetic in told
    assert names["agreement"]({norm: answer.label for norm, answer in names["answers"].items()}).sentence in told
    assert names["figure"].axes


def test_the_notebook_is_stored_without_what_a_run_leaves_in_it():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)


@pytest.mark.parametrize("document", ["README.md", "SECURITY.md"])
def test_every_file_that_is_named_is_there(document):
    named = re.findall(r"`((?:\w+/)+[\w./-]+)`", (ROOT / document).read_text(encoding="utf-8"))
    ours = [name for name in named if name.startswith(("tests/", "normzoo/", "training/", "docs/")) or "/test_" in name]
    assert len(ours) > 1
    assert [name for name in ours if not ((ROOT / name).exists() or (ROOT / f"tests/{name}.py").exists())] == []
