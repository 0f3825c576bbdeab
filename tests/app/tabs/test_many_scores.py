"""Photos whose folders name what they show: which class is meant, and how well networks do on them."""

import pytest

from normzoo.app.tabs.many.scores import match_classes, paired_tests, score

CLASSES = ("school bus", "tabby cat", "orange", "African elephant")


@pytest.mark.parametrize(
    ("folder", "meant"),
    [
        ("school bus", "school bus"),
        ("School_Bus", "school bus"),
        ("ORANGES", "orange"),
        ("african-elephant", "African elephant"),
        ("cat", None),
        ("", None),
        ("s", None),
        ("../orange", "orange"),
    ],
)
def test_a_folder_names_a_class_by_the_same_words(folder: str, meant: str | None) -> None:
    assert match_classes([folder], CLASSES) == {folder: meant}


def test_scores_are_those_computed_by_hand() -> None:
    labels = ["a", "a", "a", "b"]
    found = score(labels, ["a", "a", "b", "b"])
    assert (found.right, found.count) == (3, 4)
    # F1 of a: 2·2/(2·2+0+1) = 0.8, of b: 2·1/(2·1+1+0) = 2/3
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    assert (found.accuracy.low, found.accuracy.high) == (pytest.approx(0.3006, abs=1e-4), pytest.approx(0.9544, abs=1e-4))
    assert score(["a"], ["z"]).macro_f1 == 0


def test_pairs_are_tested_on_the_same_photos_and_corrected() -> None:
    labels = ["a"] * 12
    answers = {"bn": ["a"] * 12, "gn": ["b"] * 12, "in": ["a"] * 11 + ["b"]}
    tests = {(test.first, test.second): test for test in paired_tests(labels, answers)}
    assert tests["bn", "gn"].test.p_value == pytest.approx(2 * 0.5**12)
    assert tests["bn", "gn"].p_holm == pytest.approx(3 * 2 * 0.5**12)
    assert tests["bn", "in"].p_holm == 1
