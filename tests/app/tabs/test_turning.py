"""Gates and border turned on the page, without a browser."""

import gradio as gr
import pytest

from normzoo import NORM_LAYERS
from normzoo.app.core.examples import EXAMPLES
from tests.support.page import words

PHOTO = {"path": str(EXAMPLES[0].path)}


@pytest.fixture(scope="module")
def turn(events):
    def turn(gate_shift=0, border="zeros", severity=0, variants=None, photo=PHOTO):
        return events["turn"](photo, "toy/paper", variants, gate_shift, border, severity)

    return turn


def test_as_trained_the_answers_are_those_of_classify(events, turn):
    shown, answers = turn()
    assert "as trained" in words(shown)
    assert list(answers) == list(NORM_LAYERS)
    classified = events["classify"](PHOTO, "toy/paper", None)[1]["networks"]
    for variant, answer in answers.items():
        label, probability = answer["as_trained"]
        assert label == classified[variant]["answer"]
        assert probability == pytest.approx(max(classified[variant]["probabilities"].values()), abs=1e-5)
        assert answer["turned"] == answer["as_trained"] == answer["as_trained_faded"]


def test_gates_concern_the_networks_that_have_some_alone(turn):
    answers = turn(gate_shift=-1)[1]
    assert {variant for variant, answer in answers.items() if answer["turned"] != answer["as_trained"]} == {"bin"}
    assert "None of these networks has gates." in words(turn(gate_shift=-1, variants=["gn"])[0])


@pytest.mark.parametrize("border", ["first", "all"])
def test_a_border_concerns_all(turn, border):
    shown, answers = turn(border=border, severity=4)
    assert all(answer["turned"] != answer["as_trained"] for answer in answers.values())
    assert all(answer["turned_faded"] != answer["turned"] for answer in answers.values())
    assert "Changed, less contrast" in words(shown)


def test_without_a_photo_or_a_network_there_is_nothing_to_turn(turn):
    assert turn(photo=None) == ("", {})
    assert "Choose at least one network" in turn(variants=[])[0]


@pytest.mark.parametrize(
    "wrong",
    [{"gate_shift": 1.5}, {"gate_shift": None}, {"border": "<b>"}, {"border": None}, {"severity": 6}, {"severity": "1"}],
)
def test_what_cannot_be_turned_is_refused(turn, wrong):
    with pytest.raises(gr.Error, match=r"from -1 to 1\.|Choose one of: zeros, first, all\.|whole number from 0 to 5\."):
        turn(**wrong)
