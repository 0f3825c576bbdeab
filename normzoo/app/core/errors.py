"""What a person reads when something goes wrong: one plain sentence, never a traceback or a path."""

import functools
import html
import inspect
import logging
import os
from collections.abc import Callable, Collection
from typing import Any, ParamSpec, TypeVar

import gradio as gr
from gradio.blocks import BlocksConfig

from normzoo.errors import ConfigError, NormZooError

P = ParamSpec("P")
R = TypeVar("R")

TITLE = "That did not work"
UNEXPECTED = "Something went wrong on the server, not with you. Try again, or choose another photo."
NO_INPUTS = "An input is missing or of the wrong kind. Reload the page; programs find what it takes under Use via API."
NO_FUNCTION = "This works in the browser alone. Programs find what the server does under Use via API."

logger = logging.getLogger(__name__)


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """Make an event's function fail with a sentence for people; what was not expected goes to the log."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except NormZooError as error:
            # The message is shown as HTML, of which quotes are no part: programs read it as well.
            raise gr.Error(html.escape(str(error), quote=False), title=TITLE, print_exception=False) from error
        except gr.Error:
            raise
        except Exception as error:
            logger.exception("An event of the page failed")
            raise gr.Error(UNEXPECTED, title=TITLE, print_exception=False) from error

    return wrapper


def check_choice(what: str, value: object, known: Collection[str]) -> str:
    """Return a value as it may come from anyone, if it is one of those known."""
    if not isinstance(value, str) or value not in known:
        raise ConfigError(f"Unknown {what}. Choose one of: {', '.join(known)}.")
    return value


class GuardedEvents(BlocksConfig):
    """The events of a page: every one is made here, whatever listener sets it up.

    Functions are `guarded`, get their inputs as they were sent, and check them: Gradio would hand a file to any of Pillow's
    decoders, before the project's own loader sees it, and refuse a program a network that the first model set does not have.
    """

    def set_event_trigger(self, targets: Any, fn: Any, inputs: Any, outputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Add an event."""
        block_fn, index = super().set_event_trigger(targets, fn and guarded(fn), inputs, outputs, *args, **kwargs)
        block_fn.preprocess = False
        return block_fn, index


class GuardedBlocks(gr.Blocks):
    """A page that opens no file by itself, and tells in a sentence what Gradio refuses before an event's function."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.default_config = GuardedEvents(self)

    def forget_missing(self) -> None:
        """Forget the names of uploads that are gone."""
        for files in self.temp_file_sets:
            files.difference_update([file for file in list(files) if not os.path.exists(file)])

    def get_api_info(self, *args: Any, **kwargs: Any) -> Any:
        """What programs may call: defaults are those of the functions, and the photo of the example is the program's own."""
        info = super().get_api_info(*args, **kwargs)
        functions = {f"/{event.api_name}": event.fn for event in self.fns.values() if event.fn}
        for name, endpoint in info["named_endpoints"].items():
            known = inspect.signature(functions[name]).parameters
            for parameter in endpoint["parameters"]:
                default = known[parameter["parameter_name"]].default
                if default is not inspect.Parameter.empty and default is not None:  # a list of choices takes no None
                    parameter |= {"parameter_has_default": True, "parameter_default": default}
                if parameter["component"] == "Image":
                    parameter["example_input"] = {"path": "photo.jpg", "url": "photo.jpg", "meta": {"_type": "gradio.FileData"}}
        return info

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], state: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """The inputs of an event's function, from what a visitor sent; the last ones may be left out where it has defaults."""
        if block_fn.fn is None:
            raise gr.Error(NO_FUNCTION, title=TITLE, print_exception=False)
        missing = list(inspect.signature(block_fn.fn).parameters.values())[len(inputs) : len(block_fn.inputs)]
        if all(parameter.default is not inspect.Parameter.empty for parameter in missing):
            inputs = [*inputs, *(parameter.default for parameter in missing)]
        if state is not None:  # what a session was shown holds its photos, and would be kept longer than they are
            state._update_value_in_config = lambda key, value: None
        try:
            processed: list[Any] = await super().preprocess_data(block_fn, inputs, state, *args, **kwargs)
        except Exception as error:
            logger.info("Gradio refused the inputs of an event", exc_info=True)  # a visitor's slip, not the page's
            raise gr.Error(NO_INPUTS, title=TITLE, print_exception=False) from error
        return processed
