"""What all tabs share: the model set, and which of its variants are shown."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from normzoo.app.catalog import Catalog, main_variants_of, variants_of
from normzoo.app.guard import guarded
from normzoo.palette import short_name
from normzoo.zoo import ModelSet


@dataclass(frozen=True)
class Chooser:
    """The shared controls. A tab takes `inputs` and listens to `changes`."""

    model_set: gr.Dropdown
    variants: gr.CheckboxGroup

    @property
    def inputs(self) -> list[Any]:
        """The components that every tab's event takes first: model set, variants."""
        return [self.model_set, self.variants]

    @property
    def changes(self) -> list[Any]:
        """The events after which every tab shows something else."""
        return [self.model_set.change, self.variants.change]


def build(catalog: Catalog, default: ModelSet) -> Chooser:
    """Place the controls and link them: another set brings its own variants."""
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
    def list_variants(model_set: str) -> Any:
        """The variants of a model set, with the zoo's norms ticked."""
        chosen_set = catalog.get(model_set)
        return gr.CheckboxGroup(_choices(chosen_set), value=main_variants_of(chosen_set))

    model_set.change(
        list_variants, model_set, variants, api_name="list_variants", api_visibility="undocumented", show_progress="hidden"
    )
    return Chooser(model_set, variants)


def _choices(model_set: ModelSet) -> list[tuple[str, str]]:
    return [(short_name(variant), variant) for variant in variants_of(model_set)]
