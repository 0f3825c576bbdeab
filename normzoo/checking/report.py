"""Report of a check: every check with its outcome, the mistakes by name, and the same in words and as JSON."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from normzoo.checking.checks import FORMULA_CHECKS, Outcome
from normzoo.checking.generic import GENERIC_CHECKS
from normzoo.checking.mistakes import BY_KEY
from normzoo.checking.subject import Subject
from normzoo.nn.registry import describe_norm

MAX_SENTENCES = 3


@dataclass(frozen=True)
class Report:
    """All outcomes of one layer.

    Args:
        layer: name of the class.
        kind: what it was held against; "own" where only what holds for every norm was checked.
        outcomes: name of a check -> what it found.
        mistakes: key of each mistake found -> it in a sentence.
        remark: what nothing explains, or what was not looked at.
    """

    layer: str
    kind: str
    outcomes: dict[str, Outcome]
    mistakes: dict[str, str]
    remark: str = ""

    @property
    def passed(self) -> bool:
        """Did all checks pass?"""
        return all(outcome.passed for outcome in self.outcomes.values())

    @property
    def title(self) -> str:
        """What it was held against, in words."""
        return "what holds for every norm" if self.kind == "own" else describe_norm(self.kind).title

    def to_text(self) -> str:
        """Return a table of checks, then at most three sentences."""
        lines = [f"{self.layer} against {self.title}:"]
        for name, outcome in self.outcomes.items():
            lines.append(f"  {'✓' if outcome.passed else '✗'} {name}{f' – {outcome.detail}' if outcome.detail else ''}")
        sentences = [*self.mistakes.values(), *([self.remark] if self.remark else [])]
        return "\n".join([*lines, *(f"→ {sentence}" for sentence in sentences[:MAX_SENTENCES])])

    def to_json(self) -> str:
        """Return everything as JSON."""
        checks = [{"name": name, "passed": each.passed, "detail": each.detail} for name, each in self.outcomes.items()]
        diagnosis = [{"mistake": key, "sentence": sentence} for key, sentence in self.mistakes.items()]
        fields = {"layer": self.layer, "as": self.kind, "passed": self.passed, "checks": checks, "diagnosis": diagnosis}
        return json.dumps({**fields, "remark": self.remark}, indent=1, ensure_ascii=False)


def check(subject: Subject) -> Report:
    """Run all checks on a layer; those of the formula only where it is known which."""
    is_known = subject.kind != "own"
    outcomes = dict(_run(GENERIC_CHECKS[:1], subject))
    is_running = all(outcome.passed for outcome in outcomes.values())
    outcomes |= dict(_run(FORMULA_CHECKS if is_known else (), subject))
    outcomes |= dict(_run(GENERIC_CHECKS[1:] if is_running else GENERIC_CHECKS[1:-1], subject))
    mistakes: dict[str, str] = {}
    remark = ""
    for outcome in outcomes.values():
        mistakes |= {key: _sentence(key, filling) for key, filling in outcome.mistakes}
    if is_known:
        guess, unexplained, eps = subject.diagnosis
        by_formula = {mistake.key: text for mistake, text in zip(guess.mistakes, guess.sentences, strict=True)}
        if eps is not None:
            by_formula["eps-other"] = _sentence("eps-other", str(eps))
        mistakes = {**by_formula, **{key: text for key, text in mistakes.items() if key not in by_formula}}
        if unexplained and not all(outcome.passed for outcome in outcomes.values()):
            remark = f"No known mistake explains the {unexplained}." if is_running else "It does not run."
    return Report(subject.own.name, subject.kind, outcomes, mistakes, remark)


def check_generic(subject: Subject) -> Report:
    """Run the checks that hold for every norm, and leave out what compiles: quick, before a training."""
    outcomes = dict(_run(GENERIC_CHECKS[:-1], subject))
    mistakes = {key: _sentence(key, filling) for outcome in outcomes.values() for key, filling in outcome.mistakes}
    return Report(subject.own.name, "own", outcomes, mistakes)


def _run(checks: Iterable[Callable[[Subject], Outcome]], subject: Subject) -> Iterable[tuple[str, Outcome]]:
    for each in checks:
        try:
            outcome = each(subject)
        except Exception as error:  # a person's code may raise anything, and the other checks still tell something
            outcome = Outcome(False, f"{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}")
        yield (each.__doc__ or each.__name__).strip(), outcome


def _sentence(key: str, filling: str) -> str:
    sentence = BY_KEY[key].sentence
    for place in ("{shapes}", "{gate}", "{eps}", "{start}"):
        sentence = sentence.replace(place, filling)
    return sentence
