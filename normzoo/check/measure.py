"""Measurement of what no known mistake explains: where a layer differs from the right norm, and what it computes instead."""

import re
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normzoo.check.formulas import KINDS, FormulaNorm
from normzoo.check.subject import Subject
from normzoo.check.trace import CHANNELS, TOLERANCE, find_roles, set_role

#: Largest error of a fit, relative to the largest value, that float32 rounding explains.
_CLOSE = 2e-3
#: A divisor with another number beside the variance, or a number alone: it may be meant so.
_ANOTHER_EPS = r"it divides by √\((\D*variance)?( [+−] )?[\d.e-]*\)|it divides by (\D*deviation)?( [+−] )?[\d.e-]*$"
#: Ways to store a weight that are no mistakes.
_GAINS = ("exp({})", "log(1 + exp({}))", "sigmoid({})", "2 · sigmoid({})", "tanh({})", "1 + tanh({})", "|{}|", "{} / its norm")
_DIMENSIONS = ("image", "channel", "row", "column")
#: What a layer may make of a value per channel, its weight for example, in words.
_WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "{}": lambda v: v,
    "1 − {}": lambda v: 1 - v,
    "1 + {}": lambda v: 1 + v,
    "exp({})": torch.exp,
    "log(1 + exp({}))": F.softplus,
    "sigmoid({})": torch.sigmoid,
    "1 − sigmoid({})": lambda v: 1 - v.sigmoid(),
    "2 · sigmoid({})": lambda v: 2 * v.sigmoid(),
    "tanh({})": torch.tanh,
    "1 + tanh({})": lambda v: 1 + v.tanh(),
    "{}²": torch.square,
    "√{}": lambda v: v.clamp_min(0).sqrt(),
    "|{}|": torch.abs,
    "1 / {}": torch.reciprocal,
    "softmax({}) over the channels": lambda v: v.softmax(0),
    "{} / its norm": lambda v: v / v.norm(),
    "{} − its mean": lambda v: v - v.mean(),
    "{} of the next channel": lambda v: v.roll(-1),
    "{} of the channel before": lambda v: v.roll(1),
    "{} of the channel from the other end": lambda v: v.flip(0),
    "{} of channel 0": lambda v: v[:1].expand_as(v),
    "the mean of all {}": lambda v: v.mean().expand_as(v),
    "{} limited to [0, 1]": lambda v: v.clamp(0, 1),
    "1 − {} limited to [0, 1]": lambda v: 1 - v.clamp(0, 1),
    "−{}": torch.neg,
    "−{} limited to [0, 1]": lambda v: -v.clamp(0, 1),
    "{}, at least 0": lambda v: v.clamp_min(0),
    "{}, at most 1": lambda v: v.clamp_max(1),
}


def measured(subject: Subject, stage: str) -> tuple[str, bool]:
    """Return in a sentence what the layer computes at a stage of the trace, and whether that is all that is wrong there."""
    try:
        return _measured(subject, stage)
    except Exception:  # a person's code may raise anything; the checks report it
        return "", False


def _measured(subject: Subject, stage: str) -> tuple[str, bool]:
    if stage == "memory":
        return " ".join(_memory(subject, role) for role in ("running_mean", "running_var")).strip(), False
    if stage == "evaluation":
        told, is_all = _compare(subject, subject.batches[3], is_training=False)
        return f"In evaluation {told}." if told else "", is_all
    if stage == "output":
        depends_on_batch = "N" in KINDS[subject.kind].axes
        x = subject.batches[0] if depends_on_batch else torch.cat(tuple(subject.batches[:3]))
        told, is_all = _compare(subject, x, is_training=True)
        if told:
            return f"In training {told}.", is_all
        for name in ("batch 1", "batch 2"):
            own, right = (found.get((stage, name)) for found in (subject.observed, subject.expected))
            if own is not None and right is not None and bool(_differences(own, right).any()):
                return "The first batch is right, a later one is not: the layer keeps something that normalizes later.", False
    return "", False


def _differences(own: Tensor, right: Tensor) -> Tensor:
    scale = right.abs().amax((2, 3), keepdim=True).clamp_min(float(right.abs().max()) * 1e-3)
    return ~((own - right).abs() <= TOLERANCE * scale)


def _compare(subject: Subject, x: Tensor, is_training: bool) -> tuple[str, bool]:
    """What the layer computes of one batch, with known running statistics; nothing where it is right."""
    own, right = (_output(subject, layer, x, is_training) for layer in (subject.layer(), subject.right()))
    if own.shape != right.shape:
        return "", False
    differs = _differences(own, right)
    if not bool(differs.any()):
        return "", False
    if limit := _limit(own, right, differs):
        return limit, False
    weight, bias = (subject.values[name].view(1, -1, 1, 1) for name in ("weight", "bias"))
    normalized, wanted = (own - bias) / weight, (right - bias) / weight
    if bool(differs.flatten(2).any(2).all()) and (times := _fit(normalized.flatten(), x̂=wanted.flatten())):
        return f"the normalized values are {times.removesuffix(' · x̂')} times what they should be", True
    if subject.kind == "bin" and "gate" in subject.roles and (told := _blend(subject, x, normalized, is_training)):
        return told, "another number" not in told
    if told := _moved(normalized, wanted):
        return told, True
    if _equal(own[differs], x[differs]):
        return f"{_where(differs)}the output is the input", float(differs.double().mean()) < 0.5
    told, is_all = _statistics(subject, x, normalized, wanted, differs, is_training)
    return _where(differs) + told, is_all


def _where(differs: Tensor) -> str:
    """The images, channels, rows and columns that differ, where those are not all."""
    told = []
    for dim, name in enumerate(_DIMENSIONS):
        places = differs.any(dim=[other for other in range(4) if other != dim]).nonzero().flatten().tolist()
        if 2 * len(places) <= differs.shape[dim]:
            told.append(f"{name} {', '.join(map(str, places))}")
    return f"wrong only in {' and '.join(told)} (counted from 0): " if told else ""


def _moved(normalized: Tensor, wanted: Tensor) -> str:
    """Whether the right values stand at wrong places."""
    for start, of in ((2, "at other pixels of their map"), (1, "at other places of their image")):
        if _equal(*(each.flatten(start).sort(-1).values for each in (normalized, wanted))):
            return f"the values are right, but stand {of}: look at permute and reshape"
    return ""


def _limit(own: Tensor, right: Tensor, differs: Tensor) -> str:
    """Whether the output is right but for values beyond a limit, or is not finite."""
    if not bool(own.isfinite().all()):
        return "it gives NaN or infinity"
    for side, name in ((1, "above"), (-1, "below")):
        beyond = differs & (side * right > side * own)
        ends = own[beyond]
        if len(ends) > 1 and bool((ends == ends[0]).all()):
            return f"values {name} {ends[0]:.3g} are cut off"
    return ""


def _blend(subject: Subject, x: Tensor, normalized: Tensor, is_training: bool) -> str:
    """How much of the batch part and of the instance part each channel has; nothing where it is no such sum."""
    parts = []
    for gate in (1.0, 0.0):
        part = subject.formula(subject.standard, {"gate": gate, "affine": "none"})
        parts.append(_output(subject, part, x, is_training))
    columns = [each.transpose(0, 1).flatten(1) for each in (*parts, torch.ones_like(x))]  # (C, N·H·W)
    wanted = normalized.transpose(0, 1).flatten(1)
    factors = torch.linalg.lstsq(torch.stack(columns, 2), wanted.unsqueeze(2)).solution.squeeze(2)  # (C, 3)
    if not _equal(torch.einsum("kcn,ck->cn", torch.stack(columns), factors), wanted):
        return ""
    learned = {"gate": subject.values["gate"]}
    batch, instance, added = (_in_words(each, learned) or "another number for each channel" for each in factors.T)
    more = f", and {added} is added" if float(factors[:, 2].abs().max()) > _CLOSE else ""
    return f"the batch part is multiplied by {batch}, the instance part by {instance}{more}"


def _statistics(
    subject: Subject, x: Tensor, normalized: Tensor, wanted: Tensor, differs: Tensor, is_training: bool
) -> tuple[str, bool]:
    """What is subtracted and what divides in the maps that differ, or in the positions of a norm over the channels."""
    is_position = KINDS[subject.kind].axes == "C"
    if is_position:
        x, normalized, wanted, differs = (
            each.flatten(2).transpose(1, 2).unsqueeze(3) for each in (x, normalized, wanted, differs)
        )
    maps = differs.flatten(2).any(2)
    (slope, start, error), (right_slope, right_start, right_error) = (_fit_maps(x, each) for each in (normalized, wanted))
    if max(float(each[maps].max()) for each in (error, right_error)) > _CLOSE:
        if not is_position and (told := _shared(wanted / right_slope[..., None, None], normalized)):
            return told, True
        return "the output of a map is no linear function of its input: its pixels do not share one mean and variance", False
    if not bool(slope[maps].abs().min() > 0):
        return "the output does not depend on the input of the same map", False
    means, right_divisors = -right_start / right_slope, 1 / right_slope
    divisor, right_divisor, subtracted, mean = (each[maps] for each in (1 / slope, right_divisors, -start / slope, means))
    variance = (right_divisor.square() - subject.eps).clamp_min(0)
    channel = torch.arange(maps.shape[1]).expand(maps.shape)[maps]
    remembers = is_training and "running_var" in subject.roles and not is_position
    stored = {f"running {word}": _known(role)[channel] for role, word in _ROLES.items()} if remembers else {}
    of = "" if is_training else "running "
    terms = {f"{of}mean": mean, f"{of}variance": variance}
    square = (mean if KINDS[subject.kind].settings.get("center", True) else x.mean((2, 3))[maps]).square()
    scale = _scale(divisor, right_divisor, terms, {f"{of}mean²": square}, stored)
    for dim, name in ((2, "rows"), (3, "columns")):
        parts: tuple[Tensor, Tensor] = x.var(dim, correction=0).mean(-1), x.mean(dim).var(-1, correction=0)
        for words, part in zip(("mean of the variances", "variance of the means"), parts, strict=True):
            fit = _fit(divisor.square(), **{f"{words} over the {name}": part[maps]}, number=torch.ones_like(mean))
            scale = scale or (f"it divides by √({fit})" if fit and not is_position else "")
        deviations = {f"mean of the deviations over the {name}": x.std(dim, correction=0).mean(-1)[maps]}
        fit = _fit(divisor, **deviations, number=torch.ones_like(mean))
        scale = scale or (f"it divides by {fit}" if fit and not is_position else "")
    place = _place(subtracted, divisor, terms, stored, subject.eps)
    if not is_position:
        weight, bias = (subject.values[name][channel] for name in ("weight", "bias"))
        if not scale and (gain := _by_channel(weight * right_divisor / divisor, channel, {"weight": subject.values["weight"]})):
            scale = f"the normalized values are multiplied by {gain} instead of the weight"
        shift = bias + weight * (mean - subtracted) / divisor
        known = subject.values["bias"], subject.values["weight"] * subject.values["bias"]
        names = (way for way in zip(("bias", "weight · bias"), known, strict=True))
        added = next((told for way in names if (told := _by_channel(shift, channel, dict([way])))), "")
        if not place and added:
            place = f"{added} is added instead of the bias"
    if not (scale or place) and (told := _of_other_maps(subtracted, divisor, means, right_divisors, maps)):
        return told, True
    low, high = (divisor / right_divisor).abs().aminmax()
    off = ((subtracted - mean) / divisor).abs().max()
    may_be_meant = bool(re.search(_ANOTHER_EPS, scale)) or any(f"by {way.format('weight')} instead" in scale for way in _GAINS)
    may_be_meant = may_be_meant and place.endswith("right")
    parts_told = (
        scale or f"it divides by {low:.2g} to {high:.2g} times the right deviation",
        place or f"it subtracts another value than the {of}mean, up to {off:.2g} deviations away",
    )
    return ", and ".join(parts_told), bool(scale and place) and not may_be_meant


def _shared(centred: Tensor, normalized: Tensor) -> str:
    """Along which axes what divides is the same, if the right mean is subtracted; nothing where that is not known."""
    divisor, is_large = centred / normalized, normalized.abs() > 0.05
    same, other = list[str](), list[str]()
    for dim, name in enumerate(_DIMENSIONS):
        gap = (divisor - divisor.roll(1, dim)).abs() / divisor.abs()
        is_same = float(gap[is_large & is_large.roll(1, dim)].max()) < 10 * _CLOSE
        (same if is_same else other).append(f"{name}s")
    if not same or not other:
        return ""
    return f"what divides is the same for all {' and '.join(same)}, but not for all {' and '.join(other)}: look at its axes"


def _of_other_maps(subtracted: Tensor, divisor: Tensor, means: Tensor, divisors: Tensor, maps: Tensor) -> str:
    """Whether each map is normalized with the statistics of another one."""
    off = (subtracted[:, None] - means.flatten()).abs() + (divisor[:, None] - divisors.flatten()).abs()
    nearest = (off / divisor.abs()[:, None]).min(1)
    if float(nearest.values.max()) > _CLOSE:
        return ""
    (image, channel), (other, another) = maps.nonzero()[0].tolist(), divmod(int(nearest.indices[0]), maps.shape[1])
    return (
        f"maps are normalized with the statistics of others: image {image}, channel {channel} with those of image {other}, "
        f"channel {another} (counted from 0)"
    )


def _scale(
    divisor: Tensor, right: Tensor, terms: Mapping[str, Tensor], square: Mapping[str, Tensor], stored: Mapping[str, Tensor]
) -> str:
    """What divides, as a formula of the variance, the mean and its square, or running values; nothing where none is found."""
    if _equal(divisor, right):
        return "the deviation that divides is right"
    (mean, variance), one = terms, torch.ones_like(right)
    name, other = variance, {key: value for key, value in stored.items() if key.endswith("variance")}
    for some in ({name: terms[name]}, other, {name: terms[name], **other}):
        if some and (fit := _fit(divisor.square(), **some, number=one)):
            return f"it divides by √({fit})"
    for some in ({name.replace("variance", "deviation"): terms[name].sqrt()}, {mean: terms[mean]}):
        if fit := _fit(divisor, **some, number=one):
            return f"it divides by {fit}"
    if bool((divisor > 0).all()) and _fit(divisor.log(), power=right.square().log(), number=one):
        slope, start = _factors(divisor.log(), [right.square().log(), one])
        return f"it divides by {torch.tensor(start).exp():.3g} · ({name} + ε)^{slope:.3g}"
    for some in ({name: terms[name], **square}, {**terms, **square}):
        if fit := _fit(divisor.square(), **some, number=one):
            return f"it divides by √({fit})"
    return ""


def _place(subtracted: Tensor, divisor: Tensor, terms: Mapping[str, Tensor], stored: Mapping[str, Tensor], eps: float) -> str:
    """What is subtracted, as a formula of mean, deviation and running values; nothing where none is found."""
    mean, variance = terms
    if float(((subtracted - terms[mean]) / divisor).abs().max()) < _CLOSE:
        return f"the {mean} that it subtracts is right"
    other = {key: value for key, value in stored.items() if key.endswith("mean")}
    deviation = {variance.replace("variance", "deviation"): terms[variance].sqrt()}
    divided = ((terms[variance] + eps).sqrt(), terms[variance].sqrt() + eps)
    shrunk = [{f"{mean} / {next(iter(deviation))}": terms[mean] / each} for each in divided]
    one = {mean: terms[mean]}
    for some in (one, other, one | other, deviation, one | deviation, *shrunk):
        if some and (fit := _fit(subtracted, **some, number=torch.ones_like(divisor))):
            return f"it subtracts {fit}"
    return ""


_ROLES = {"running_mean": "mean", "running_var": "variance"}


def _memory(subject: Subject, role: str) -> str:
    """How a running statistic moves in one batch: in the first of three in which it is wrong."""
    held = subject.roles.get(role)
    if held is None or held.tensor.numel() != CHANNELS:
        return ""
    layer, right = subject.layer(), subject.right()
    for when, batch in zip(("one batch", "a second batch", "a third batch"), subject.batches, strict=False):
        for each in (layer, right):
            _set_running(subject, each)
        layer(batch.float())
        right(batch)
        own, wanted = find_roles(layer)[role].tensor.detach().double().flatten(), getattr(right, role).flatten()
        if own.shape == wanted.shape and not _equal(own, wanted):
            return f"After {when} {held.name} {_becomes(own, wanted, subject.momentum, batch, role)}"
    layer = subject.layer()
    y = layer(subject.batches[0].float().requires_grad_() + 0)
    before = find_roles(layer)[role].tensor.detach().clone()
    if y.requires_grad:
        y.sum().backward()
    moved = not torch.equal(find_roles(layer)[role].tensor.detach(), before)
    return f"{held.name} moves again in the backward pass: what is recomputed there must not update it." if moved else ""


def _becomes(own: Tensor, wanted: Tensor, momentum: float, batch: Tensor, role: str) -> str:
    old, word = _known(role), _ROLES[role]
    terms = {"old": old, f"{word} of the batch": (wanted - (1 - momentum) * old) / momentum}
    found = _fit(own, **terms, number=torch.ones_like(old))
    if not found and role == "running_var":
        distance = batch.mean((0, 2, 3)) - _known("running_mean")
        found = _fit(own, **terms, **{"(mean of the batch − running mean)²": distance.square()})
    becomes = f"becomes {found}" if found else f"is no weighted sum of its old value and the {word} of the batch"
    return f"{becomes}; right: {1 - momentum:.3g} · old + {momentum:.3g} · {word} of the batch."


def _output(subject: Subject, layer: nn.Module, x: Tensor, is_training: bool) -> Tensor:
    """The output for a batch, with known running statistics."""
    _set_running(subject, layer)
    with torch.no_grad():
        found: Tensor = layer.train(is_training)(x.to(torch.float64 if isinstance(layer, FormulaNorm) else torch.float32) + 0)
    return found.double()


def _known(role: str) -> Tensor:
    values = torch.rand(CHANNELS, generator=torch.Generator().manual_seed(len(role)), dtype=torch.float64)
    return values - 0.5 if role == "running_mean" else values + 0.5


def _set_running(subject: Subject, layer: nn.Module) -> None:
    """Give running statistics known values, in the user's layer and in a formula's."""
    for role in _ROLES:
        if role in subject.roles and subject.roles[role].tensor.numel() == CHANNELS:
            if isinstance(layer, FormulaNorm):
                setattr(layer, role, _known(role).reshape(1, -1, 1, 1, 1))
            else:
                set_role(find_roles(layer)[role], _known(role))


def _fit_maps(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Slope, start and relative error of the line that leads from each map's input to its output, (N, C) each."""
    x, y = x.flatten(2), y.flatten(2)
    centred = x - x.mean(2, keepdim=True)
    slope = (centred * y).sum(2) / centred.square().sum(2)
    start = y.mean(2) - slope * x.mean(2)
    error = (y - slope.unsqueeze(2) * x - start.unsqueeze(2)).abs().amax(2)
    return slope, start, error / y.abs().amax(2).clamp_min(1e-6)


def _factors(wanted: Tensor, columns: list[Tensor]) -> list[float]:
    found: list[float] = torch.linalg.lstsq(torch.stack(columns, 1), wanted.unsqueeze(1)).solution.flatten().tolist()
    return found


def _fit(wanted: Tensor, **terms: Tensor) -> str:
    """The sum of terms, with factors, that gives these values; nothing where there is none, or it is a number alone."""
    columns = list(terms.values())
    factors = _factors(wanted, columns)
    if not _equal(sum(factor * column for factor, column in zip(factors, columns, strict=True)), wanted):  # type: ignore[arg-type]
        return ""
    size = float(wanted.abs().max())
    parts = []
    for (name, values), factor in zip(terms.items(), factors, strict=True):
        if abs(factor) * float(values.abs().max()) > _CLOSE * size:
            times = "" if abs(factor - 1) < _CLOSE else f"{factor:.3g} · "
            parts.append(f"{factor:.3g}" if name == "number" else f"{times}{name}")
    return " + ".join(parts).replace("+ -", "− ")


def _in_words(values: Tensor, learned: Mapping[str, Tensor]) -> str:
    """What a layer makes of a learned value per channel; nothing where that is not known."""
    ((name, given),) = learned.items()
    if float(values.abs().max()) < _CLOSE:
        return "0"
    if _equal(values, values[:1].expand_as(values)):
        return f"{values.mean():.3g}"
    ways = (words for words, way in _WAYS.items() if _equal(way(given), values))
    return next(ways, "").format(name) or _fit(values, **learned, number=torch.ones_like(values))


def _by_channel(values: Tensor, channel: Tensor, learned: Mapping[str, Tensor]) -> str:
    """The same of values that belong to these channels, if each channel has one."""
    if len(channel.unique()) < CHANNELS:
        return ""
    found = torch.stack([values[channel == each].mean() for each in range(CHANNELS)])
    return _in_words(found, learned) if _equal(found[channel], values) else ""


def _equal(own: Tensor, right: Tensor) -> bool:
    return float((own - right).abs().max()) <= _CLOSE * float(right.abs().max())
