"""How to call this page from a program, as HTML: the events as the running page itself lists them, and two examples."""

import json
from collections.abc import Mapping
from typing import Any

from normzoo.app.components.html import render
from normzoo.pretrained.registry import ModelSet


def describe(endpoints: Mapping[str, Any], address: str, model_set: ModelSet) -> str:
    """Examples that run as they stand, and every public event with what it takes and gives.

    Args:
        endpoints: as Gradio's `get_api_info` has them.
        address: of this page.
    """
    events = [
        {
            "name": name,
            "description": endpoint.get("description") or "",
            "takes": [(parameter["parameter_name"], _kind(parameter)) for parameter in endpoint["parameters"]],
            "gives": ", ".join(_returned(value) for value in endpoint["returns"]),
        }
        for name, endpoint in endpoints.items()
    ]
    return render(
        "api_guide.html", python=python_example(address, model_set), curl=curl_example(address, model_set), events=events
    )


def python_example(address: str, model_set: ModelSet) -> str:
    """A program that classifies a photo."""
    variants = list(model_set.checkpoints)[:2]
    return (
        "from gradio_client import Client, handle_file\n\n"
        f'client = Client("{address}")\n'
        "report, answers = client.predict(\n"
        f'    handle_file("photo.jpg"), {json.dumps(model_set.name)}, {json.dumps(variants)}, api_name="/classify"\n'
        ")\n"
        'for key, network in answers["networks"].items():\n'
        '    print(key, network["answer"])'
    )


def curl_example(address: str, model_set: ModelSet) -> str:
    """Two commands that get the final results."""
    data = json.dumps({"data": [model_set.name, list(model_set.checkpoints)[:2]]})
    return (
        f"curl -s {address}/gradio_api/call/results -H 'Content-Type: application/json' \\\n     -d '{data}'\n"
        f"curl -sN {address}/gradio_api/call/results/EVENT_ID"
    )


def _kind(parameter: Mapping[str, Any]) -> str:
    kind = parameter["python_type"]["type"]
    return "a photo, by handle_file" if kind == "filepath" else str(kind)


def _returned(value: Mapping[str, Any]) -> str:
    return {"Html": "HTML", "Json": "data", "Plot": "a plotly figure"}.get(value["component"], value["component"])
