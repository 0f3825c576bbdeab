"""A person's own photos, and a place for the data sets that are made of them."""

import pytest

from tests.support.own_images import write_photos


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "My photos, 2026")
