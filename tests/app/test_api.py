"""The page for programs: what it answers, and what it refuses."""

import json
import re

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import ValidationError

from normzoo import NORM_LAYERS
from normzoo.app.core.examples import EXAMPLES, FOLDER
from normzoo.app.tabs.evidence import FORMER

#: What took which inputs by name, and gave how many outputs, in November 2026 (922c006): programs of then go on working.
FORMER_EVENTS = {
    "classify": ("photo model_set variants", 2),
    "every_probability": ("photo model_set variants", 1),
    "activation_maps": ("photo model_set variants label", 2),
    "disturb": ("photo model_set variants kind severity", 2),
    "many_photos": ("photos model_set variants statistics prior who count kind severity labels", 3),
    "other_companies": ("photos model_set variants statistics prior photo size", 2),
    "learning_curves": ("model_set variants metric splits smoothing log_axes", 2),
    "learning_panels": ("model_set variant smoothing log_axes", 5),
    "results": ("model_set variants", 2),
    "compare_networks": ("model_set variants", 4),
    "other_trainings": ("model_set variants", 2),
    "calibration": ("model_set variants", 4),
    "confusion": ("model_set network other label", 3),
    "per_class": ("model_set variants", 4),
    "batch_sizes": ("model_set variants metric splits", 4),
    "robustness": ("model_set variants corruption", 4),
    "follow_value": ("photo model_set network layer brightness contrast at channel row column norm", 4),
    "value_maps": ("photo model_set network layer brightness contrast at channel row column norm", 9),
    "inside": ("photo model_set variants quantity", 8),
    "turn": ("photo model_set variants gate_shift border severity", 2),
    "feature_maps": ("photo model_set block left right", 1),
    "about": ("model_set variants", 2),
}
PUBLIC_EVENTS = {*FORMER_EVENTS, "evidence", "layers", "severities"}
PHOTO = FOLDER / EXAMPLES[0].file


def test_programs_can_ask_the_page(url, tmp_path):
    client = Client(url, verbose=False, download_files=str(tmp_path))
    report, data = client.predict(handle_file(PHOTO), "toy/paper", ["bn", "ln"], api_name="/classify")
    assert set(data["networks"]) == {"bn", "ln"}
    assert len(re.findall("data-variant", report)) == 2
    _, rows = client.predict("toy/paper", ["gn"], api_name="/results")
    assert rows[0]["val_accuracy"] == pytest.approx(0.54)
    _, rows = client.predict("toy/extras", ["bn-bs8"], api_name="/results")  # which the first set does not have
    assert [row["variant"] for row in rows] == ["bn-bs8"]
    plot, _ = client.predict("toy/paper", ["gn"], "loss", "Validation", api_name="/learning_curves")
    assert len(json.loads(plot["plot"])["data"]) == 1


def test_the_endpoints_of_before_take_what_they_took_and_give_what_they_gave(url, events):
    client = Client(url, verbose=False)
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    for name, (taken, given) in FORMER_EVENTS.items():
        known = [parameter["parameter_name"] for parameter in endpoints[f"/{name}"]["parameters"]]
        assert known[: len(taken.split())] == taken.split(), name
        assert len(endpoints[f"/{name}"]["returns"]) == given, name
    *panels, told = client.predict("toy/paper", variant="bn", api_name="/learning_panels")
    assert [len(json.loads(each["plot"])["data"]) for each in panels] == [2] * 4
    assert "BN" in told
    assert len(client.predict("toy/paper", corruption="contrast", api_name="/robustness")) == 4
    photo = {"path": str(PHOTO)}
    assert [type(each) for each in events["classify"](photo, "toy/paper", None)] == [str, dict]
    told, data = events["disturb"](photo, "toy/paper", None, "contrast", 5)
    assert (type(told), data["kind"], data["severity"], set(data["networks"])) == (str, "contrast", 5, set(NORM_LAYERS))
    _, drawn, before, after, *_, data = events["inside"](photo, "toy/paper", None, "spread")
    assert drawn.count("<figure") == len(NORM_LAYERS) == len(data)
    assert [len(json.loads(each.plot)["data"]) for each in (before, after)] == [len(NORM_LAYERS)] * 2


def test_a_program_that_names_an_address_is_told_what_to_do(url):
    client = Client(url, verbose=False)
    with pytest.raises(ValidationError, match="A photo has to come as a file, not as an address"):
        client.predict(handle_file("https://example.com/photo.png"), "toy/paper", ["bn"], api_name="/classify")


def test_events_and_outputs_have_names_and_the_defaults_work_as_they_stand(url, demo, tmp_path):
    events = list(demo.fns.values())
    assert all(isinstance(event.api_name, str) for event in events)
    assert len({event.api_name for event in events}) == len(events)
    public = {event.api_name: event.fn for event in events if event.api_visibility == "public"}
    assert set(public) == PUBLIC_EVENTS
    assert all(function.__doc__ for function in public.values())
    client = Client(url, verbose=False, download_files=str(tmp_path))
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    for name, endpoint in endpoints.items():
        for returned in endpoint["returns"]:
            assert not re.match(r"value_\d+|\d+(st|nd|rd|th)$", returned["label"]), (name, returned["label"])
        assert "gradio-app" not in str(endpoint["parameters"])
    *_, data = client.predict(handle_file(PHOTO), api_name="/classify")
    assert data["corruption"] == {"kind": "contrast", "severity": 0}
    *_, data = client.predict({"set": "drawings"}, api_name="/many_photos")
    assert (data["statistics"], data["corruption"]["severity"]) == ("batch", 0)
    for name in endpoints.keys() - {"/about", "/value_maps", "/follow_value"}:
        client.predict(*(["toy/paper"] if name.strip("/") in FORMER else []), api_name=name)
