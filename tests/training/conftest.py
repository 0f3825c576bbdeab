"""Tiny networks, their images and runs, for packaging and checking."""

import shutil

import pytest


@pytest.fixture
def _data(packaged, monkeypatch):
    monkeypatch.setenv("NORMZOO_DATA", str(packaged / "data"))


@pytest.fixture
def runs(packaged, tmp_path):
    """Finished runs of one variant, to be changed."""
    shutil.copytree(packaged / "runs/tiny/quick/bn", tmp_path / "runs/tiny/quick/bn")
    return tmp_path / "runs"
