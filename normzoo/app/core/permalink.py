"""A link to what the page shows: the address bar keeps up with the choices, and whoever opens the link finds them again.

`?set=tiny-imagenet-25/paper&variants=bn,gn&tab=learning-curves`. What is unknown here is left out, and said once.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from normzoo.app.core.catalog import Catalog, chosen, main_variants_of
from normzoo.pretrained.registry import ModelSet

UNKNOWN = "The link names something that this page does not have. It shows what it has."

BUTTON = '<button type="button">Copy link to this view</button><span role="status"></span>'

# `element` and `trigger` are what Gradio gives to such a script. Only a page that was opened by a link asks the server. The
# tabs may come later than this element does.
SCRIPT = """
const asked = new URLSearchParams(location.search);
const name = (tab) => tab.textContent.trim().toLowerCase().replaceAll(" ", "-");
const openTab = (triesLeft) => {
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  if (!tabs.length && triesLeft) setTimeout(openTab, 50, triesLeft - 1);
  else tabs.find((tab) => name(tab) === asked.get("tab"))?.click();
};
if (asked.has("tab")) openTab(200);
if (asked.has("set") || asked.has("variants")) {
  setTimeout(() => trigger("select", {set: asked.get("set"), variants: asked.get("variants")}));
}
element.addEventListener("click", async (event) => {
  if (!event.target.closest("button")) return;
  let words = "Copied.";
  try { await navigator.clipboard.writeText(location.href); }
  catch { words = "The browser does not allow that: copy it from the address bar."; }
  element.querySelector("[role=status]").textContent = words;
});
"""

# Gradio tells of its own first tab as well: a view as it was at first is written only over another one. A tab is marked as
# selected after its event. FIRST is the view at first.
_WRITE = """
async (set, variants) => {
  await new Promise((done) => setTimeout(done));
  const tab = document.querySelector('[role="tab"][aria-selected="true"]');
  const asked = new URLSearchParams(location.search);
  const view = {set, variants: variants.join(","), tab: tab?.textContent.trim().toLowerCase().replaceAll(" ", "-") ?? ""};
  const isFirst = Object.entries(FIRST).every(([key, value]) => view[key] === value);
  if (isFirst && !Object.keys(view).some((key) => asked.has(key))) return;
  for (const [key, value] of Object.entries(view)) if (value) asked.set(key, value); else asked.delete(key);
  const words = asked.toString().replaceAll("%2F", "/").replaceAll("%2C", ",");
  history.replaceState(history.state, "", `${location.pathname}?${words}${location.hash}`);
}
"""


def build() -> gr.HTML:
    """Place the button that copies the link; its event `select` tells that the page was opened by one."""
    return gr.HTML(BUTTON, js_on_load=SCRIPT, elem_id="link")


def keep_up(inputs: Sequence[Any], triggers: Sequence[Any], listed: Any, first_tab: str) -> None:
    """Have the address bar follow what people choose, in the browser alone.

    Args:
        inputs: the model set and the variants, with their first values.
        triggers: the events of people's choices.
        listed: tells that the variants of another set have come.
    """
    model_set, variants = (each.value for each in inputs)
    first = {"set": model_set, "variants": ",".join(variants), "tab": first_tab.lower().replace(" ", "-")}
    script = _WRITE.replace("FIRST", json.dumps(first))
    options: dict[str, Any] = {"fn": None, "inputs": list(inputs), "outputs": None, "js": script, "show_progress": "hidden"}
    gr.on(list(triggers), api_name="write_link", api_visibility="undocumented", **options)
    listed.success(api_name="write_link_of_set", api_visibility="undocumented", **options)


def is_link(data: object) -> bool:
    """Whether an event's data are those of a link."""
    return isinstance(data, Mapping) and bool({"set", "variants"} & data.keys())


def read(catalog: Catalog, current: str, asked: Mapping[str, object]) -> tuple[ModelSet, list[str], bool]:
    """What a link asks for.

    Args:
        current: the model set that is shown.
        asked: its `set` and `variants`, names with commas between them; each may be missing, or anything.

    Returns:
        the model set, its variants to show, and whether all that was asked for is there.
    """
    name, listed = asked.get("set"), asked.get("variants")
    is_known = name is None or (isinstance(name, str) and name in catalog.sets)
    model_set = catalog.get(name if isinstance(name, str) and name in catalog.sets else current)
    if not isinstance(listed, str):
        return model_set, main_variants_of(model_set), is_known
    names = [name for name in listed.split(",") if name]
    found = chosen(model_set, names)
    is_known = is_known and len(found) == len(set(names))
    return model_set, found if found or not names else main_variants_of(model_set), is_known
