"""What all tabs share: the model set, its variants, the photo; how a control's events run; the link to the view.

A new control of a tab takes five lines:

    knob = gr.Slider(0, 1, value=0, label="Knob")                            # in `build`, where it shall stand
    shown = gr.HTML(js_on_load=None, label="report")                          # `label` is its name for programs
    def turn_knob(model_set: str, variants: list[str] | None, knob: float = 0) -> str: ...  # with a docstring
    part = chooser.follow(turn_knob, [*chooser.inputs, knob], shown, also=[knob.input])
    chooser.add_to_link(Linked("knob", [part.event], [knob]))                 # and "knob" in `KEYS`

What happens then, in this order:

1. A person moves the knob. Gradio's browser side runs `start_turn_knob`, which sets the part's *starter*, an unseen component.
   What people do (`input`) starts parts, never that a value changed: answers change values too, and two controls that listen
   to each other's changes would keep each other busy for ever.
2. The starter's `change` runs `turn_knob` on the server. It reads every choice when it starts, runs once at a time, and starts
   again if something was chosen meanwhile (`always_last`), so that the last choice wins. To start again, Gradio repeats what
   had started it and everything that this starts; with a starter of its own a part repeats nothing but itself.
3. Choices in the row above the tabs start the parts of the tab that is open. The others are noted as missed, and started when
   their tab is opened. A part with a `place`, in a fold or far below, is started only while that is shown.
4. After the answer the address bar follows: `?set=tiny-imagenet-25/paper&variants=bn,gn&tab=curves&knob=0.5`. Whoever opens the
   link finds the choices again; what is unknown here is left out, and said once. What a link asks for is never overwritten
   before it is shown: until then, nothing is written.
"""

import contextlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from gradio.events import Dependency

from normzoo.app.core import upload as photo
from normzoo.app.core.catalog import Catalog, chosen, main_variants_of, variants_of
from normzoo.errors import ConfigError
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

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
    charts: Sequence[gr.Plot] = ()  # of what the event fills
    tab: gr.Tab | None = None  # that it is in
    on_open: bool = False  # started each time that the tab is opened
    place: str = ""  # selector of an element, without which the part is not started: of one in a fold, or of a chart in view


def start(parts: Sequence[Part], triggers: Sequence[Any], name: str, place: str = "") -> None:
    """Have what people do start parts of the page.

    Args:
        triggers: listeners of components, such as `slider.input`.
        name: of this event.
        place: selector of an element without which nothing is started.
    """
    condition = f"document.querySelector({json.dumps(place)})" if place else "true"
    _start(lambda *given, **options: gr.on(list(triggers), *given, **options), parts, condition, name)


def start_after(event: Dependency, parts: Sequence[Part], script: str = "", only_if: str = "true") -> None:
    """Have an event start parts of the page when it has succeeded, once all that it brings is there.

    Args:
        script: to run right before.
        only_if: a JavaScript expression; where it does not hold, nothing is started.
    """
    name = f"after_{event['api_name']}" + ("" if only_if == "true" else f"_{'_'.join(_names(parts))}")
    _start(event.success, parts, only_if, name, script)


def start_shown(parts: Sequence[Part], listen: Callable[..., Any], tabs: Sequence[gr.Tab], name: str) -> None:
    """Have what people do start the parts of the tab that is open; the others are noted as missed.

    Args:
        listen: a component's listener, such as `slider.input`, or an event's `success`.
    """
    places = [tabs.index(part.tab) if part.tab in tabs else -1 for part in parts]
    script = (
        "const missed = (window.missedParts ??= new Set()); const open = "
        "[...document.querySelectorAll('[role=\"tab\"]')].findIndex((tab) => tab.getAttribute('aria-selected') === 'true'); "
        f"const tabs = {json.dumps(places)}, names = {json.dumps(_names(parts))}; const isShown = (i) => {{ "
        f"if (tabs[i] < 0 || tabs[i] === open) return {_are_shown(parts)}; missed.add(names[i]); }};"
    )
    _start(listen, parts, "isShown(i)", name, script)


def start_missed(parts: Iterable[Part], tabs: Sequence[gr.Tab]) -> None:
    """Start the parts that missed a choice when their tab is opened, unless they are started then anyway.

    Their charts are empty until the answer: drawing the old ones first would take as long as the new ones.
    """
    for number, tab in enumerate(tabs):
        late = [part for part in parts if part.tab is tab and not part.on_open]
        if late:
            is_late = f"window.missedParts?.delete({json.dumps(_names(late))}[i])"
            name, charts = f"start_missed_{number}", [chart for part in late for chart in part.charts]
            _start(tab.select, late, f"{is_late} && {_are_shown(late)}", name, emptied=charts)


def _start(
    listen: Callable[..., Any],
    parts: Sequence[Part],
    only_if: str,
    name: str,
    script: str = "",
    emptied: Sequence[gr.Plot] = (),
) -> None:
    """Have what `listen` hears start each part, the i-th of them, of which a JavaScript expression holds then.

    Args:
        emptied: charts that are taken away where a part is started.
    """
    shown = [*(part.starter for part in parts), *emptied]
    js = (
        f"(...old) => {{ {script} let any = false; return old.map((one, i) => i >= {len(parts)} ? (any ? null : one) : "
        f"{only_if} ? (any = true, Math.random()) : one); }}"
    )
    listen(None, shown, shown, js=js, api_name=name, **UNDOCUMENTED)


def _are_shown(parts: Sequence[Part]) -> str:
    """A JavaScript expression: whether the i-th part's place is shown, or it has none."""
    places = json.dumps([part.place for part in parts])
    return f"(!{places}[i] || document.querySelector({places}[i])?.offsetParent)"


def _names(parts: Sequence[Part]) -> list[str]:
    return [str(part.event["api_name"]) for part in parts]


UNKNOWN = "The link names something that this page does not have. It shows what it has."

#: What a link may hold beside the tab.
KEYS = (
    *("set", "variants", "photo", "why", "map", "photos", "batch", "curves", "with", "confusion", "finding"),
    *("value", "layers", "features", "turned"),
)
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

_SCRIPT = Path(__file__).with_name("link.js").read_text(encoding="utf-8")
_CHOICES = '{set: given[0], variants: given[1].join(",")}'


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
        settings: of those of the inputs that are dropdowns with the choices of a model set; they come first.
    """

    key: str
    events: Sequence[Dependency]
    inputs: Sequence[Any]
    written: str | None = None
    read: Callable[[ModelSet, str], Sequence[Any]] | None = None
    outputs: Sequence[Any] | None = None
    settings: Callable[[ModelSet], Sequence[Mapping[str, Any]]] | None = None

    @property
    def targets(self) -> Sequence[Any]:
        return self.inputs if self.outputs is None else self.outputs

    @property
    def script(self) -> str:
        """The JavaScript expression that gives the text."""
        if self.written is not None:
            return self.written
        first = json.dumps([component.value for component in self.inputs])
        words = 'given.map((each) => String(each).replace(/[%/]/g, encodeURIComponent)).join("/")'
        return f'JSON.stringify(given) === JSON.stringify({first}) ? "" : {words}'

    def updates(self, model_set: ModelSet, text: str) -> Sequence[Any]:
        """What a text in a link brings to the targets."""
        if self.read is not None:
            return self.read(model_set, text)
        parts = text.split("/")
        if len(parts) != len(self.inputs):
            raise ConfigError("The link holds more or fewer choices than there are.")
        of_set = list(self.settings(model_set)) if self.settings else []
        components = [*(gr.Dropdown(**each) for each in of_set), *self.inputs[len(of_set) :]]
        values = [_linked_value(component, unquote(part)) for component, part in zip(components, parts, strict=True)]
        listed = [gr.Dropdown(**{**each, "value": value}) for each, value in zip(of_set, values, strict=False)]
        return [*listed, *values[len(of_set) :]]


def _linked_value(component: Any, text: str) -> Any:
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
            if component.minimum <= number <= (math.inf if component.maximum is None else component.maximum):
                return int(number) if number.is_integer() else number
    raise ConfigError("The link asks for a choice that is not there.")


def link_button(default: ModelSet, tabs: Sequence[str]) -> gr.HTML:
    """Place the button that copies the link. Its event `select` tells that the page was opened by one, its value by which.

    Args:
        default: the model set at first.
        tabs: their names in links, in their order; the first of them is open at first.
    """
    first = {"set": default.name, "variants": ",".join(main_variants_of(default)), "tab": tabs[0]}
    script = _SCRIPT
    for name, value in (
        ("TABS", tabs),
        ("KEYS", KEYS),
        ("FORMER", FORMER_TABS),
        ("FIRST", first | dict.fromkeys(KEYS[2:], "")),
    ):
        script = script.replace(name, json.dumps(value))
    return gr.HTML(None, html_template=BUTTON, js_on_load=script, elem_id="link", elem_classes="link")


def _keep_up(inputs: Sequence[Any], listed: Sequence[Dependency], tabs: Mapping[str, gr.Tab], linked: Sequence[Linked]) -> None:
    """Have the address bar follow what people choose, in the browser alone.

    Args:
        inputs: the model set and the variants.
        listed: what has brought other variants; the first of them is what opens a link.
        tabs: by their names in links.
        linked: what parts of the page add.
    """

    def write(listen: Callable[..., Any], name: str, given: Sequence[Any], change: str, **options: Any) -> None:
        js = f"(...given) => window.writeLink?.({change}, {json.dumps(options)})"
        listen(None, list(given), js=js, api_name=f"link_{name}", **UNDOCUMENTED)

    # `change`: at `input` the browser does not know the new value yet. It starts nothing here that could answer back.
    write(inputs[1].change, "variants", inputs, _CHOICES)
    for event in listed:
        write(event.then, str(event["api_name"]), inputs, _CHOICES, isOpened=event is listed[0])
    for name, tab in tabs.items():
        write(tab.select, f"tab_{name}", inputs, _CHOICES, tab=name)
    for part in linked:
        for event in part.events:
            write(event.success, f"{part.key}_{event['api_name']}", part.inputs, f"{{{part.key}: {part.script}}}")


def read_link(catalog: Catalog, current: str, asked: object) -> tuple[ModelSet, list[str], bool]:
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


#: what the control says -> the splits it stands for
SPLIT_CHOICES = {"Validation": ("val",), "Training": ("train",), "Both": ("val", "train")}
FIRST_SPLITS = "Validation"


@dataclass(frozen=True)
class Chooser:
    """The shared controls. A tab's event takes `inputs` and is set up by `follow`."""

    model_set: gr.Dropdown
    variants: gr.CheckboxGroup
    photo: gr.Image  # the file, which nobody sees: `components.photo` shows the picture in it
    photo_choice: gr.HTML  # hears of every choice of a photo
    photos: gr.JSON  # many of them: a list of files, or a prepared set
    photos_choice: gr.HTML  # hears of every choice of many photos
    _link: gr.HTML
    _unseen: gr.Column  # holds the starters of all parts, since those of a tab are there only once it was opened
    _linked: list[Linked] = field(default_factory=list)
    _parts: dict[str, list[Part]] = field(default_factory=lambda: {"variants": [], "set": []})
    _lists: list[tuple[Callable[[ModelSet], Sequence[Any]], Sequence[Any]]] = field(default_factory=list)
    tab: gr.Tab | None = None  # the one that is being built

    @property
    def inputs(self) -> list[Any]:
        """The components that every tab's event takes first: model set, variants."""
        return [self.model_set, self.variants]

    def follow(
        self,
        function: Callable[..., Any],
        inputs: Sequence[Any],
        outputs: Any,
        *,
        choices: Sequence[str] = ("variants", "set"),
        also: Sequence[Any] = (),
        on_open: bool = False,
        place: str = "",
        api_name: str = "",
        **options: Any,
    ) -> Part:
        """Run a function that fills a part of a tab after these choices made here, and after the events in `also`.

        Programs call it by its name, or by `api_name`.

        A choice made while another tab is open is followed when this one is opened.

        Args:
            on_open: also each time that the tab is opened: it shows something else that may have changed, or nothing at first.
            place: selector of an element; while that is not shown, nothing but `also` starts the function.
        """
        api_name = api_name or function.__name__
        with self._unseen:
            starter = gr.HTML(0, html_template="", js_on_load=None)
        event = starter.change(function, list(inputs), outputs, api_name=api_name, **{**LAST_WINS, **options})
        filled = outputs if isinstance(outputs, list) else [outputs]
        charts = [each for each in filled if isinstance(each, gr.Plot)]
        part = Part(event, starter, charts, self.tab, on_open, place)
        for choice in choices:
            self._parts[choice].append(part)
        if also:
            start([part], also, f"start_{api_name}")
        if on_open and self.tab:
            start([part], [self.tab.select], f"open_{api_name}", place)
        return part

    def offer(self, function: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[tuple[type[Any], str]]) -> None:
        """Offer a function to programs alone, by its name.

        Args:
            outputs: kinds of components, and what programs call them.
        """
        with self._unseen:
            starter = gr.HTML(html_template="", js_on_load=None)
            made = [kind(visible=False, label=label) for kind, label in outputs]
        starter.change(function, list(inputs), made, api_name=function.__name__, **INSIGHT)

    def list_of_set(self, function: Callable[[ModelSet], Sequence[Any]], outputs: Sequence[Any]) -> None:
        """Have a function list what can be chosen from another model set, before anything follows that choice."""
        self._lists.append((function, outputs))

    def add_to_link(self, linked: Linked) -> None:
        """Have the link to the view hold a further choice, and another model set bring its own `settings`."""
        self._linked.append(linked)
        if (settings := linked.settings) is not None:
            dropdowns = [each for each in linked.targets if isinstance(each, gr.Dropdown)]
            self.list_of_set(lambda other: [gr.Dropdown(**each) for each in settings(other)], dropdowns)

    def connect(self, catalog: Catalog, named_tabs: Mapping[str, gr.Tab]) -> None:
        """Set up what a choice of a model set brings, and the link to the view, once all tabs are built."""
        tabs = list(named_tabs.values())
        outputs = [self.variants, *(component for _, listed in self._lists for component in listed)]
        opened_too = [component for part in self._linked for component in part.targets if component not in outputs]

        def bring(model_set: ModelSet, ticked: list[str]) -> list[Any]:
            lists = [update for function, _ in self._lists for update in function(model_set)]
            return [gr.CheckboxGroup(_choices(model_set), value=ticked), *lists]

        def list_variants(model_set: str) -> list[Any]:
            """The variants of a model set, with the zoo's norms ticked, and what else can be chosen from it."""
            chosen_set = catalog.get(model_set)
            return bring(chosen_set, main_variants_of(chosen_set))

        def open_link(model_set: str, asked: object) -> list[Any]:
            """What a link asks for."""
            linked, ticked, is_known = read_link(catalog, model_set, asked)
            updates = dict(zip(outputs, bring(linked, ticked), strict=True))
            for part in self._linked:
                text = asked.get(part.key) if isinstance(asked, Mapping) else None
                try:
                    if isinstance(text, str) and text:
                        updates |= zip(part.targets, part.updates(linked, text), strict=True)
                except ConfigError:
                    is_known = False
            if not is_known:
                gr.Info(UNKNOWN)
            return [linked.name, *(updates.get(component, gr.skip()) for component in (*outputs, *opened_too))]

        opened = self._link.select(
            open_link,
            [self.model_set, self._link],
            [self.model_set, *outputs, *opened_too],
            api_name="open_link",
            **UNDOCUMENTED,
        )
        listed = self.model_set.input(
            list_variants, self.model_set, outputs, cancels=[opened], api_name="list_variants", **UNDOCUMENTED
        )
        start_shown(self._parts["variants"], self.variants.input, tabs, "start_all")
        for event in (opened, listed):
            start_shown(self._parts["set"], event.success, tabs, f"after_{event['api_name']}")
        start_missed({id(part): part for parts in self._parts.values() for part in parts}.values(), tabs)
        _keep_up(self.inputs, [opened, listed], named_tabs, self._linked)


def build(
    default: ModelSet, sets: Sequence[tuple[str, str]], opened_by_link: gr.HTML, first_photos: str, many_tab: int
) -> Chooser:
    """Place the controls; `connect` sets up their events.

    Args:
        sets: titles and names of all model sets.
        opened_by_link: what tells that the page was opened by one.
        first_photos: the prepared set of many photos that is there at first.
        many_tab: the position of the tab for them.
    """
    with gr.Row(elem_classes="chooser"):
        model_set = gr.Dropdown(
            list(sets), value=default.name, label="Model set", visible=len(sets) > 1, scale=1, min_width=220
        )
        variants = gr.CheckboxGroup(
            _choices(default), value=main_variants_of(default), label="Models to compare", scale=3, min_width=280
        )
    with gr.Column(elem_classes="unseen") as unseen:
        choice = photo.listener()
        photos, photos_choice = gr.JSON({"set": first_photos}, visible=False), photo.many_listener(many_tab)
    return Chooser(model_set, variants, photo.build(), choice, photos, photos_choice, opened_by_link, unseen)


def _choices(model_set: ModelSet) -> list[tuple[str, str]]:
    return [(short_name(variant), variant) for variant in variants_of(model_set)]
