"""The same networks trained otherwise: found, and compared only where nothing else differs."""

from pathlib import Path
from typing import Any

import pytest

from normzoo.analysis.findings.other_trainings import base_set, image_size_finding, recipe_change_finding, sized_sets
from normzoo.app.core.catalog import Catalog
from normzoo.app.tabs.results.other_trainings import findings
from normzoo.pretrained.registry import list_model_sets
from tests.support.checkpoints import save_sized_set, save_variant


def sizes(root: Path, name: str = "toy/strong") -> list[int]:
    sets = {each.name: each for each in list_model_sets(root)}
    return [each.image_size for each in sized_sets(sets[name], sets.values())]


def test_sets_that_differ_in_image_size_alone_are_twins(tmp_path: Path) -> None:
    save_sized_set(tmp_path, "toy", 32, {"bn": 50})
    save_sized_set(tmp_path, "toy-64px", 64, {"bn": 60})
    assert sizes(tmp_path) == sizes(tmp_path, "toy-64px/strong") == [32, 64]


@pytest.mark.parametrize("other", [{"digest": "other images"}, {"lr": 0.5}])
def test_sets_that_differ_in_more_are_none(other: dict[str, Any], tmp_path: Path) -> None:
    save_sized_set(tmp_path, "toy", 32, {"bn": 50})
    save_sized_set(tmp_path, "toy-64px", 64, {"bn": 60}, **other)
    assert sizes(tmp_path) == [32]


def test_what_is_not_recorded_is_no_twin(tmp_path: Path) -> None:
    save_variant(tmp_path, "bn", "toy/strong")
    save_variant(tmp_path, "bn", "toy-64px/strong", image_size=64)
    assert sizes(tmp_path) == [32]


def test_finding_gives_each_change_and_what_is_beyond_the_control(tmp_path: Path) -> None:
    save_sized_set(tmp_path, "toy", 32, {"bn": 50, "in": 20, "gn": 40})
    save_sized_set(tmp_path, "toy-64px", 64, {"bn": 60, "in": 70})
    sets = {each.name: each for each in list_model_sets(tmp_path)}
    finding = image_size_finding(sized_sets(sets["toy/strong"], sets.values()), ["bn", "in", "gn"])
    assert finding.summary == (
        "from 32×32 to 64×64 pixels validation accuracy changes, in points: IN +50.0 and BN +10.0 (seeds of both: n = 2)."
    )
    first, second = finding.paragraphs  # two networks have no order worth a sentence
    assert "4 times as many pixels of each photo" in first
    assert "its last maps have 256 places in place of 64. The random shift while they learned stayed 4 pixels" in first
    assert "IN changes by +50.00 points, BN by +10.00. The difference is +40.00 points (95% interval +3" in second
    assert second.endswith("n = 2): it is more than chance over images.")
    table = finding.tables[0].texts
    assert (table["Network"], table["At 32×32 (%)"], table["At 64×64 (%)"]) == (
        ["IN", "BN"],
        ["20.00", "50.00"],
        ["70.00", "60.00"],
    )


def test_one_size_alone_gives_nothing(tmp_path: Path) -> None:
    save_sized_set(tmp_path, "toy", 32, {"bn": 50})
    (only,) = list_model_sets(tmp_path)
    assert not image_size_finding(sized_sets(only, [only]), ["bn"]).tables


def test_a_changed_recipe_is_held_against_its_own(tmp_path: Path) -> None:
    save_sized_set(tmp_path, "toy", 32, {"bn": 50, "in": 20})
    save_sized_set(tmp_path, "toy", 32, {"in": 45}, name="strong,last_norm=nn")
    save_sized_set(tmp_path, "other", 32, {"in": 45}, name="strong,last_norm=nn")
    sets = {each.name: each for each in list_model_sets(tmp_path)}
    usual, changed = sets["toy/strong"], sets["toy/strong,last_norm=nn"]
    assert base_set(changed, sets.values()) is usual
    assert base_set(usual, sets.values()) is None
    assert base_set(sets["other/strong,last_norm=nn"], sets.values()) is None
    finding = recipe_change_finding(usual, changed, ["bn", "in"])
    assert finding.summary.startswith(
        "with last_norm = nn in place of `strong`'s own, validation accuracy changes, in points: "
    )
    assert finding.summary.endswith("IN +25.0 (seeds of both: n = 2).")
    assert "Average pooling follows the last norm" in finding.paragraphs[0]
    assert finding.tables[0].texts["Changed (%)"] == ["45.00"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"bn": 60, "in": 30, "gn": 45}, "with lr = 0.1: BN, GN and IN. IN is last in both. "),
        ({"bn": 60, "in": 50, "gn": 45}, "with lr = 0.1: BN, IN and GN. IN, last before, is in place 2 of 3. "),
    ],
)
def test_who_is_last_in_both_is_said(changed: dict[str, int], told: str, tmp_path: Path) -> None:
    save_sized_set(tmp_path, "toy", 32, {"bn": 50, "in": 20, "gn": 40})
    save_sized_set(tmp_path, "toy", 32, changed, name="strong,lr=0.1")
    sets = {each.name: each for each in list_model_sets(tmp_path)}
    finding = recipe_change_finding(sets["toy/strong"], sets["toy/strong,lr=0.1"], ["bn", "in", "gn"])
    assert finding.paragraphs[0].startswith("One rate for all")
    assert finding.paragraphs[1].startswith(f"Best first, as strong says: BN, GN and IN; {told}")
    assert finding.paragraphs[2].startswith("On the training images accuracy goes, in per cent: ")
    assert "IN 52.0 → 52.0" in finding.paragraphs[2]
    assert finding.paragraphs[3].startswith(f"IN changes by +{changed['in'] - 20}.00 points, BN by +10.00. The difference is ")


def test_the_page_tells_of_both_sides_of_a_comparison(tmp_path: Path) -> None:
    save_sized_set(tmp_path, "toy", 32, {"in": 20})
    save_sized_set(tmp_path, "toy-64px", 64, {"in": 70})
    save_sized_set(tmp_path, "toy", 32, {"in": 45}, name="strong,last_norm=nn")
    sets = Catalog(tmp_path).sets
    counts = {name: len(findings(each, list(sets.values()), ["in"])) for name, each in sets.items()}
    assert counts == {"toy/strong": 2, "toy/strong,last_norm=nn": 1, "toy-64px/strong": 1}
