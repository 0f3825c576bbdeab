"""A person's own photos, and a place for the data sets that are made of them."""

from pathlib import Path

import pytest

from tests.support.own_images import write_photos


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "My photos, 2026")
