"""Report of a check: what a layer behaves as, every check with its outcome, mistakes by name, conventions as notes."""

import contextlib
import json
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from normzoo.check.checks import FORMULA_CHECKS, GENERIC_CHECKS, Outcome, first_line
from normzoo.check.formulas import KINDS
from normzoo.check.mistakes import BY_KEY, MISTAKES
from normzoo.check.subject import CONVENTIONS, Subject

#: Seconds after which a layer that does not return is given up.
TIME_LIMIT = 60


@dataclass(frozen=True)
class Report:
    """All outcomes of one layer.

    Args:
        layer: name of the class.
        kind: what it was held against; "own" where only what holds for every norm was checked.
        behaves: what it behaves as, in a sentence.
        outcomes: name of a check -> what it found.
        mistakes: key of each mistake found -> it in a sentence.
        notes: what is no mistake and yet has a consequence.
        remark: what nothing explains.
    """

    layer: str
    kind: str
    behaves: str
    outcomes: dict[str, Outcome]
    mistakes: dict[str, str]
    notes: list[str] = field(default_factory=list)
    remark: str = ""

    @property
    def passed(self) -> bool:
        """Did all checks pass?"""
        return all(outcome.passed for outcome in self.outcomes.values())

    def to_text(self, verbose: bool = False) -> str:
        """Return what it behaves as, the verdict, the causes and the notes; all checks where asked for."""
        failed = [name for name, outcome in self.outcomes.items() if not outcome.passed]
        count = len(self.outcomes)
        verdict = f"passed all {count} checks" if not failed else f"failed {len(failed)} of {count} checks"
        lines = [f"{self.layer}: {self.behaves}", f"{'✓' if not failed else '✗'} {self.layer} {verdict}."]
        lines += [f"→ {sentence}" for sentence in self.mistakes.values()]
        lines += [f"→ {self.remark}"] if self.remark else []
        lines += [f"· {note}" for note in self.notes]
        shown = self.outcomes if verbose else failed
        for name in shown:
            outcome = self.outcomes[name]
            lines.append(f"  {'✓' if outcome.passed else '✗'} {name}{f' – {outcome.detail}' if outcome.detail else ''}")
        return "\n".join([*lines, *([] if verbose else [f"All {count} checks: --verbose"])])

    def to_json(self) -> str:
        """Return everything as JSON."""
        checks = [{"name": name, "passed": each.passed, "detail": each.detail} for name, each in self.outcomes.items()]
        diagnosis = [{"mistake": key, "sentence": sentence} for key, sentence in self.mistakes.items()]
        fields: dict[str, Any] = {"layer": self.layer, "as": self.kind, "behaves": self.behaves, "passed": self.passed}
        fields |= {"checks": checks, "diagnosis": diagnosis, "notes": self.notes, "remark": self.remark}
        return json.dumps(fields, indent=1, ensure_ascii=False)


def check(subject: Subject, with_compiler: bool = True) -> Report:
    """Run all checks on a layer; those of the formula only where it is known which.

    Args:
        with_compiler: try torch.compile as well, which takes seconds.

    A layer that does not return within `TIME_LIMIT` seconds is given up, where the system has an alarm.
    """
    try:
        with _time_limit(TIME_LIMIT):
            return _check(subject, GENERIC_CHECKS if with_compiler else GENERIC_CHECKS[:-1])
    except _TooLongError:
        outcome = Outcome(False, f"no answer within {TIME_LIMIT} seconds")
        return Report(subject.own.name, "own", "it does not return.", {_name(GENERIC_CHECKS[0]): outcome}, {})


def identify(subject: Subject) -> str:
    """Return what a layer behaves as, in a sentence."""
    with _time_limit(TIME_LIMIT):
        return _behaves(subject)


def _check(subject: Subject, generic: Sequence[Callable[[Subject], Outcome]]) -> Report:
    is_known = subject.kind != "own"
    outcomes = dict(_run(generic[:1], subject))
    is_running = all(outcome.passed for outcome in outcomes.values())
    if not is_running and subject.failure is not None:
        (name,) = outcomes
        outcomes[name] = Outcome(False, where_it_failed(subject.failure, subject))
        return Report(
            subject.own.name, subject.kind, "it does not run.", outcomes, {}, remark=f"It fails: {outcomes[name].detail}."
        )
    outcomes |= dict(_run(FORMULA_CHECKS if is_known else (), subject))
    outcomes |= dict(_run(generic[1:], subject))
    mistakes: dict[str, str] = {}
    for outcome in outcomes.values():
        mistakes |= {key: _sentence(key, filling) for key, filling in outcome.mistakes}
    remark = ""
    failed = not all(outcome.passed for outcome in outcomes.values())
    if is_known:
        guess, unexplained, eps = subject.diagnosis
        by_formula = {mistake.key: text for mistake, text in zip(guess.mistakes, guess.sentences, strict=True)}
        if eps is not None:
            by_formula["eps-other"] = _sentence("eps-other", str(eps))
        mistakes = {**by_formula, **{key: text for key, text in mistakes.items() if key not in by_formula}}
        if unexplained and failed:
            remark = _unexplained(subject, unexplained)
    notes = [outcome.note for outcome in outcomes.values() if outcome.note]
    if is_known:
        notes += [CONVENTIONS[each.key] for each in subject.conventions.mistakes if CONVENTIONS.get(each.key)]
    return Report(subject.own.name, subject.kind, _behaves(subject), outcomes, mistakes, notes, remark)


def _behaves(subject: Subject) -> str:
    """Return what it behaves as, and what it is checked as."""
    kind = subject.kind
    if subject.given_kind is not None:
        return f"checked as {KINDS[kind].title}, as you asked." if kind in KINDS else "checked for what holds for every norm."
    if kind == "own":
        return "behaves as no norm that is known here; checked for what holds for every norm. `--as KIND` holds it against one."
    changes = subject.conventions.changes
    behind = f" with {changes['activation']} behind it" if "activation" in changes else ""
    own, same = (found.get(("output", "batch 0")) for found in (subject.observed, subject.expected))
    count = equal = subject.batches[0].numel()
    if own is None or same is None or own.shape != same.shape:
        equal = 0
    else:
        equal = int(((own.double() - same).abs() <= 1e-3 * same.abs().clamp_min(1e-2)).sum())
    groups = f" with {subject.groups} groups" if KINDS[kind].groups == "given" else ""
    verb = "behaves as" if equal == count else "is nearest to"
    return f"{verb} {KINDS[kind].title}{groups}{behind} ({equal} of {count} values equal in training); checked as that."


def _unexplained(subject: Subject, stage: str) -> str:
    unknown = f"It matches none of {len(MISTAKES)} known mistakes; it differs first in:"
    for key in (key for key in subject.expected if key[0] == stage):
        own, expected = subject.observed.get(key), subject.expected[key]
        if own is not None and expected is not None and own.shape == expected.shape:
            scale = float(expected.abs().max()) or 1.0
            off = float((own.double() - expected).abs().max()) / scale
            if off > 1e-3:
                return f"{unknown} {stage}, {key[1]}, by {off:.1%}."
    return f"{unknown} {stage}."


def where_it_failed(error: Exception, subject: Subject) -> str:
    """Return what an exception says and the last line of the layer's own code."""
    lines = subject.own.source.splitlines()
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(subject.own.path)]
    place = ""
    if own and own[-1].lineno and own[-1].lineno <= len(lines):
        place = f", line {own[-1].lineno}: {lines[own[-1].lineno - 1].strip()}"
    return f"{first_line(error)}{place}"


def _name(each: Callable[[Subject], Outcome]) -> str:
    return (each.__doc__ or each.__name__).strip()


def _run(checks: Iterable[Callable[[Subject], Outcome]], subject: Subject) -> Iterable[tuple[str, Outcome]]:
    for each in checks:
        try:
            outcome = each(subject)
        except _TooLongError:
            raise
        except Exception as error:  # a person's code may raise anything, and the other checks still tell something
            outcome = Outcome(False, where_it_failed(error, subject))
        yield _name(each), outcome


def _sentence(key: str, filling: str) -> str:
    sentence = BY_KEY[key].sentence
    for place in ("{shapes}", "{gate}", "{eps}", "{start}"):
        sentence = sentence.replace(place, filling)
    return sentence


class _TooLongError(BaseException):
    """No `Exception`: a layer that catches everything must not catch this."""


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise after so many seconds, in the main thread of a system with alarms."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
