"""What all tabs share: the model set, which of its variants are shown, the photo.

A new control of a tab takes five lines:

    knob = gr.Slider(0, 1, value=0, label="Knob")                            # in `build`, where it shall stand
    shown = gr.HTML(js_on_load=None, label="report")                          # `label` is its name for programs
    def turn_knob(model_set: str, variants: list[str] | None, knob: float = 0) -> str: ...  # @guarded, with a docstring
    part = chooser.follow(turn_knob, [*chooser.inputs, knob], shown, also=[knob.input], api_name="turn_knob")
    chooser.add_to_link(Linked("knob", [part.event], [knob]))                 # and "knob" in `permalink.KEYS`

`follow` runs the function after choices made here and after the events in `also`, in the tab that is open alone; why each part
has a starter of its own says `events`, how a link is read and written `permalink`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from normzoo.app.core import permalink as link
from normzoo.app.core import upload as photo
from normzoo.app.core.catalog import Catalog, main_variants_of, variants_of
from normzoo.app.core.errors import guarded
from normzoo.app.core.events import INSIGHT, LAST_WINS, UNDOCUMENTED, Part, start, start_missed, start_placed, start_shown
from normzoo.errors import ConfigError
from normzoo.pretrained.registry import ModelSet
from normzoo.variants import short_name

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
    _linked: list[link.Linked] = field(default_factory=list)
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
        api_name: str,
        **options: Any,
    ) -> Part:
        """Run a function that fills a part of a tab after these choices made here, and after the events in `also`.

        A choice made while another tab is open is followed when this one is opened.

        What people do (`input`) starts it, never that a control changed: Gradio's front end tells of changes that
        its own answers make as well, and two controls that listen to each other's would keep each other busy for ever.

        Args:
            on_open: also each time that the tab is opened: it shows something else that may have changed, or nothing at first.
            place: id of an element in something folded: where it is not shown, nothing but `also` starts the function.
        """
        with self._unseen:
            starter = gr.HTML(0, html_template="", js_on_load=None)
        event = starter.change(function, list(inputs), outputs, api_name=api_name, **{**LAST_WINS, **options})
        part = Part(event, starter, self.tab, on_open, place)
        for choice in choices:
            self._parts[choice].append(part)
        opened = [self.tab.select] if on_open and self.tab else []
        if place and opened:
            start_placed(part, opened, f"open_{api_name}")
            opened = []
        if triggers := [*also, *opened]:
            start([part], triggers, f"start_{api_name}")
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

    def add_to_link(self, linked: link.Linked) -> None:
        """Have the link to the view hold a further choice."""
        self._linked.append(linked)

    def connect(self, catalog: Catalog, named_tabs: Mapping[str, gr.Tab]) -> None:
        """Set up what a choice of a model set brings, and the link to the view, once all tabs are built."""
        tabs = list(named_tabs.values())
        outputs = [self.variants, *(component for _, listed in self._lists for component in listed)]
        opened_too = [component for part in self._linked for component in part.targets if component not in outputs]

        def bring(model_set: ModelSet, ticked: list[str]) -> list[Any]:
            lists = [update for function, _ in self._lists for update in function(model_set)]
            return [gr.CheckboxGroup(_choices(model_set), value=ticked), *lists]

        @guarded
        def list_variants(model_set: str) -> list[Any]:
            """The variants of a model set, with the zoo's norms ticked, and what else can be chosen from it."""
            chosen_set = catalog.get(model_set)
            return bring(chosen_set, main_variants_of(chosen_set))

        @guarded
        def open_link(model_set: str, asked: object) -> list[Any]:
            """What a link asks for."""
            linked, ticked, is_known = link.read(catalog, model_set, asked)
            updates = dict(zip(outputs, bring(linked, ticked), strict=True))
            for part in self._linked:
                text = asked.get(part.key) if isinstance(asked, Mapping) else None
                try:
                    if isinstance(text, str) and text:
                        updates |= zip(part.targets, part.updates(linked, text), strict=True)
                except ConfigError:
                    is_known = False
            if not is_known:
                gr.Info(link.UNKNOWN)
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
        link.keep_up(self.inputs, [opened, listed], named_tabs, self._linked)


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
