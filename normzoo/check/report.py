"""Report of a check: what a layer computes, the outcome of every check, mistakes, and conventions as notes."""

import json
import multiprocessing
import re
import sys
import textwrap
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch

from normzoo.check.checks import FORMULA_CHECKS, FREE_MEMORY, GENERIC_CHECKS, OF_TWO_RUNS, Outcome, first_line
from normzoo.check.formulas import EVERY, KINDS
from normzoo.check.measure import measured
from normzoo.check.mistakes import BY_KEY, MISTAKES, Guess
from normzoo.check.subject import CONVENTIONS, USUAL_EPS, Standard, Subject
from normzoo.check.trace import TOLERANCE, difference

#: Time limit of a layer, in seconds.
TIME_LIMIT = 60
#: Columns of a terminal.
WIDTH = 80
#: Message of an exception -> usual cause.
_HINTS = {
    r"respect to argument 'running_mean'": "F.batch_norm takes given statistics as constants: in training let it "
    "compute them (training=True), or normalize by hand, (x − mean) / √(var + ε).",
    r"normalized_shape": 'If the size of the maps is an argument, give it: --args "height=H, width=W".',
    r"must match the size of tensor": "A mean or parameter of shape (C,) does not broadcast with (N, C, H, W): use "
    "keepdim=True in mean and var, and view(1, −1, 1, 1) for values per channel.",
    r"running_mean must be defined": "Give F.batch_norm the layer's running_mean and running_var, registered as buffers.",
    r"cannot assign .* as parameter": "A parameter cannot be replaced by a tensor: running statistics are buffers, "
    "self.register_buffer(…).",
    r"leaf Variable that requires grad .* in-place": "Make running statistics buffers, and update them under torch.no_grad().",
    r"numpy\(\) on Tensor that requires grad": "Compute with torch: no gradient flows through NumPy.",
    r"NVIDIA|CUDA": "Create new tensors on the input's device: device=x.device.",
    r"must divide|divisible by": "The number of groups must divide the number of channels.",
}
#: Correlation with the output of a known norm from which a layer is compared with it.
LIKE_ANOTHER = 0.9
_T = TypeVar("_T")


@dataclass(frozen=True)
class Report:
    """All outcomes of one layer.

    Args:
        layer: name of the class.
        kind: norm it was compared with; "own": checked only for what holds for every norm.
        behaves: what it computes, in a sentence.
        outcomes: name of a check -> outcome.
        mistakes: key of each mistake -> sentence.
        notes: differences that are no mistakes.
        remark: what no known mistake explains.
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
        return all(outcome.passed for outcome in self.outcomes.values())

    def to_text(self, verbose: bool = False) -> str:
        """Return what it computes, verdict, causes and notes; with `verbose` all checks."""
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
        wrapped = [textwrap.fill(line, WIDTH, subsequent_indent="    " if line[0] == " " else "  ") for line in lines]
        return "\n".join([*wrapped, *([] if verbose else [f"All {count} checks: --verbose"])])

    def to_json(self) -> str:
        checks = [{"name": name, "passed": each.passed, "detail": each.detail} for name, each in self.outcomes.items()]
        diagnosis = [{"mistake": key, "sentence": sentence} for key, sentence in self.mistakes.items()]
        fields: dict[str, Any] = {"layer": self.layer, "as": self.kind, "behaves": self.behaves, "passed": self.passed}
        fields |= {"checks": checks, "diagnosis": diagnosis, "notes": self.notes, "remark": self.remark}
        return json.dumps(fields, indent=1, ensure_ascii=False)


def check(subject: Subject, with_compiler: bool = True) -> Report:
    """Run all checks on a layer; those of the formula only for a known norm.

    Args:
        with_compiler: try torch.compile as well, which takes seconds.
    """
    subject, note = _like_a_known_norm(subject)
    generic: Sequence[Callable[[Subject], Outcome]] = GENERIC_CHECKS if with_compiler else GENERIC_CHECKS[:-1]
    is_known = subject.kind != "own"
    outcomes = dict(_run(generic[:1], subject))
    is_running = all(outcome.passed for outcome in outcomes.values())
    if not is_running and subject.failure is not None:
        (name,) = outcomes
        said = outcomes[name].detail
        if not said.startswith("gives"):
            said = where_it_failed(subject.failure, subject)
        outcomes[name] = Outcome(False)
        remark = f"It {said}." if said.startswith("gives") else _with_hint(said)
        return Report(subject.own.name, subject.kind, "it does not run.", outcomes, {}, remark=remark)
    outcomes |= dict(_run(FORMULA_CHECKS if is_known else (), subject))
    is_random = is_running and subject.is_random
    outcomes |= dict(_run([each for each in generic[1:] if not (is_random and each in OF_TWO_RUNS)], subject))
    mistakes: dict[str, str] = {}
    for outcome in outcomes.values():
        mistakes |= {key: _sentence(key, filling) for key, filling in outcome.mistakes}
    remark = ""
    failed = not all(outcome.passed for outcome in outcomes.values())
    if is_known and failed:
        guess, unexplained, eps, share = subject.diagnosis
        by_formula = {
            mistake.key: text
            for mistake, text in zip(guess.mistakes, guess.sentences, strict=True)
            if subject.kind not in FREE_MEMORY or mistake.stage not in ("memory", "evaluation")
        }
        if subject.kind in FREE_MEMORY and unexplained in ("memory", "evaluation"):
            unexplained = None
        if eps is not None:
            by_formula["eps-other"] = _sentence("eps-other", str(eps))
        if share is not None and subject.kind not in FREE_MEMORY:
            by_formula["momentum-other"] = _sentence("momentum-other", str(share))
        if eps == subject.momentum and share == subject.eps:
            del by_formula["eps-other"], by_formula["momentum-other"]
            by_formula["eps-and-momentum-swapped"] = BY_KEY["eps-and-momentum-swapped"].sentence
        # Effects of the mistakes in evaluation are not a second cause.
        is_explained = bool(by_formula) and unexplained is None
        mistakes = by_formula | {
            key: text
            for key, text in mistakes.items()
            if key not in by_formula and not (is_explained and BY_KEY[key].stage == "evaluation")
        }
        wrong_gradient = _wrong_gradient(subject) if unexplained == "gradients" and not mistakes else ""
        if wrong_gradient:
            mistakes["wrong-gradient"] = _sentence("wrong-gradient", wrong_gradient)
        elif unexplained and "affine-before" not in by_formula:  # its gradients are lost in rounding
            remark = _unexplained(subject, unexplained)
    if not mistakes and not remark:
        remark = next((_with_hint(each.detail) for each in outcomes.values() if not each.passed and _hint(each.detail)), "")
    if not mistakes and not remark and subject.failure is not None:
        remark = _with_hint(where_it_failed(subject.failure, subject))
    notes = [outcome.note for outcome in outcomes.values() if outcome.note]
    if is_random:
        notes.append("Its output is random, so checks that compare two runs were skipped.")
    if not is_known and is_running:
        notes = [each for each in (depends_on(subject), note, *notes) if each]
    if is_known:
        notes += [CONVENTIONS[each.key] for each in subject.conventions.mistakes if CONVENTIONS.get(each.key)]
    return Report(subject.own.name, subject.kind, behaves(subject), outcomes, mistakes, notes, remark)


def behaves(subject: Subject) -> str:
    """Return what a layer computes, and what it is checked against, in a sentence."""
    kind = subject.kind
    if subject.given_kind is not None:
        return f"checked as {KINDS[kind].title}, as you asked." if kind in KINDS else "checked for what every norm must do."
    if kind == "own":
        likeness, key = _nearest(subject)
        near = f" (most similar: {KINDS[key].title}; `--as {key}` compares it with that)" if likeness > LIKE_ANOTHER else ""
        return f"computes no known norm{near}; checked only for what every norm must do."
    changes = subject.conventions.changes
    behind = f" followed by {changes['activation']}" if "activation" in changes else ""
    own, same = (found.get(("output", "batch 0")) for found in (subject.observed, subject.expected))
    count = equal = subject.batches[0].numel()
    if own is None or same is None or own.shape != same.shape:
        equal = 0
    else:
        equal = int(((own.double() - same).abs() <= 1e-3 * same.abs().clamp_min(1e-2)).sum())
    groups = f" with {subject.groups} groups" if KINDS[kind].groups == "given" else ""
    verb = "behaves as" if equal == count else "is nearest to"
    return f"{verb} {KINDS[kind].title}{groups}{behind} ({equal} of {count} values equal in training); checked against it."


def depends_on(subject: Subject) -> str:
    """Return what an output value depends on in training, and what does not change it, in a sentence."""
    x = subject.batches[0].float()
    image, channel, row, column = 0, 5, 1, 2
    moving = x.clone().requires_grad_()
    try:
        y = subject.layer()(moving + 0)
    except Exception:  # a person's code may raise anything; the checks report it
        return ""
    gradient = torch.autograd.grad(y[image, channel, row, column], moving, allow_unused=True)[0] if y.requires_grad else None
    if gradient is None:
        return "No gradient reaches its input."
    acts = gradient.abs() > 1e-6 * gradient.abs().max()
    images, channels, rows, columns = (
        acts.any(dim=[other for other in range(4) if other != kept]).nonzero().flatten().tolist() for kept in range(4)
    )
    pixels = {(True, True): "all pixels", (False, False): "its own pixel"}.get(
        (len(rows) == x.shape[2], len(columns) == x.shape[3])
    )
    if len(rows) * len(columns) > 1 and pixels != "all pixels":
        pixels = f"some pixels ({len(rows)} of {x.shape[2]} rows, {len(columns)} of {x.shape[3]} columns)"
    of = [
        pixels or "its own pixel",
        {1: "its own channel", x.shape[1]: "all channels"}.get(len(channels), f"{len(channels)} of {x.shape[1]} channels"),
        {1: "its own image", len(x): "all images"}.get(len(images), f"{len(images)} of {len(x)} images"),
    ]
    with torch.no_grad():
        same = [
            word
            for word, other in (("adding a constant to it", x + 3), ("scaling it", x * 3))
            if difference(subject.layer()(other), y.detach()) < 0.02
        ]
    unchanged = f"; {' and '.join(same)} does not change the output" if same else ""
    return f"In training each value depends on {' of '.join(of)} of the input{unchanged}."


def _nearest(subject: Subject) -> tuple[float, str]:
    """The norm with the most similar output, and how similar it is: a correlation."""
    own = subject.observed.get(("output", "batch 0"))
    found = [(0.0, "")]
    if own is None or own.shape != subject.batches[0].shape:
        return found[0]
    for key in EVERY:
        right = subject.formula(Standard(key, subject.groups, 1e-5), {})(subject.batches[0]).detach()
        found.append((float(torch.corrcoef(torch.stack([own.double().flatten(), right.flatten()]))[0, 1]), key))
    return max(found)


def _like_a_known_norm(subject: Subject) -> tuple[Subject, str]:
    """The layer as a known norm where a factor, a location or a parameter tells exactly why it is none; else a note."""
    own = subject.observed.get(("output", "batch 2"))
    if subject.kind != "own" or own is None or own.shape != subject.batches[2].shape or not bool(own.isfinite().all()):
        return subject, ""
    for key in KINDS if not subject.has_more else ():
        for eps in USUAL_EPS if key not in FREE_MEMORY and KINDS[key].settings.get("training") != "frozen" else ():
            if measured(subject.seen_as(key, eps, Guess()), "output")[1]:
                return subject.seen_as(key, eps), ""
    likeness, key = _nearest(subject)
    told = measured(subject.seen_as(key, USUAL_EPS[0], Guess()), "output")[0] if likeness > LIKE_ANOTHER else ""
    return subject, f"Compared with {KINDS[key].title}: {told}" if told else ""


def _wrong_gradient(subject: Subject) -> str:
    """Name what has another gradient than the right formula, although the output is the same."""
    names = [
        name
        for (stage, name), value in subject.expected.items()
        if stage == "gradients" and value is not None and (own := subject.observed.get((stage, name))) is not None
        if difference(own, value) > TOLERANCE
    ]
    return " and ".join(subject.roles[name].name if name in subject.roles else f"the {name}" for name in names)


def _unexplained(subject: Subject, stage: str) -> str:
    unknown = f"It matches none of {len(MISTAKES)} known mistakes."
    if told := measured(subject, stage)[0]:
        return f"{unknown} {told}"
    unknown = f"{unknown[:-1]}; it differs first in:"
    for key in (key for key in subject.expected if key[0] == stage):
        own, expected = subject.observed.get(key), subject.expected[key]
        if own is not None and expected is not None and own.shape == expected.shape:
            scale = float(expected.abs().max()) or 1.0
            off = float((own.double() - expected).abs().max()) / scale
            if off > 1e-3:
                return f"{unknown} {stage}, {key[1]}, by {off:.1%}."
    return f"{unknown} {stage}."


def _hint(said: str) -> str:
    return next((f" {hint}" for pattern, hint in _HINTS.items() if re.search(pattern, said)), "")


def _with_hint(said: str) -> str:
    return f"It fails: {said}.{_hint(said)}"


def where_it_failed(error: Exception, subject: Subject) -> str:
    """Return the message of an exception and the last line of the layer's code."""
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
        except Exception as error:  # a person's code may raise anything, and the other checks still tell something
            outcome = Outcome(False, where_it_failed(error, subject))
        yield _name(each), outcome


def _sentence(key: str, filling: str) -> str:
    sentence = BY_KEY[key].sentence
    for place in ("{shapes}", "{gate}", "{eps}", "{start}"):
        sentence = sentence.replace(place, filling)
    return sentence


def in_own_process(work: Callable[[], _T]) -> _T:
    """Return the result of `work`, computed in a separate process with a time limit.

    Where a process cannot be forked, or autograd not used in it, it is computed here, without a time limit.

    Raises:
        TimeoutError: it takes longer than `TIME_LIMIT`.
        ChildProcessError: the process ended without a result.
    """
    if sys.platform == "darwin" or "fork" not in multiprocessing.get_all_start_methods():
        return work()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(work, sender), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads: the child uses one alone
        process.start()
    sender.close()
    try:
        if not receiver.poll(TIME_LIMIT):
            raise TimeoutError(f"no answer within {TIME_LIMIT:g} seconds")
        is_right, answer = receiver.recv()
    except EOFError:
        process.join()
        raise ChildProcessError(f"its process ended with exit code {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
        receiver.close()
    if isinstance(answer, _NoAutogradError):
        return work()
    if not is_right:
        raise answer
    found: _T = answer
    return found


class _NoAutogradError(Exception):
    """PyTorch refuses `backward` in a fork of a process that has used it beside a GPU."""


def _try_autograd() -> None:
    try:
        torch.ones((), requires_grad=True).backward()
    except RuntimeError as error:
        raise _NoAutogradError from error


def _answer(work: Callable[[], Any], sender: Connection) -> None:
    torch.set_num_threads(1)  # those of the parent are not in this process
    try:
        _try_autograd()
        sender.send((True, work()))
    except Exception as error:
        sender.send((False, error))


def check_apart(make: Callable[[], Subject], name: str, with_compiler: bool = True) -> Report:
    """Build and check a layer in a separate process; one that hangs or crashes is reported.

    Args:
        make: builds the subject, which runs the user's code.
        name: of the layer.
        with_compiler: as for `check`.
    """
    try:
        return in_own_process(lambda: check(make(), with_compiler))
    except (TimeoutError, ChildProcessError) as error:
        outcome = Outcome(False, str(error))
        return Report(name, "own", "it does not return.", {_name(GENERIC_CHECKS[0]): outcome}, {})
