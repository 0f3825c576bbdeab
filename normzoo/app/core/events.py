"""How the events of the page are set up, so that the last choice wins, whatever comes when.

What a part of the page shows has one event that fills it. It runs once at a time, reads every choice when it starts, and starts
again if something was chosen meanwhile (`always_last`). To start again, Gradio repeats what had started it, with the data of
that time and for everything that this starts: events that share what starts them would keep each other busy for ever. So each
has a starter of its own, an unseen component whose `change` starts nothing else. What people do sets the starters, in the
browser alone; what they choose is the value of a component, never the data of an event.
"""

import json
from collections.abc import Callable, Iterable, Sequence
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
    "concurrency_id": "insight",
}


@dataclass(frozen=True)
class Part:
    """A part of the page: the event that fills it, and its starter."""

    event: Dependency
    starter: gr.HTML
    tab: gr.Tab | None = None  # that it is in
    on_open: bool = False  # started each time that the tab is opened
    place: str = ""  # id of an element in something folded; where that was never opened, it is not on the page


def start(parts: Sequence[Part], triggers: Sequence[Any], name: str) -> None:
    """Have what people do start parts of the page.

    Args:
        triggers: listeners of components, such as `slider.input`.
        name: of this event.
    """
    gr.on(list(triggers), None, None, _starters(parts), js=_script(parts), api_name=name, **UNDOCUMENTED)


def start_placed(part: Part, triggers: Sequence[Any], name: str) -> None:
    """Have the opening of its tab start a part whose fold was opened before."""
    js = f"(...old) => document.getElementById({json.dumps(part.place)}) ? [Math.random()] : old"
    gr.on(list(triggers), None, [part.starter], [part.starter], js=js, api_name=name, **UNDOCUMENTED)


def start_after(event: Dependency, parts: Sequence[Part], script: str = "", only_if: str = "true") -> None:
    """Have an event start parts of the page when it has succeeded, once all that it brings is there.

    Args:
        script: to run right before.
        only_if: a JavaScript expression; where it does not hold, nothing is started.
    """
    name = f"after_{event['api_name']}" + ("" if only_if == "true" else f"_{'_'.join(_names(parts))}")
    js = f"(...old) => {{ {script} return {only_if} ? old.map(() => Math.random()) : old; }}"
    event.success(None, _starters(parts), _starters(parts), js=js, api_name=name, **UNDOCUMENTED)


def start_shown(parts: Sequence[Part], listen: Callable[..., Any], tabs: Sequence[gr.Tab], name: str) -> None:
    """Have what people do start the parts of the tab that is open; the others are noted as missed.

    Args:
        listen: a component's listener, such as `slider.input`, or an event's `success`.
    """
    places = [tabs.index(part.tab) if part.tab in tabs else -1 for part in parts]
    script = (
        "(...old) => { const missed = (window.missedParts ??= new Set()); const open = "
        "[...document.querySelectorAll('[role=\"tab\"]')].findIndex((tab) => tab.getAttribute('aria-selected') === 'true'); "
        f"const ids = {json.dumps([part.place for part in parts])}; const isFolded = (id) => id && "
        f"!document.getElementById(id)?.offsetParent; return {json.dumps(places)}.map((place, i) => {{ if (place < 0 || place "
        f"=== open) return isFolded(ids[i]) ? old[i] : Math.random(); missed.add({json.dumps(_names(parts))}[i]); return "
        "old[i]; }); }"
    )
    listen(None, _starters(parts), _starters(parts), js=script, api_name=name, **UNDOCUMENTED)


def start_missed(parts: Iterable[Part], tabs: Sequence[gr.Tab]) -> None:
    """Start the parts that missed a choice when their tab is opened, unless they are started then anyway."""
    for number, tab in enumerate(tabs):
        late = [part for part in parts if part.tab is tab and not part.on_open]
        if not late:
            continue
        script = (
            "(...old) => { const missed = (window.missedParts ??= new Set()); "
            f"return {json.dumps(_names(late))}.map((name, i) => missed.delete(name) ? Math.random() : old[i]); }}"
        )
        tab.select(None, _starters(late), _starters(late), js=script, api_name=f"start_missed_{number}", **UNDOCUMENTED)


def _names(parts: Sequence[Part]) -> list[str]:
    return [str(part.event["api_name"]) for part in parts]


def _starters(parts: Sequence[Part]) -> list[Any]:
    return [part.starter for part in parts]


def _script(parts: Sequence[Part]) -> str:
    return f"() => Array({len(parts)}).fill(Math.random())"
