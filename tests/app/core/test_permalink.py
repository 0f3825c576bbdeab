"""The link to a view without a browser: what it asks for, and what becomes of the rest."""

import pytest

from normzoo.app import build_demo
from normzoo.app.core import controls as link
from tests.support.checkpoints import save_variant


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("zoo")
    for variant in ("bn", "gn", "bn-bs8"):
        save_variant(root, variant, "toy/paper")
    save_variant(root, "ln", "toy/other")
    return root


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"set": "toy/paper", "variants": "gn,bn-bs8"}, ("toy/paper", ["gn", "bn-bs8"], True)),
        ({"set": "toy/other"}, ("toy/other", ["ln"], True)),
        ({"set": "toy/other", "variants": None}, ("toy/other", ["ln"], True)),
        ({"variants": "gn"}, ("toy/paper", ["gn"], True)),
        ({"variants": ""}, ("toy/paper", [], True)),
        ({"variants": "gn,quux"}, ("toy/paper", ["gn"], False)),
        ({"variants": "quux"}, ("toy/paper", ["bn", "gn"], False)),
        ({"set": "no/such", "variants": "gn"}, ("toy/paper", ["gn"], False)),
        ({"set": ["toy/other"], "variants": {"a": 1}}, ("toy/paper", ["bn", "gn"], False)),
        ({"set": "toy/paper"}, ("toy/paper", ["bn", "gn"], True)),
        *((nothing, ("toy/paper", ["bn", "gn"], True)) for nothing in (None, "set", ["set"], {}, {"index": 1})),
    ],
)
def test_a_link_brings_what_is_there_and_leaves_out_the_rest(catalog, asked, expected):
    model_set, variants, is_known = link.read_link(catalog, "toy/paper", asked)
    assert (model_set.name, variants, is_known) == expected


def test_an_empty_page_has_no_link(tmp_path):
    assert "Copy link" not in str(build_demo(tmp_path).get_config_file())
