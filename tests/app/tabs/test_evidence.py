"""Evidence without a browser: the page has what the findings say, and the endpoints of before still answer."""

import base64
import json
import re

import pytest

from normzoo.app import build_demo
from normzoo.app.core.catalog import Catalog
from normzoo.app.tabs import evidence
from normzoo.findings import Evidence, find_all
from normzoo.plotting import plotly
from tests.support.checkpoints import save_variant, write_answers
from tests.support.visitor import words

FIRST_BYTES = {"png": b"\x89PNG", "svg": b"<?xml", "tex": b"\\begin{tabular}", "csv": b"index,"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Of 100 images BN gets all right, GN none, LN all but one."""
    root = tmp_path_factory.mktemp("unequal")
    labels = [0, 1, 2, 3] * 25
    write_answers(save_variant(root, "bn"), labels, labels)
    write_answers(save_variant(root, "gn"), labels, [1, 2, 3, 0] * 25)
    write_answers(save_variant(root, "ln"), labels, [1, *labels[1:]])
    return root


@pytest.fixture(scope="module")
def events(root):
    return {event.api_name: event.fn for event in build_demo(root).fns.values()}


@pytest.fixture(scope="module")
def findings(root):
    sets = Catalog(root).sets
    return {finding.key: finding for finding in find_all(Evidence(sets["toy/paper"], sets.values()))}


def test_every_finding_is_a_card_with_all_that_it_says(events, findings):
    for key in evidence.KEYS:
        listed, report, figure, details, _, data = events["evidence"]("toy/paper", key)
        assert [value for _, value in listed.choices] == [key for key in evidence.KEYS if key in findings]
        if key not in findings:
            assert (figure, details, data) == (None, "", {})
            continue
        finding = findings[key]
        assert "".join(words(report).split()) == "".join((finding.title + finding.headline).replace("`", "").split())
        assert (json.loads(figure.plot) if figure else None) == (plotly.draw(finding.chart) if finding.chart else None)
        assert details.count("<table") == len(finding.tables) == len(data["tables"])
        for text in (*finding.method, *finding.notes):
            assert "".join(text.replace("`", "").split()) in "".join(words(details).split())
        assert all(command in words(details) for command in finding.commands)
        csv = base64.b64decode(re.search(r"text/csv[^,]*,([^\"]+)", details)[1]).decode() if finding.tables else ""
        assert len(csv.splitlines()) == (1 + len(finding.tables[0].frames[0]) if finding.tables else 0)


@pytest.mark.parametrize("file_format", FIRST_BYTES)
def test_a_chart_becomes_a_file(findings, file_format):
    name, content = evidence.as_file(findings["pairs"], "toy/paper", file_format)
    assert name == "normzoo-toy-paper-pairs"
    assert content.startswith(FIRST_BYTES[file_format])


def test_what_there_is_not_is_refused(events):
    with pytest.raises(Exception, match="Unknown finding"):
        events["evidence"]("toy/paper", "<b>")


@pytest.mark.parametrize("name", evidence.FORMER)
def test_the_endpoints_of_before_give_the_findings_that_have_their_content_now(events, findings, name):
    keys, parts, _ = evidence.FORMER[name]
    answer = dict(zip(parts, events[name]("toy/paper", ["bn"]), strict=True))
    known = [findings[key] for key in keys if key in findings]
    assert len(answer["rows"]) == sum(len(finding.tables[0].frames[0]) for finding in known if finding.tables)
    assert events[name].__doc__.startswith("Deprecated, use evidence")
