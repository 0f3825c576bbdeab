"""Checks of a norm layer that need its formula: outputs, gradients, memory, numerics."""

import dataclasses
import textwrap
from dataclasses import dataclass

import torch

from normzoo.checking.kinds import KINDS
from normzoo.checking.roles import held_tensors
from normzoo.checking.subject import Subject
from normzoo.checking.trace import CHANNELS, HEIGHT, TOLERANCE, WIDTH, difference

#: Largest error in float32 at a mean of 1,000 deviations: five times torch's own is 2e-4, and E[x²] − E[x]² has 0.5.
OFFSET_TOLERANCE = 0.02
SHAPES = ((2, CHANNELS, 1, 7), (2, CHANNELS, 8, 8), (1, CHANNELS, 4, 5), (5, CHANNELS, 4, 5))


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    Args:
        mistakes: those that it names by itself, with what fills their sentences.
        note: what is no mistake and yet has a consequence.
    """

    passed: bool
    detail: str = ""
    mistakes: tuple[tuple[str, str], ...] = ()
    note: str = ""


def first_line(error: Exception) -> str:
    """Return what an exception says, in one line of whole words."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{f': {textwrap.shorten(text, 120, placeholder=chr(8230))}' if text else ''}"


def compare(subject: Subject, stage: str, *names: str) -> Outcome:
    """Compare a stage of the trace with the right formula's."""
    worst, where = 0.0, ""
    keys = [key for key in subject.expected if key[0] == stage and (not names or key[1] in names)]
    for key in keys:
        own, expected = subject.observed.get(key), subject.expected[key]
        if own is None and stage in ("gradients", "memory") and subject.observed:
            continue  # what a layer does not hold, the checks of its structure report
        gap = float("inf") if own is None or expected is None else difference(own, expected)
        if gap > worst:
            worst, where = gap, key[1]
    if worst <= TOLERANCE:
        return Outcome(True)
    return Outcome(False, f"{where}: not computed, or not finite" if worst == float("inf") else f"{where}: off by {worst:.2g}")


def output(subject: Subject) -> Outcome:
    """output in training"""
    return compare(subject, "output")


def input_gradient(subject: Subject) -> Outcome:
    """gradient of the input"""
    return compare(subject, "gradients", "input")


def parameter_gradients(subject: Subject) -> Outcome:
    """gradients of what is learned"""
    missing = [name for (stage, name), value in subject.observed.items() if stage == "gradients" and value is None]
    if missing:
        named = (("gate-frozen", "its start"),) if "gate" in missing else ()
        return Outcome(False, f"no gradient reaches {', '.join(missing)}", named)
    if subject.kind == "bin" and "gate" not in subject.roles:
        return Outcome(False, "there is no gate", (("gate-frozen", "its start"),))
    absent = [name for name in ("weight", "bias") if name not in subject.roles]
    note = f"It has no {' and no '.join(absent)}: what follows it must scale and shift." if absent else ""
    found = compare(subject, "gradients", "weight", "bias", *(["gate"] if subject.kind == "bin" else []))
    if absent and subject.given_kind is not None:
        return Outcome(False, f"there is no {' and no '.join(absent)}", ((_MISSING[tuple(absent)], ""),))
    return dataclasses.replace(found, note=note)


#: What is absent -> the mistake that it is where torch's own is asked for.
_MISSING = {("weight", "bias"): "affine-missing", ("weight",): "weight-missing", ("bias",): "bias-missing"}
#: Kinds whose running statistics people keep in many ways.
_FREE_MEMORY = ("ghost-bn-2", "ghost-bn-3", "ghost-bn-strided")


def memory(subject: Subject) -> Outcome:
    """running statistics after three batches"""
    if not KINDS[subject.kind].settings.get("remembers") or subject.kind in _FREE_MEMORY:
        return Outcome(True)
    absent = [role for role in ("running_mean", "running_var") if role not in subject.roles]
    if absent and subject.observed.get(("memory", absent[0])) is None:
        return Outcome(False, f"there is no {' and no '.join(absent)} from the start")
    return compare(subject, "memory")


def evaluation(subject: Subject) -> Outcome:
    """output and gradient in evaluation"""
    if subject.kind in _FREE_MEMORY:
        return Outcome(True)
    return compare(subject, "evaluation")


def odd_shapes(subject: Subject) -> Outcome:
    """one image, 1×7 pixels, other sizes, not contiguous, channels last"""
    generator = torch.Generator().manual_seed(2)
    inputs = {str(shape): torch.randn(shape, generator=generator) for shape in SHAPES}
    wide = torch.randn(3, CHANNELS, 4, 10, generator=generator)
    inputs["not contiguous"] = wide[..., ::2]
    inputs["channels last"] = wide[..., :5].contiguous(memory_format=torch.channels_last)
    refused = dict[str, str]()
    for training in (True, False) if subject.kind not in _FREE_MEMORY else ():
        layer, right = subject.layer().train(training), subject.right().train(training)
        for name, x in inputs.items():
            layer, right = (subject.layer(), subject.right()) if training else (layer, right)
            try:
                found = layer(x).detach()
            except Exception as error:  # a person's code may raise anything
                refused.setdefault(name, first_line(error))
                continue
            gap = difference(found, right(x.double()).detach())
            if gap > TOLERANCE:
                return Outcome(False, f"{name}{'' if training else ', evaluation'}: off by {gap:.2g}")
    if not refused:
        return Outcome(True)
    name, why = next(iter(refused.items()))
    return Outcome(True, note=f"It does not take {', '.join(refused)} ({name}: {why}).")


def large_offset(subject: Subject) -> Outcome:
    """float32 at a mean of 1,000 deviations"""
    images = len(subject.batches[0])
    x = torch.randn(images, CHANNELS, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(3), dtype=torch.float32) + 1000
    own = subject.layer()(x).detach()
    try:
        wide = subject.layer().double()(x.double()).detach()
    except Exception:  # a person's code may raise anything
        wide = subject.right()(x.double()).detach()
    gap = float((own.double() - wide).abs().nan_to_num(float("inf")).max())
    if gap <= OFFSET_TOLERANCE:
        return Outcome(True)
    return Outcome(False, f"off by {gap:.2g}", (("cancellation", ""),))


def parameter_shapes(subject: Subject) -> Outcome:
    """one value per channel, (C,)"""
    wrong = {
        f"{held.name} {tuple(held.tensor.shape)}" for held in subject.roles.values() if tuple(held.tensor.shape) != (CHANNELS,)
    }
    if not wrong:
        return Outcome(True)
    shapes = ", ".join(sorted(wrong))
    if subject.given_kind is not None:
        return Outcome(False, shapes, (("parameter-shape", shapes),))
    return Outcome(
        True, note=f"It holds {shapes} where torch's layers hold ({CHANNELS},): their state dicts do not load into it."
    )


def start_values(subject: Subject) -> Outcome:
    """begins with weight 1, bias 0 and gate 1"""
    start = {"weight": 1.0, "bias": 0.0, "gate": 1.0}
    wrong = [
        held.name
        for role, held in subject.roles.items()
        if role in start and not bool((held.tensor.detach() == start[role]).all())
    ]
    if not wrong:
        return Outcome(True)
    names = ", ".join(wrong)
    if subject.given_kind is not None or ("gate" in subject.roles and subject.roles["gate"].name in wrong):
        return Outcome(False, names, (("start-values", names),))
    return Outcome(True, note=f"{names} begins elsewhere than at weight 1 and bias 0.")


def nothing_else_learned(subject: Subject) -> Outcome:
    """nothing is learned beyond the formula"""
    allowed = ("weight", "bias", "gate") if subject.kind == "bin" else ("weight", "bias")
    roles = [subject.roles[role].name for role in allowed if role in subject.roles]
    learned = [held for held in held_tensors(subject.untouched()) if held.tensor.requires_grad]
    names = [held.name for held in learned if held.name not in roles]
    return Outcome(not names, ", ".join(names), (("extra-parameters", ""),) if names else ())


FORMULA_CHECKS = (
    output,
    input_gradient,
    parameter_gradients,
    memory,
    evaluation,
    odd_shapes,
    large_offset,
    parameter_shapes,
    start_values,
    nothing_else_learned,
)
