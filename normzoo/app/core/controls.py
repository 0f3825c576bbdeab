"""What all tabs share: the model set, which of its variants are shown, the photo."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.events import Dependency

from normzoo.app.core import permalink as link
from normzoo.app.core import upload as photo
from normzoo.app.core.catalog import Catalog, main_variants_of, variants_of
from normzoo.app.core.errors import guarded
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
    photo: gr.Image  # placed by the tab that classifies it
    _listed: Dependency  # the variants of another set have come
    tab: gr.Tab | None = None  # the one that is being built

    @property
    def inputs(self) -> list[Any]:
        """The components that every tab's event takes first: model set, variants."""
        return [self.model_set, self.variants]

    def follow(
        self,
        function: Callable[..., Any],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        *,
        also: Sequence[Any] = (),
        api_name: str,
        **options: Any,
    ) -> list[Dependency]:
        """Run a tab's function after every choice made here, and after the events in `also`.

        What people do (`input`) starts it, never that a control changed: Gradio's front end tells of changes that
        its own answers make as well, and two controls that listen to each other's would keep each other busy for ever.
        """
        options = {"show_progress": "minimal", "trigger_mode": "always_last", **options}
        direct = gr.on([self.variants.input, *also], function, inputs, outputs, api_name=api_name, **options)
        name = f"{api_name}_of_set"
        chained = self._listed.success(function, inputs, outputs, api_name=name, api_visibility="undocumented", **options)
        return [direct, chained]

    def keep_link(self, tabs: Sequence[gr.Tab]) -> None:
        """Have the address bar say what is chosen, and which tab is open."""
        # `change`: at `input` the browser does not know the new value yet. It starts nothing here that could answer back.
        link.keep_up(self.inputs, [self.variants.change, *(tab.select for tab in tabs)], self._listed, str(tabs[0].label))

    def after_set(self, function: Callable[..., Any], inputs: Any, outputs: Any, *, api_name: str) -> Dependency:
        """Run a function when another model set was chosen, such as one that lists what can be chosen from it."""
        return self._listed.success(
            function, inputs, outputs, api_name=api_name, api_visibility="undocumented", show_progress="hidden"
        )


def build(catalog: Catalog, default: ModelSet, opened_by_link: Any) -> Chooser:
    """Place the controls and link them: another set brings its own variants, and so does a link.

    Args:
        opened_by_link: the event that tells of one.
    """
    with gr.Row(elem_classes="chooser"):
        model_set = gr.Dropdown(
            list(catalog.sets),
            value=default.name,
            label="Trained on / recipe",
            visible=len(catalog.sets) > 1,
            scale=1,
            min_width=220,
        )
        variants = gr.CheckboxGroup(
            _choices(default), value=main_variants_of(default), label="Networks shown in all tabs", scale=3, min_width=280
        )

    @guarded
    def list_variants(model_set: str, event: gr.EventData) -> tuple[Any, Any]:
        """The variants of a model set, with the zoo's norms ticked; or what a link asks for."""
        if link.is_link(event._data):
            linked, ticked, is_known = link.read(catalog, model_set, event._data)
            if not is_known:
                gr.Info(link.UNKNOWN)
            return linked.name, gr.CheckboxGroup(_choices(linked), value=ticked)
        chosen_set = catalog.get(model_set)
        return gr.skip(), gr.CheckboxGroup(_choices(chosen_set), value=main_variants_of(chosen_set))

    listed = gr.on(
        [model_set.input, opened_by_link],
        list_variants,
        model_set,
        [model_set, variants],
        api_name="list_variants",
        api_visibility="undocumented",
        show_progress="hidden",
    )
    return Chooser(model_set, variants, photo.build(), listed)


def _choices(model_set: ModelSet) -> list[tuple[str, str]]:
    return [(short_name(variant), variant) for variant in variants_of(model_set)]
