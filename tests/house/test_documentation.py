"""The documentation: every public name has an example, commands parse, Python runs, links lead somewhere."""

import doctest
import importlib
import inspect
import io
import json
import re
import shlex
import tomllib
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch

import normzoo
from normzoo.__main__ import build_parser as normzoo_parser
from tests.house.notebook import NOTEBOOK
from tests.house.notebook import run as run_notebook
from training.cli import build_parser as training_parser
from training.config import Study

ROOT = Path(__file__).parents[2]
DOCUMENTED = sorted({getattr(normzoo, name).__module__ for name in normzoo.__all__ if name != "NORM_LAYERS"})
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [page.name for page in PAGES]


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


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands():
    lines = []
    for page in PAGES:
        for block in blocks(page, "sh"):
            lines += [line.split("  #")[0].strip() for line in block.replace("\\\n", " ").splitlines()]
        lines += re.findall(r"`((?:python -m training|normzoo) [^`]+)`", page.read_text())
    return [
        line
        for line in dict.fromkeys(lines)
        if line and "…" not in line and not re.search("COMMAND|--help|check$|check`", line)
    ]


@pytest.mark.parametrize("line", commands())
def test_every_command_parses(line, tmp_path, monkeypatch):
    words = [word for word in shlex.split(line) if not re.fullmatch(r"NORMZOO_\w+=.*", word)]
    program = words[0].removeprefix(".venv/bin/")
    if program == "torchrun" or program == "sbatch":
        words = words[words.index("-m") :] if "-m" in words else []
    if program == "normzoo":
        normzoo_parser().parse_args(words[1:])
    elif "training" in words[:3] and words:
        training_parser().parse_args(words[words.index("training") + 1 :])
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in words[1:] if "=" not in word} <= set(targets)
    else:
        assert program in ("docker", "python", "torchrun", "sbatch", "pip", "hf"), line


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_python_blocks_run_and_files_of_studies_are_ones(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    for block in blocks(page, "python"):
        names = {}
        with redirect_stdout(io.StringIO()):
            exec(compile(block, page.name, "exec"), names)
        if page.name == "checkpoints.md":
            x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
            network = normzoo.load_model("checkpoints/tiny-imagenet-25/strong/bn").network
            with torch.inference_mode():
                torch.testing.assert_close(names["network"](x), network(x), rtol=1e-4, atol=1e-4)
    for block in blocks(page, "toml"):
        assert Study.from_fields(tomllib.loads(block)).parts()


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_is_one_screen():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    assert text.startswith("---\ntitle: NormZoo\n"), "the front matter of a Space"


def test_the_notebook_s_outputs_are_what_its_cells_give(monkeypatch, tmp_path):
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    names, outputs = run_notebook(notebook["cells"])
    stored = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [_parts(each) for each in stored] == [_parts(each) for each in outputs]
    assert sum(map(len, stored)) >= 6
    assert names["values"]["gn"].arithmetic in "".join(stored[3][0]["text"])


def _parts(outputs):
    """Their words and numbers; these may differ a little between processors. A picture is told by its being there."""
    texts = ["".join(each.get("text", each.get("data", {}).get("text/plain", "picture"))) for each in outputs]
    return [
        [pytest.approx(float(part), rel=0.02, abs=0.02) if re.fullmatch(r"[\d.]+", part) else part for part in parts]
        for parts in (re.split(r"(\d+(?:\.\d+)?)", text) for text in texts)
    ]


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "SECURITY.md"])
def test_every_file_that_is_named_is_there(document):
    named = re.findall(r"`((?:\w+/)+[\w./-]+)`", (ROOT / document).read_text(encoding="utf-8"))
    ours = [name for name in named if name.startswith(("tests/", "normzoo/", "training/", "docs/")) or "/test_" in name]
    assert len(ours) > 1
    assert [name for name in ours if not ((ROOT / name).exists() or (ROOT / f"tests/{name}.py").exists())] == []
