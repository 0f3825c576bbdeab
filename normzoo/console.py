"""Shared by both command lines: encodings of the output, errors as one sentence, suggestions for misspelt options."""

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
    """Parser that suggests the nearest option for an unknown one; `command` adds a command."""

    def command(
        self, commands: Any, name: str, call: Callable[[argparse.Namespace], Any], words: str
    ) -> argparse.ArgumentParser:
        """Add a command with its help text; without one the list of commands does not show it."""
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
        """Exit with the message alone; argparse would print all options before it."""
        self.exit(2, f"{self.prog}: error: {message}\nAll options: {self.prog} --help\n")


def positive(word: str) -> int:
    """Parse a whole number from 1 to 1,000,000."""
    if not word.isdecimal() or not 1 <= int(word) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"must be a whole number between 1 and 1,000,000, got {word!r}")
    return int(word)


def run_command(call: Callable[[], int | None]) -> int:
    """Call a command and return the exit code; errors are printed as one sentence."""
    _prepare_output()
    try:
        return call() or 0
    except NormZooError as error:
        print(visible(str(error)), file=sys.stderr)
        return 2
    except OSError as error:
        if isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has closed the pipe, as `head` does
            return 141
        words = f"{error.filename or 'A file'} cannot be used ({error.strerror}). Check the path and its permissions."
        print(visible(words), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. Saved results are kept; the same command resumes.", file=sys.stderr)
        return 130


def _prepare_output() -> None:
    """Write UTF-8 to files and pipes; replace characters that a terminal or a requested encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            asked = stream.isatty() or os.environ.get("PYTHONIOENCODING")
            stream.reconfigure(encoding=None if asked else "utf-8", errors="replace")
