"""A page of small untrained networks, of which some are broken. A module with a `root` of its own gets the page of that."""

import pytest

from normzoo.app import build_demo
from normzoo.app.core.catalog import Catalog
from tests.support.checkpoints import save_variant, save_zoo
from tests.support.visitor import served


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = save_zoo(tmp_path_factory.mktemp("zoo"))
    for variant in ("bn", "gn", "torch-bn", "bn-bs8"):
        save_variant(root, variant, "toy/extras")
    (root / "toy" / "extras" / "gn" / "model.safetensors").write_bytes(b"torn")
    (root / "toy" / "extras" / "torch-bn" / "metrics.json").write_text("{")
    return root


@pytest.fixture(scope="module")
def catalog(root):
    return Catalog(root)


@pytest.fixture(scope="module")
def demo(root):
    return build_demo(root)


@pytest.fixture(scope="module")
def events(demo):
    """The functions behind the events, by name."""
    return {event.api_name: event.fn for event in demo.fns.values()}


@pytest.fixture(scope="module")
def url(demo):
    with served(demo) as url:
        yield url
