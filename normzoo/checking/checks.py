"""Checks of a norm layer that need its formula: outputs, gradients, memory, numerics."""

from dataclasses import dataclass

import torch

from normzoo.checking.roles import held_tensors
from normzoo.checking.subject import Subject
from normzoo.checking.trace import CHANNELS, TOLERANCE, difference

#: Largest error in float32 at a mean of 1,000 deviations: five times torch's own is 2e-4, and E[x²] − E[x]² has 0.5.
OFFSET_TOLERANCE = 0.02
SHAPES = ((1, CHANNELS, 4, 5), (5, CHANNELS, 4, 5), (2, CHANNELS, 1, 7), (2, CHANNELS, 8, 8))


@dataclass(frozen=True)
class Outcome:
    """What a check found; `mistakes` are those that it names by itself, with what fills their sentences."""

    passed: bool
    detail: str = ""
    mistakes: tuple[tuple[str, str], ...] = ()


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
    expected = ["weight", "bias", *(["gate"] if subject.kind == "bin" else [])]
    absent = [name for name in expected if name not in subject.roles]
    if absent:
        named = (("gate-frozen", "its start"),) if absent == ["gate"] else ()
        return Outcome(False, f"there is no {' and no '.join(absent)}", named)
    return compare(subject, "gradients", *expected)


def memory(subject: Subject) -> Outcome:
    """running statistics after three batches"""
    if subject.kind not in ("bn", "bin"):
        return Outcome(True)
    absent = [role for role in ("running_mean", "running_var") if role not in subject.roles]
    if absent and subject.observed.get(("memory", absent[0])) is None:
        return Outcome(False, f"there is no {' and no '.join(absent)} from the start")
    return compare(subject, "memory")


def evaluation(subject: Subject) -> Outcome:
    """output and gradient in evaluation"""
    return compare(subject, "evaluation")


def odd_shapes(subject: Subject) -> Outcome:
    """one image, 1×7 pixels, other sizes, not contiguous, channels last"""
    generator = torch.Generator().manual_seed(2)
    inputs = {str(shape): torch.randn(shape, generator=generator) for shape in SHAPES}
    wide = torch.randn(3, CHANNELS, 4, 10, generator=generator)
    inputs["not contiguous"] = wide[..., ::2]
    inputs["channels last"] = wide[..., :5].contiguous(memory_format=torch.channels_last)
    for training in (True, False):
        layer, right = subject.layer().train(training), subject.right().train(training)
        for name, x in inputs.items():
            layer, right = (subject.layer(), subject.right()) if training else (layer, right)
            try:
                gap = difference(layer(x).detach(), right(x.double()).detach())
            except Exception as error:  # a person's code may raise anything
                return Outcome(False, f"{name}: {type(error).__name__}: {str(error)[:80]}")
            if gap > TOLERANCE:
                return Outcome(False, f"{name}{'' if training else ', evaluation'}: off by {gap:.2g}")
    return Outcome(True)


def large_offset(subject: Subject) -> Outcome:
    """float32 at a mean of 1,000 deviations"""
    x = torch.randn(4, CHANNELS, 8, 10, generator=torch.Generator().manual_seed(3), dtype=torch.float32) + 1000
    try:
        own, wide = subject.layer()(x).detach(), subject.layer().double()(x.double()).detach()
    except Exception as error:  # a person's code may raise anything
        try:
            own = subject.layer()(x).detach()
            wide = subject.right()(x.double()).detach()
        except Exception:
            return Outcome(False, f"{type(error).__name__}: {str(error)[:80]}")
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
    return Outcome(False, shapes, (("parameter-shape", shapes),))


def start_values(subject: Subject) -> Outcome:
    """begins with weight 1, bias 0 and gate 1"""
    start = {"weight": 1.0, "bias": 0.0, "gate": 1.0}
    wrong = [
        held.name
        for role, held in subject.roles.items()
        if role in start and not bool((held.tensor.detach() == start[role]).all())
    ]
    return Outcome(not wrong, ", ".join(wrong), (("start-values", ", ".join(wrong)),) if wrong else ())


def nothing_else_learned(subject: Subject) -> Outcome:
    """nothing is learned beyond the formula"""
    allowed = ("weight", "bias", "gate") if subject.kind == "bin" else ("weight", "bias")
    roles = [subject.roles[role].name for role in allowed if role in subject.roles]
    learned = [held for held in held_tensors(subject.untouched()) if held.holding == "parameter"]
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
