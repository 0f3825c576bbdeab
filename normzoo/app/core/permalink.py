"""A link to what the page shows: the address bar keeps up with the choices, and whoever opens the link finds them again.

`?set=tiny-imagenet-25/paper&variants=bn,gn&tab=learning-curves`; parts of the page add their own (`Linked`). What is unknown
here is left out, and said once.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.events import Dependency

from normzoo.app.core.catalog import Catalog, chosen, main_variants_of
from normzoo.app.core.events import UNDOCUMENTED
from normzoo.pretrained.registry import ModelSet

UNKNOWN = "The link names something that this page does not have. It shows what it has."

BUTTON = '<button type="button">Copy link to this view</button><span role="status"></span>'

# `element`, `props` and `trigger` are what Gradio gives to such a script. Only a page that was opened by a link asks the
# server. TABS are the names in links, in the order of the tabs: on the screen they may be translated by the browser. The tabs
# may come later than this element does.
_SCRIPT = """
const asked = new URLSearchParams(location.search);
const position = TABS.indexOf(asked.get("tab"));
const openTab = () => {
  const tab = document.querySelectorAll('[role="tab"]')[position];
  tab?.click();
  return tab;
};
if (position >= 0 && !openTab()) {
  const observer = new MutationObserver(() => { if (openTab()) observer.disconnect(); });
  observer.observe(document, {childList: true, subtree: true});
}
if (KEYS.some((key) => asked.has(key))) {
  props.value = Object.fromEntries(KEYS.map((key) => [key, asked.get(key)]));
  window.linkedView = Object.fromEntries(KEYS.slice(2).map((key) => [key, asked.get(key) ?? ""]));
  trigger("select");
}
"""

_COPY = """
element.addEventListener("click", async (event) => {
  if (!event.target.closest("button")) return;
  let words = "Copied.";
  try { await navigator.clipboard.writeText(location.href); }
  catch { words = "The browser does not allow that: copy it from the address bar."; }
  element.querySelector("[role=status]").textContent = words;
});
"""

# Gradio tells of its own first tab as well: a view as it was at first is written only over another one. FIRST is the view at
# first, CHANGE what is new in it, by the values that are `given`.
_WRITE = """
(...given) => {
  const view = Object.assign(window.shownView ??= {...FIRST, ...window.linkedView}, CHANGE);
  const asked = new URLSearchParams(location.search);
  const isFirst = Object.entries(FIRST).every(([key, value]) => view[key] === value);
  if (isFirst && !Object.keys(view).some((key) => asked.has(key))) return;
  for (const [key, value] of Object.entries(view)) if (value) asked.set(key, value); else asked.delete(key);
  const words = asked.toString().replaceAll("%2F", "/").replaceAll("%2C", ",");
  history.replaceState(history.state, "", `${location.pathname}?${words}${location.hash}`);
}
"""


#: What a link may hold beside the tab.
KEYS = ("set", "variants", "photo", "value")
_CHOICES = '{set: given[0], variants: given[1].join(",")}'


@dataclass(frozen=True)
class Linked:
    """A choice that a part of the page adds to the link.

    Args:
        key: one of `KEYS`.
        events: after which the address bar follows.
        inputs: what the choice is in.
        written: the text for the link, a JavaScript expression of the values that are `given`; empty as it is at first.
        read: gives updates of the outputs for a text; raises ConfigError where that asks for something that is not there.
        outputs: what the choice is brought back to.
    """

    key: str
    events: Sequence[Dependency]
    inputs: Sequence[Any]
    written: str
    read: Callable[[ModelSet, str], Sequence[Any]]
    outputs: Sequence[Any]


def build(tabs: Sequence[str]) -> gr.HTML:
    """Place the button that copies the link. Its event `select` tells that the page was opened by one, its value by which.

    Args:
        tabs: their titles, in their order.
    """
    script = _SCRIPT.replace("TABS", json.dumps([_name(tab) for tab in tabs])).replace("KEYS", json.dumps(KEYS))
    return gr.HTML(None, html_template=BUTTON, js_on_load=script + _COPY, elem_id="link", elem_classes="link")


def copy_button() -> gr.HTML:
    """Place another button that copies the link, beside what it is to show."""
    return gr.HTML(None, html_template=BUTTON, js_on_load=_COPY, elem_classes="link")


def keep_up(inputs: Sequence[Any], listed: Sequence[Dependency], tabs: Sequence[gr.Tab], linked: Sequence[Linked]) -> None:
    """Have the address bar follow what people choose, in the browser alone.

    Args:
        inputs: the model set and the variants, with their first values.
        listed: what has brought other variants.
        tabs: the first of them is open at first.
        linked: what parts of the page add.
    """
    names = [_name(str(tab.label)) for tab in tabs]
    model_set, variants = inputs
    first = {"set": model_set.value, "variants": ",".join(variants.value), "tab": names[0]} | {part.key: "" for part in linked}
    script = _WRITE.replace("FIRST", json.dumps(first))
    # `change`: at `input` the browser does not know the new value yet. It starts nothing here that could answer back.
    triggers = {"variants": variants.change, **{str(event["api_name"]): event.success for event in listed}}
    for name, trigger in triggers.items():
        trigger(None, list(inputs), js=script.replace("CHANGE", _CHOICES), api_name=f"link_{name}", **UNDOCUMENTED)
    for name, tab in zip(names, tabs, strict=True):
        opened = script.replace("CHANGE", f"{_CHOICES}, {json.dumps({'tab': name})}")
        tab.select(None, list(inputs), js=opened, api_name=f"link_tab_{name.replace('-', '_')}", **UNDOCUMENTED)
    for part in linked:
        changed = script.replace("CHANGE", f"{{{part.key}: {part.written}}}")
        for event in part.events:
            name = f"link_{part.key}_{event['api_name']}"
            event.success(None, list(part.inputs), js=changed, api_name=name, **UNDOCUMENTED)


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


def _name(title: str) -> str:
    """What a tab is called in a link."""
    return title.lower().replace(" ", "-")
