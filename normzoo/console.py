"""What both command lines share: output that no character stops, an error as a sentence, the nearest option to a wrong one."""

import argparse
import errno
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from normzoo.config import nearest
from normzoo.errors import NormZooError
from normzoo.formatting import visible


class Parser(argparse.ArgumentParser):
    """Parser whose commands are added by `command`, and that names the nearest option to one that there is not."""

    def command(
        self, commands: Any, name: str, call: Callable[[argparse.Namespace], Any], words: str
    ) -> argparse.ArgumentParser:
        """Add a command with its help, in words; without words the list of commands does not show it."""
        shown = {"help": words, "description": f"{words[:1].upper()}{words[1:]}."} if words else {}
        made: argparse.ArgumentParser = commands.add_parser(name, **shown)
        made.set_defaults(call=call, parser=made)
        return made

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        options, rest = self.parse_known_args(args, namespace)
        if rest:
            parser = getattr(options, "parser", self)
            word = rest[0].partition("=")[0]
            options_there = [option for option in parser._option_string_actions if option.startswith("--")]
            parser.error(f"unknown argument {word}. {nearest(word, options_there) if word.startswith('-') else ''}".rstrip())
        return options

    def error(self, message: str) -> NoReturn:
        """End with the message alone; argparse puts all options before it, a screen of them."""
        self.exit(2, f"{self.prog}: error: {message}\nAll options: {self.prog} --help\n")


def positive(word: str) -> int:
    """A whole number above 0, no more than any machine has of anything."""
    if not word.isdecimal() or not 1 <= int(word) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"a whole number between 1 and 1,000,000, got {word!r}")
    return int(word)


def run_command(call: Callable[[], int | None]) -> int:
    """Call it, and return the exit code; what goes wrong is told in a sentence."""
    _prepare_output()
    try:
        return call() or 0
    except NormZooError as error:
        print(visible(str(error)), file=sys.stderr)
        return 2
    except OSError as error:
        if isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever reads has enough, as `head` does
            return 141
        words = f"{error.filename or 'A file'} cannot be used ({error.strerror}). Check the path, and who may write there."
        print(visible(words), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. What was saved stays; the same command goes on from there.", file=sys.stderr)
        return 130


def _prepare_output() -> None:
    """Files and pipes get UTF-8, and what a terminal or an asked-for encoding has no character for is replaced."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            asked = stream.isatty() or os.environ.get("PYTHONIOENCODING")
            stream.reconfigure(encoding=None if asked else "utf-8", errors="replace")
