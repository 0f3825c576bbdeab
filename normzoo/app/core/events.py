"""How the events of the page are set up, so that the last choice wins, whatever comes when.

What a part of the page shows has one event that fills it. It runs once at a time, reads every choice when it starts, and starts
again if something was chosen meanwhile (`always_last`). To start again, Gradio repeats what had started it, with the data of
that time and for everything that this starts: events that share what starts them would keep each other busy for ever. So each
has a starter of its own, an unseen component whose `change` starts nothing else. What people do sets the starters, in the
browser alone; what they choose is the value of a component, never the data of an event.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.events import Dependency

#: Of events that fill a part of the page.
LAST_WINS: dict[str, Any] = {"show_progress": "minimal", "trigger_mode": "always_last"}
#: Of events that programs need not know.
UNDOCUMENTED: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last", "api_visibility": "undocumented"}
#: Of events that look into the networks with the photo: they take turns.
INSIGHT: dict[str, Any] = {
    **LAST_WINS,
    "preprocess": False,  # the project's own loader opens the file, not Gradio's
    "concurrency_id": "insight",
}


@dataclass(frozen=True)
class Part:
    """A part of the page: the event that fills it, and its starter."""

    event: Dependency
    starter: gr.HTML


def start(parts: Sequence[Part], triggers: Sequence[Any], name: str) -> None:
    """Have what people do start parts of the page.

    Args:
        triggers: listeners of components, such as `slider.input`.
        name: of this event.
    """
    gr.on(list(triggers), None, None, _starters(parts), js=_script(parts), api_name=name, **UNDOCUMENTED)


def start_after(event: Dependency, parts: Sequence[Part], script: str = "") -> None:
    """Have an event start parts of the page when it has succeeded, once all that it brings is there.

    Args:
        script: to run right before.
    """
    name = f"after_{event['api_name']}"
    event.success(None, None, _starters(parts), js=_script(parts, script), api_name=name, **UNDOCUMENTED)


def _starters(parts: Sequence[Part]) -> list[Any]:
    return [part.starter for part in parts]


def _script(parts: Sequence[Part], script: str = "") -> str:
    return f"() => {{ {script} return Array({len(parts)}).fill(Math.random()); }}"
