"""What the page offers: the default set, choices that are known, networks loaded once."""

import pytest

from normzoo.app.core.catalog import Catalog, chosen, main_variants_of
from normzoo.errors import ConfigError
from tests.support.checkpoints import save_variant


def test_the_catalog_prefers_the_strong_recipe(tmp_path):
    for name in ("a/b", "tiny-imagenet-25/paper"):
        save_variant(tmp_path, "bn", name)
    assert Catalog(tmp_path).default.name == "tiny-imagenet-25/paper"
    save_variant(tmp_path, "bn", "tiny-imagenet-25/strong")
    assert Catalog(tmp_path).default.name == "tiny-imagenet-25/strong"
    assert Catalog(tmp_path / "nothing").default is None


def test_an_unknown_set_is_refused_without_repeating_it(catalog):
    with pytest.raises(ConfigError, match="Choose one of: toy/extras, toy/paper") as caught:
        catalog.get("<script>")
    assert "script" not in str(caught.value)
    with pytest.raises(ConfigError):
        catalog.get(["toy/paper"])


def test_only_known_variants_are_chosen_in_the_zoos_order(catalog):
    model_set = catalog.get("toy/extras")
    assert chosen(model_set, ["torch-bn", "nothing", "gn", "bn"]) == ["bn", "gn", "torch-bn"]
    assert chosen(model_set, None) == main_variants_of(model_set) == ["bn", "gn"]


def test_a_network_is_loaded_once(catalog):
    model_set = catalog.get("toy/paper")
    assert catalog.load(model_set, ["bn"])[0]["bn"] is catalog.load(model_set, ["bn"])[0]["bn"]
