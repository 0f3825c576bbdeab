"""A link to what the page shows: the address bar keeps up with the choices, and whoever opens the link finds them again.

`?set=tiny-imagenet-25/paper&variants=bn,gn&tab=curves`; parts of the page add their own (`Linked`). What is unknown here is
left out, and said once. What a link asks for is never overwritten before it is shown: until then, nothing is written.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from gradio.events import Dependency

from normzoo.app.core.catalog import Catalog, chosen, main_variants_of
from normzoo.app.core.events import UNDOCUMENTED
from normzoo.errors import ConfigError
from normzoo.pretrained.registry import ModelSet

UNKNOWN = "The link names something that this page does not have. It shows what it has."

#: What a link may hold beside the tab.
KEYS = ("set", "variants", "photo", "why", "photos", "batch", "curves", "with", "finding", "value")
#: Tabs in links from before, and the tab that has their content now.
FORMER_TABS = {
    "classify": "compare",
    "many-photos": "batches",
    "learning-curves": "curves",
    "results": "evidence",
    "robustness": "evidence",
    "batch-size": "curves",
}

BUTTON = '<button type="button">Copy link</button><span role="status"></span>'

_VIEW = "[location.href, document.body.dataset.ownPhoto, document.body.dataset.ownPhotos].join()"
# In what writes the link FIRST is the view at first, CHANGE what is new in it, by the values that are `given`.
_ASKED, _OPEN, _COPY, _WRITE = (
    Path(__file__).with_name(f"link_{name}.js").read_text(encoding="utf-8").replace("VIEW", _VIEW)
    for name in ("asked", "open", "copy", "write")
)
_CHOICES = '{set: given[0], variants: given[1].join(",")}'
_OPENED = 'link.waits.delete("view");'


@dataclass(frozen=True)
class Linked:
    """A choice that a part of the page adds to the link.

    Args:
        key: one of `KEYS`.
        events: after which the address bar follows.
        inputs: what the choice is in.
        written: the text for the link, a JavaScript expression of the values that are `given`; empty as it is at first. None
            writes all values, in their order.
        read: gives updates of the outputs for a text; raises ConfigError where that asks for something that is not there. None
            reads what None has written.
        outputs: what the choice is brought back to; None where that are the inputs.
    """

    key: str
    events: Sequence[Dependency]
    inputs: Sequence[Any]
    written: str | None = None
    read: Callable[[ModelSet, str], Sequence[Any]] | None = None
    outputs: Sequence[Any] | None = None

    @property
    def targets(self) -> Sequence[Any]:
        return self.inputs if self.outputs is None else self.outputs

    @property
    def script(self) -> str:
        """The JavaScript expression that gives the text."""
        if self.written is not None:
            return self.written
        first = json.dumps([component.value for component in self.inputs])
        return f'JSON.stringify(given) === JSON.stringify({first}) ? "" : given.map(encodeURIComponent).join("/")'

    def updates(self, model_set: ModelSet, text: str) -> Sequence[Any]:
        """What a text in a link brings to the targets."""
        if self.read is not None:
            return self.read(model_set, text)
        parts = text.split("/")
        if len(parts) != len(self.inputs):
            raise ConfigError("The link holds more or fewer choices than there are.")
        return [_value(component, unquote(part)) for component, part in zip(self.inputs, parts, strict=True)]


def _value(component: Any, text: str) -> Any:
    """What a control may be set to, of its text in a link."""
    if isinstance(component, gr.CheckboxGroup):
        values = {str(value): value for _, value in component.choices}
        if all(word in values for word in text.split(",") if word):
            return [values[word] for word in text.split(",") if word]
    elif isinstance(component, gr.Radio | gr.Dropdown):
        values = {str(value): value for _, value in component.choices}
        if text in values:
            return values[text]
    elif isinstance(component, gr.Checkbox):
        if text in ("true", "false"):
            return text == "true"
    else:
        with contextlib.suppress(ValueError):
            number = float(text)
            if component.minimum <= number <= component.maximum:
                return int(number) if number.is_integer() else number
    raise ConfigError("The link asks for a choice that is not there.")


def build(tabs: Sequence[str]) -> gr.HTML:
    """Place the button that copies the link. Its event `select` tells that the page was opened by one, its value by which.

    Args:
        tabs: their names in links, in their order.
    """
    script = _fill(_ASKED + _OPEN + _COPY, tabs)
    return gr.HTML(None, html_template=BUTTON, js_on_load=script, elem_id="link", elem_classes="link")


def copy_button() -> gr.HTML:
    """Place another button that copies the link, beside what it is to show."""
    return gr.HTML(None, html_template=BUTTON, js_on_load=_COPY, elem_classes="link")


def keep_up(inputs: Sequence[Any], listed: Sequence[Dependency], tabs: Mapping[str, gr.Tab], linked: Sequence[Linked]) -> None:
    """Have the address bar follow what people choose, in the browser alone.

    Args:
        inputs: the model set and the variants, with their first values.
        listed: what has brought other variants; the first of them is what opens a link.
        tabs: by their names in links; the first of them is open at first.
        linked: what parts of the page add.
    """
    model_set, variants = inputs
    first = {"set": model_set.value, "variants": ",".join(variants.value), "tab": next(iter(tabs))}
    first |= dict.fromkeys(KEYS[2:], "")
    script = _fill(_WRITE.replace("ASKED", _ASKED), tabs).replace("FIRST", json.dumps(first))

    def write(change: str, before: str = "") -> str:
        return script.replace("CHANGE", change).replace("BEFORE", before)

    # `change`: at `input` the browser does not know the new value yet. It starts nothing here that could answer back.
    variants.change(None, list(inputs), js=write(_CHOICES), api_name="link_variants", **UNDOCUMENTED)
    for event in listed:
        before = _OPENED if event is listed[0] else ""
        event.then(None, list(inputs), js=write(_CHOICES, before), api_name=f"link_{event['api_name']}", **UNDOCUMENTED)
    for position, (name, tab) in enumerate(tabs.items()):
        # Engines tell late of a tab that another has replaced meanwhile.
        is_open = f'if (tabs()[{position}]?.getAttribute("aria-selected") !== "true") return;'
        opened = write(f"{_CHOICES}, {json.dumps({'tab': name})}", is_open)
        tab.select(None, list(inputs), js=opened, api_name=f"link_tab_{name}", **UNDOCUMENTED)
    for part in linked:
        changed = write(f"{{{part.key}: {part.script}}}")
        for event in part.events:
            name = f"link_{part.key}_{event['api_name']}"
            event.success(None, list(part.inputs), js=changed, api_name=name, **UNDOCUMENTED)


def _fill(script: str, tabs: Iterable[str]) -> str:
    for name, value in (("TABS", list(tabs)), ("KEYS", KEYS), ("FORMER", FORMER_TABS)):
        script = script.replace(name, json.dumps(value))
    return script


def read(catalog: Catalog, current: str, asked: object) -> tuple[ModelSet, list[str], bool]:
    """What a link asks for.

    Args:
        current: the model set that is shown.
        asked: its `set` and `variants`, names with commas between them; each may be missing, or anything.

    Returns:
        the model set, its variants to show, and whether all that was asked for is there.
    """
    wanted = asked if isinstance(asked, Mapping) else {}
    name, listed = wanted.get("set"), wanted.get("variants")
    is_known = name is None or (isinstance(name, str) and name in catalog.sets)
    model_set = catalog.get(name if isinstance(name, str) and name in catalog.sets else current)
    if not isinstance(listed, str):
        return model_set, main_variants_of(model_set), is_known
    names = [name for name in listed.split(",") if name]
    found = chosen(model_set, names)
    is_known = is_known and len(found) == len(set(names))
    return model_set, found if found or not names else main_variants_of(model_set), is_known
