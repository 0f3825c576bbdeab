"""The sentence about who agrees, for every way to agree."""

import pytest

from normzoo.inference.agreement import agreement

SIX = ("nn", "bn", "in", "bin", "gn", "ln")


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ("lion " * 6, "All six say lion."),
        ("pizza lion lion lion orange lion", "Four of six say lion (BN, IN, BIN, LN); NN says pizza, GN says orange."),
        ("lion lion lion orange orange pizza", "Three of six say lion (NN, BN, IN); two say orange (BIN, GN), LN says pizza."),
        ("a a b b c c", "Two of six say a (NN, BN); two say b (IN, BIN), two say c (GN, LN)."),
        ("a b c d e f", "No two agree: NN says a, BN says b, IN says c, BIN says d, GN says e, LN says f."),
        ("lion lion", "Both say lion."),
        ("lion orange", "They disagree: NN says lion, BN says orange."),
        ("lion", "NN says lion."),
        ("", "No network was asked."),
    ],
)
def test_the_sentence_says_who_agrees(answers, sentence):
    assert agreement(dict(zip(SIX, answers.split(), strict=False))).sentence == sentence


def test_groups_are_ordered_by_size_then_as_given():
    labels = {"ln": "b", "nn": "a", "bn": "a", "in": "c"}
    assert agreement(labels).groups == (("a", ("nn", "bn")), ("b", ("ln",)), ("c", ("in",)))


def test_other_variants_go_by_their_short_names():
    assert agreement({"bn-bs8": "lion", "torch-bn": "orange"}).sentence == (
        "They disagree: BN batch 8 says lion, torch BN says orange."
    )


def test_more_than_twelve_are_counted_in_digits():
    assert agreement({f"v{number}": "lion" for number in range(13)}).sentence == "All 13 say lion."


@pytest.mark.parametrize(
    ("answers", "truth", "verdict"),
    [
        ("lion " * 6, "lion", ("All six are right: lion", "")),
        ("pizza lion lion lion orange lion", "lion", ("Four of six are right: lion", "NN says pizza, GN says orange.")),
        ("lion lion", "orange", ("All two are wrong: orange", "two say lion (NN, BN).")),
        ("lion", "lion", ("It is right: lion", "")),
        ("lion lion orange", "", ("Two of three say lion (NN, BN)", "IN says orange.")),
        ("a b", "", ("They disagree", "NN says a, BN says b.")),
        ("", "lion", ("No network was asked", "")),
    ],
)
def test_the_verdict_says_who_is_right_where_that_is_known(answers, truth, verdict):
    assert agreement(dict(zip(SIX, answers.split(), strict=False))).verdict(truth) == verdict
