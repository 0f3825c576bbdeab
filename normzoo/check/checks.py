"""Checks of a norm layer: against its formula, and for what holds for every norm."""

import contextlib
import copy
import dataclasses
import logging
import textwrap
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, compress
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from normzoo.check.formulas import BATCH, KINDS
from normzoo.check.subject import HELD_OTHERWISE, Subject
from normzoo.check.trace import CHANNELS, HEIGHT, TOLERANCE, WIDTH, clone, difference, held_tensors

#: Largest error in float32 at a mean of 1,000 standard deviations: five times torch's own is 2e-4, and E[x²] − E[x]² has 0.5.
OFFSET_TOLERANCE = 0.02
SHAPES = ((2, CHANNELS, 1, 7), (2, CHANNELS, 8, 8), (1, CHANNELS, 4, 5), (5, CHANNELS, 4, 5))


@dataclass(frozen=True)
class Outcome:
    """Result of a check.

    Args:
        mistakes: mistakes that it identifies, with the values of their placeholders.
        note: a difference that is no mistake.
    """

    passed: bool
    detail: str = ""
    mistakes: tuple[tuple[str, str], ...] = ()
    note: str = ""


def first_line(error: Exception) -> str:
    """Return the message of an exception in one line."""
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
    """gradients of the parameters"""
    missing = [name for (stage, name), value in subject.observed.items() if stage == "gradients" and value is None]
    if missing:
        names = ", ".join(subject.roles[role].name if role in subject.roles else role for role in missing)
        named = ("gate-frozen", "its start") if "gate" in missing else ("parameter-without-gradient", names)
        return Outcome(False, f"no gradient reaches {names}", () if "input" in missing else (named,))
    if subject.kind == "bin" and not ("gate" in subject.roles and subject.roles["gate"].tensor.requires_grad):
        return Outcome(False, "the gate is not learned", (("gate-frozen", "its start"),))
    wanted = ("weight",) if subject.kind.startswith("rms") else ("weight", "bias")
    absent = [name for name in wanted if name not in subject.roles]
    note = f"It has no {' and no '.join(absent)}: what follows it must scale and shift."
    note = note if absent and not subject.has_more else ""
    found = compare(subject, "gradients", "weight", "bias", *(["gate"] if subject.kind == "bin" else []))
    if absent and subject.given_kind is not None:
        return Outcome(False, f"missing: {' and '.join(absent)}", ((_MISSING[tuple(absent)], ""),))
    return dataclasses.replace(found, note=note)


#: Missing parameters -> the mistake.
_MISSING = {("weight", "bias"): "affine-missing", ("weight",): "weight-missing", ("bias",): "bias-missing"}
#: Kinds whose running statistics are implemented in many ways.
FREE_MEMORY = ("batch-renorm", "ghost-bn-2", "ghost-bn-3", "ghost-bn-strided")


def memory(subject: Subject) -> Outcome:
    """running statistics after three batches"""
    if not KINDS[subject.kind].settings.get("remembers") or subject.kind in FREE_MEMORY:
        return Outcome(True)
    absent = [role for role in ("running_mean", "running_var") if role not in subject.roles]
    if subject.conventions.changes.get("memory") in HELD_OTHERWISE:
        return Outcome(True)
    if absent and subject.observed.get(("memory", absent[0])) is None:
        return Outcome(False, f"missing at the start: {' and '.join(absent)}")
    return compare(subject, "memory")


def evaluation(subject: Subject) -> Outcome:
    """output and gradient in evaluation"""
    if subject.kind in FREE_MEMORY:
        return Outcome(True)
    return compare(subject, "evaluation")


def odd_shapes(subject: Subject) -> Outcome:
    """other sizes and layouts of the input"""
    generator = torch.Generator().manual_seed(2)
    inputs = {str(shape): torch.randn(shape, generator=generator) for shape in SHAPES}
    wide = torch.randn(3, CHANNELS, 4, 10, generator=generator)
    inputs["not contiguous"] = wide[..., ::2]
    inputs["channels last"] = wide[..., :5].contiguous(memory_format=torch.channels_last)
    refused = dict[str, str]()
    for training in (True, False) if subject.kind not in FREE_MEMORY else ():
        layer, right = subject.layer(), subject.right()
        if subject.kind == "bin":  # some clamp their gate in a training step
            layer(subject.batches[0].float()), right(subject.batches[0])
        layer, right = layer.train(training), right.train(training)
        for name, x in inputs.items():
            layer, right = (subject.layer(), subject.right()) if training else (layer, right)
            try:
                found = layer(x).detach()
            except Exception as error:  # a person's code may raise anything
                refused.setdefault(name, first_line(error))
                continue
            gap = difference(found, right(x.double()).detach())
            if gap > TOLERANCE and training and subject.kind == "bn" and _is_of_parts(found, x, subject.right()):
                return Outcome(True, note="In larger batches it takes the statistics of parts (ghost batch normalization).")
            if gap > TOLERANCE:
                return Outcome(False, f"{name}{'' if training else ', evaluation'}: off by {gap:.2g}")
    if not refused:
        return Outcome(True)
    name, why = next(iter(refused.items()))
    if str(SHAPES[2]) in refused and KINDS[subject.kind].base not in BATCH:
        return Outcome(False, f"{name}: {why}", (("one-image-refused", why),))
    return Outcome(True, note=f"It does not take {', '.join(refused)} ({name}: {why}).")


def _is_of_parts(found: Tensor, x: Tensor, right: Callable[[Tensor], Tensor]) -> bool:
    """Is the output that of batch normalization of parts of the batch?"""
    return any(
        difference(found, torch.cat([right(part.double()).detach() for part in x.split(size)])) <= TOLERANCE
        for size in range(1, len(x))
    )


def large_offset(subject: Subject) -> Outcome:
    """float32 at a mean of 1,000 standard deviations"""
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
    if subject.given_kind is None:
        words = f"At a mean of 1,000 deviations its float32 output is off by {gap:.2g}: E[x²] − E[x]² cancels."
        return Outcome(True, note=f"{words} Subtract the mean first: E[(x − μ)²].")
    return Outcome(False, f"off by {gap:.2g}", (("cancellation", ""),))


def parameter_shapes(subject: Subject) -> Outcome:
    """one value per channel, (C,)"""
    wrong = {
        f"{held.name} {tuple(held.tensor.shape)}" for held in subject.roles.values() if tuple(held.tensor.shape) != (CHANNELS,)
    }
    if not wrong:
        return Outcome(True)
    shapes = ", ".join(sorted(wrong))
    few = [held for role, held in subject.roles.items() if role in ("weight", "bias") and held.tensor.numel() < CHANNELS]
    if few and KINDS[subject.kind].settings.get("center", True):
        names = ", ".join(f"{held.name} {tuple(held.tensor.shape)}" for held in few)
        return Outcome(False, names, (("affine-shared", names),))
    if subject.given_kind is not None:
        return Outcome(False, shapes, (("parameter-shape", shapes),))
    return Outcome(True, note=f"It has {shapes} where torch's layers have ({CHANNELS},), so their state dicts do not load.")


def start_values(subject: Subject) -> Outcome:
    """starts with weight 1, bias 0 and gate 1, and a low momentum"""
    usual = subject.default_momentum
    is_torchs = KINDS[subject.kind].settings.get("remembers") and subject.conventions.changes.get("momentum") != "reversed"
    if usual > 0.5 and is_torchs and subject.kind not in FREE_MEMORY and memory(subject).passed:
        return Outcome(False, f"momentum is {usual}", (("momentum-of-the-old", str(usual)),))
    less_one = subject.conventions.changes.get("affine") == "plus_one"
    start = {"weight": 0.0 if less_one else 1.0, "bias": 0.0, "gate": 1.0}
    if less_one and bool((subject.roles["weight"].tensor.detach() == 1).all()):
        name = subject.roles["weight"].name
        return Outcome(False, f"{name} starts at 1 and is taken as 1 + {name}", (("start-values", name),))
    wrong = [
        held.name
        for role, held in subject.roles.items()
        if role in start and not bool((held.tensor.detach() == start[role]).all())
    ]
    if not wrong:
        return Outcome(True)
    names = ", ".join(wrong)
    if subject.given_kind is not None:
        return Outcome(False, names, (("start-values", names),))
    return Outcome(True, note=f"Initial values other than weight 1, bias 0 and gate 1: {names}.")


def nothing_else_learned(subject: Subject) -> Outcome:
    """no parameters beyond the formula"""
    allowed = ("weight", "bias", "gate") if subject.kind == "bin" else ("weight", "bias")
    roles = [held.name for role, held in subject.roles.items() if role in allowed or role.startswith("running")]
    learned = [held for held in held_tensors(subject.untouched()) if held.tensor.requires_grad]
    names = ", ".join(held.name for held in learned if held.name not in roles)
    if names and subject.given_kind is None:
        return Outcome(True, note=f"It also learns {names}, which kept its initial value in all checks.")
    return Outcome(not names, names, (("extra-parameters", ""),) if names else ())


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


def _random(*shape: int, seed: int = 4) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _state(layer: nn.Module) -> dict[str, Tensor]:
    return {f"{place}.{held.name}": held.tensor.detach().clone() for place, held in enumerate(held_tensors(layer))}


def runs(subject: Subject) -> Outcome:
    """returns finite values of the input's shape"""
    x = subject.batches[0].float()
    for training in (True, False):
        y = subject.layer().train(training)(x + 0)
        if not isinstance(y, Tensor) or y.shape != x.shape:
            found = tuple(y.shape) if isinstance(y, Tensor) else f"a {type(y).__name__}"
            return Outcome(False, f"gives {found} for {tuple(x.shape)}; a norm keeps the shape of its input")
        if not y.isfinite().all():
            return Outcome(False, "gives NaN or infinity")
    return Outcome(True)


def constant_map(subject: Subject) -> Outcome:
    """finite values for a constant map"""
    x = torch.zeros(subject.batches[0].shape)
    finite = bool(subject.layer()(x + 0).isfinite().all())
    return Outcome(finite, "" if finite else "gives NaN or infinity", () if finite else (("eps-missing", ""),))


def input_untouched(subject: Subject) -> Outcome:
    """does not change its input"""
    for training in (True, False):
        x = subject.batches[0].float()
        with torch.no_grad():
            subject.layer().train(training)(x)
        if not torch.equal(x, subject.batches[0].float()):
            return Outcome(False, "writes into x", (("input-changed", ""),))
    return Outcome(True)


def evaluation_keeps_state(subject: Subject) -> Outcome:
    """evaluation is deterministic and changes no state"""
    layer, x = subject.layer(), subject.batches[1].float()
    layer(subject.batches[0].float())
    layer.eval()
    before = _state(layer)
    with torch.no_grad():
        first, second = layer(x + 0), layer(x + 0)
    after = _state(layer)
    moved = [name for name in after if name not in before or not torch.equal(before[name], after[name])]
    if not subject.is_random and (kept := _kept_from_before(subject)):
        return kept
    if moved:
        names = ", ".join(name.partition(".")[2] for name in moved)
        has_memory = any(word in names for word in ("mean", "var"))
        return Outcome(False, f"moves {names}", (("memory-moves-in-evaluation", ""),) if has_memory else ())
    if torch.equal(first.nan_to_num(), second.nan_to_num()):
        return Outcome(True)
    return Outcome(False, "two results for the same images", (("random-output", ""),))


def _kept_from_before(subject: Subject) -> Outcome | None:
    """The outcome where an evaluation changes one after further training, or without a memory training changes evaluation."""
    found = []
    batches = [batch.float() for batch in subject.batches]
    first: tuple[tuple[bool, int], ...] = ((True, 0), (True, 2)) if subject.remembers or subject.kind == "own" else ()
    with torch.no_grad():
        for steps in (first, ((True, 0), (False, 1), (True, 2))):
            layer = subject.layer()
            for mode, number in steps:
                layer.train(mode)(batches[number] + 0)
            found.append(layer.eval()(batches[3] + 0))
    gap = difference(*found)
    return Outcome(False, f"off by {gap:.2g} after an evaluation", (("kept-from-evaluation", ""),)) if gap > TOLERANCE else None


def evaluation_of_one_image(subject: Subject) -> Outcome:
    """in evaluation, other images have no effect"""
    if subject.kind == "bn-no-running":
        return Outcome(True, note="In evaluation, too, the statistics of the batch normalize: predictions depend on it.")
    layer = subject.layer()
    layer(subject.batches[0].float())
    layer.eval()
    x = subject.batches[1].float()
    others = torch.cat([x[:1], x[1:] * 2 + 1])
    with torch.no_grad():
        gap = difference(clone(layer)(others)[:1], clone(layer)(x.clone())[:1])
    if gap <= TOLERANCE:
        return Outcome(True)
    return Outcome(False, f"off by {gap:.2g}", (("batch-in-evaluation", ""),))


def mode_from_flag(subject: Subject) -> Outcome:
    """.train() and .eval() alone switch between training and evaluation"""
    x = subject.batches[1].float()
    for training in (True, False):
        layer = subject.layer()
        layer(subject.batches[0].float())
        twin = clone(layer).train(training)
        layer.train(training)
        with_gradients = layer(x + 0).detach()
        with torch.no_grad():
            without = twin(x + 0)
        if difference(with_gradients, without) > TOLERANCE:
            word = "training" if training else "evaluation"
            return Outcome(False, f"{word} with gradients and without them differ", (("mode-from-grad", ""),))
    return Outcome(True)


def registered(subject: Subject) -> Outcome:
    """parameters and buffers are registered"""
    plain: dict[str, str] = {}
    for role, held in subject.roles.items():
        if role in ("weight", "bias", "gate") and held.holding == "attribute":
            plain[held.name] = "parameters-not-registered"
        if role.startswith("running") and held.holding == "attribute":
            plain[held.name] = "buffers-not-registered"
        if role.startswith("running") and held.tensor.requires_grad:
            plain[held.name] = "running-learned"
    for one, other in combinations(subject.roles.values(), 2):
        if one.tensor.data_ptr() == other.tensor.data_ptr() and one.name != other.name:
            plain[f"{one.name} and {other.name}"] = "one-tensor-for-both"
    for held in held_tensors(subject.untouched()):
        if held.tensor.dtype in (torch.int32, torch.int64) and held.tensor.numel() == CHANNELS:
            plain[held.name] = "integer-buffers"
    layer = subject.layer()
    before = {held.name for held in held_tensors(layer)}
    with _counted_parameters() as made:
        layer(subject.batches[0].float())
    if made:
        plain["nn.Parameter in forward"] = "parameter-made-in-forward"
    for held in held_tensors(layer):
        if held.holding == "attribute" and held.name not in before and ("mean" in held.name or "var" in held.name):
            plain[held.name] = "buffers-not-registered"
        elif held.holding == "attribute" and held.tensor.is_leaf and held.tensor.requires_grad:
            plain[held.name] = "parameters-not-registered"
    found = {key: ", ".join(name for name in plain if plain[name] == key) for key in plain.values()}
    lazy = (
        "Its first forward pass makes its parameters: create the optimizer, and load weights, after one."
        if subject.is_lazy
        else ""
    )
    return Outcome(not plain, ", ".join(plain), tuple(found.items()), lazy)


def on_own_channels(subject: Subject) -> Outcome:
    """weight and bias act on their own channels"""
    x = subject.batches[0].float()
    for role in ("weight", "bias"):
        held = subject.roles.get(role)
        if held is None or held.tensor.numel() != CHANNELS:
            continue
        changed = []
        with torch.no_grad():
            before = subject.layer()(x + 0)
            for channel in range(CHANNELS):
                layer = subject.layer()
                same = next(each.tensor for each in held_tensors(layer) if each.name == held.name)
                same.view(-1)[channel] += 1.0
                changed.append(layer(x + 0) != before)
        acts = torch.stack(changed)  # (C, N, C, H, W)
        own = torch.eye(CHANNELS, dtype=torch.bool).view(CHANNELS, 1, CHANNELS, 1, 1).expand_as(acts)
        if bool((acts.sum(0) == 1).all()) and not torch.equal(acts, own):  # each value has its one, but not its channel's
            return Outcome(False, held.name, (("affine-misplaced", held.name),))
    return Outcome(True)


def parameters_learn(subject: Subject) -> Outcome:
    """a gradient reaches every parameter"""
    layer, generator = subject.layer(), torch.Generator().manual_seed(7)
    running = [layer]  # another domain's part, for example, is not meant to
    for part in layer.modules():
        if isinstance(part, torch.jit.ScriptModule):
            running.append(part)
        else:
            part.register_forward_hook(lambda part, *_: running.append(part))
    with torch.no_grad():
        for each in layer.parameters():
            if each.requires_grad:
                each.copy_(0.5 + torch.rand(each.shape, generator=generator))
    y = layer(subject.batches[0].float() + 0)
    found = [named for part in running for named in part.named_parameters(recurse=isinstance(part, torch.jit.ScriptModule))]
    learned = {id(each): (name, each) for name, each in found if each.requires_grad}
    if not learned or not y.requires_grad:
        return Outcome(True)
    weighted = y * (1 + _random(*y.shape))
    names, parameters = zip(*learned.values(), strict=True)
    gradients = torch.autograd.grad(weighted.sum(), parameters, allow_unused=True)
    least = 1e-7 * float(weighted.detach().abs().sum())
    has_none = [each is None or not float(each.abs().max()) > least for each in gradients]
    silent = ", ".join(compress(names, has_none))
    is_gate = subject.kind == "bin" and "gate" in subject.roles and silent == subject.roles["gate"].name
    named = ("gate-frozen", "its start") if is_gate else ("parameter-without-gradient", silent)
    return Outcome(not silent, silent, (named,) if silent else ())


def precise_inside(subject: Subject) -> Outcome:
    """computes in float32 where its input is float32"""
    with _seen_dtypes() as seen, torch.no_grad():
        subject.layer()(subject.batches[0].float())
    short = next((name for name in ("float16", "bfloat16") if getattr(torch, name) in seen), "")
    return Outcome(not short, short, (("half-precision-inside", short),) if short else ())


@contextlib.contextmanager
def _seen_dtypes() -> Iterator[set[torch.dtype]]:
    """Record the data types of all tensors computed meanwhile."""
    seen = set[torch.dtype]()

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = function(*args, **(kwargs or {}))
            seen.update(each.dtype for each in tree_leaves(made) if isinstance(each, Tensor))
            return made

    with Mode():
        yield seen


@contextlib.contextmanager
def _counted_parameters() -> Iterator[list[None]]:
    """Count the parameters created meanwhile."""
    made: list[None] = []
    make = nn.Parameter.__new__

    def count(cls: type[nn.Parameter], *args: Any, **options: Any) -> nn.Parameter:
        made.append(None)
        return make(cls, *args, **options)

    nn.Parameter.__new__ = count  # type: ignore[assignment]
    try:
        yield made
    finally:
        nn.Parameter.__new__ = make  # type: ignore[method-assign]


def state_dict_round_trip(subject: Subject) -> Outcome:
    """state_dict() is complete"""
    layer, fresh = subject.layer(), subject.untouched()
    for batch in subject.batches[:2]:
        layer(batch.float())
    again, saved_state = subject.untouched(), copy.deepcopy(layer.state_dict())
    try:
        again.load_state_dict(copy.deepcopy(saved_state))
        fresh.load_state_dict(layer.state_dict())
    except RuntimeError as error:
        return Outcome(False, str(error).splitlines()[-1].strip()[:100])
    x = subject.batches[2].float()
    modes = (False, True, False)  # the last one shows what training has updated
    gaps = [difference(fresh.train(mode)(x + 0).detach(), layer.train(mode)(x + 0).detach()) for mode in modes]
    if max(gaps) <= TOLERANCE:
        return Outcome(True)
    if max(gaps[:2]) <= TOLERANCE:
        return Outcome(False, f"off by {gaps[2]:.2g} after loading and a batch", (("count-not-saved", ""),))
    loaded = again.state_dict()
    changed = ", ".join(
        name for name, value in saved_state.items() if name not in loaded or not torch.equal(value, loaded[name])
    )
    if changed:
        return Outcome(False, f"{changed} after loading", (("loading-changes", changed),))
    saved = {name.rpartition(".")[2] for name in layer.state_dict()}
    lost = [held.name for held in held_tensors(layer) if held.holding == "buffer" and held.name not in saved]
    named = (("buffers-not-saved", ", ".join(lost)),) if lost else ()
    return Outcome(False, f"off by {max(gaps):.2g} after loading", named)


def moves(subject: Subject) -> Outcome:
    """.to(device) and .to(dtype) move everything"""
    early = [held.name for held in held_tensors(subject.untouched()) if held.tensor.dtype == torch.float64]
    if early:
        return Outcome(False, f"{', '.join(early)} is float64 from the start", (("float64-from-the-start", ", ".join(early)),))
    layer = subject.layer()
    layer(subject.batches[0].float())
    layer = clone(layer).double()
    # A single number on the CPU goes with tensors of any device.
    held = [each for each in held_tensors(layer) if each.tensor.is_floating_point() and each.tensor.dim()]
    stayed = [each.name for each in held if each.tensor.dtype != torch.float64]
    return Outcome(not stayed, f"{', '.join(stayed)} not moved" if stayed else "")


def statistics_without_graph(subject: Subject) -> Outcome:
    """stored values keep no autograd graph"""
    layer = subject.layer()
    x = subject.batches[0].float().requires_grad_()
    layer(x + 0)
    kept = [held.name for held in held_tensors(layer) if held.holding != "parameter" and held.tensor.grad_fn is not None]
    return Outcome(not kept, ", ".join(kept), (("graph-kept", ", ".join(kept)),) if kept else ())


def instances_are_independent(subject: Subject) -> Outcome:
    """two layers share no state"""
    first, second = subject.built_again(), subject.built_again()
    places = {held.tensor.data_ptr() for held in held_tensors(first)} - {0}
    shared = [held.name for held in held_tensors(second) if held.tensor.data_ptr() in places]
    shared += [name for each in type(first).__mro__ for name, value in vars(each).items() if isinstance(value, Tensor)]
    if shared:
        return Outcome(False, ", ".join(shared), (("shared-between-layers", ", ".join(shared)),))
    x = subject.batches[1].float()
    with torch.no_grad():
        before = clone(second).eval()(x.clone())  # a copy: one that moves in evaluation must not seem to be moved by the other
        first.train()(subject.batches[0].float() * 3 + 1)
        gap = difference(clone(second).eval()(x.clone()), before)
    return Outcome(gap <= TOLERANCE, "", () if gap <= TOLERANCE else (("shared-between-layers", "its statistics"),))


def gradient_is_that_of_the_output(subject: Subject) -> Outcome:
    """gradients agree with finite differences"""
    layer = subject.layer().double()
    x = _random(len(subject.batches[0]), CHANNELS, HEIGHT, WIDTH).double()
    cotangent = x + 1 + _random(*x.shape, seed=6).double()

    def loss(x: Tensor) -> Tensor:
        return (clone(layer)(x) * cotangent).sum()

    moving = x.clone().requires_grad_()
    try:
        with _seen_dtypes() as seen:
            value = loss(moving + 0)
        if torch.float32 in seen:
            return Outcome(True, note="It computes float64 in float32, so its gradients were not measured.")
    except RuntimeError as error:
        if "dtype" not in str(error):
            raise
        return Outcome(True, note=f"It does not take float64, so its gradients were not measured ({first_line(error)}).")
    gradient: Tensor | None = torch.autograd.grad(value, moving, allow_unused=True)[0] if value.requires_grad else None
    if gradient is None:
        return Outcome(False, "no gradient reaches the input", (("no-gradient", ""),))
    step, gap = 1e-5, 0.0
    # Along a shift and a scaling of the whole map, too: there the gradient through the mean and the variance shows.
    for direction in (_random(*x.shape, seed=5).double(), torch.ones_like(x), x):
        with torch.no_grad():
            measured = float(loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
        gap = max(gap, abs(float((gradient * direction).sum()) - measured) / float(gradient.norm() * direction.norm() / 10))
    if gap < 0.01:
        return Outcome(True)
    if subject.kind == "own":
        return Outcome(True, note=f"Its gradient differs from that of its output (by {gap:.2g}): something is detached.")
    return Outcome(False, f"off by {gap:.2g}")


def half_precision(subject: Subject) -> Outcome:
    """accepts bfloat16, as under autocast"""
    x = _random(len(subject.batches[0]), CHANNELS, HEIGHT, WIDTH)
    try:
        y = subject.layer()(x.bfloat16()).float().detach()
    except Exception as error:  # a person's code may raise anything
        return Outcome(
            True,
            note=f"It does not accept bfloat16: under autocast convert its input with .float() ({first_line(error)}).",
        )
    wide = subject.layer()(x).detach()
    note = ""
    with contextlib.suppress(Exception):  # a person's code may raise anything
        made = subject.layer().bfloat16()(x.bfloat16())
        note = "" if made.dtype == torch.bfloat16 else "Moved to bfloat16, it gives float32 for a bfloat16 input: cast back."
    gap = float((y - wide).abs().nan_to_num(float("inf")).max() / wide.abs().max().clamp_min(1e-6))
    return Outcome(gap < 0.05, "" if gap < 0.05 else f"off by {gap:.1%} of the largest value", note=note)


def compiles(subject: Subject) -> Outcome:
    """torch.compile gives the same output"""
    x = subject.batches[0].float()
    if any(isinstance(each, torch.jit.ScriptModule) for each in subject.layer().modules()):
        return Outcome(True, note="torch.compile was not tested: parts of it are scripted.")
    for training in (True, False):
        layer = subject.layer().train(training)
        compiled = torch.compile(clone(layer), backend="aot_eager")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's own, as its log
            logging.disable(logging.CRITICAL)
            try:
                gap = difference(compiled(x + 0).detach(), layer(x + 0).detach())
            finally:
                logging.disable(logging.NOTSET)
        if gap > TOLERANCE:
            return Outcome(False, f"off by {gap:.2g}")
    return Outcome(True)


def hooks_run(subject: Subject) -> Outcome:
    """hooks run"""
    layer, seen = subject.layer(), list[bool]()
    if isinstance(layer, torch.jit.ScriptModule):
        return Outcome(True, note="Forward hooks were not tested: a ScriptModule has none.")
    layer.register_forward_hook(lambda *_: seen.append(True))
    layer(subject.batches[0].float())
    return Outcome(bool(seen), "" if seen else "__call__ is overridden", () if seen else (("call-overridden", ""),))


GENERIC_CHECKS: tuple[Callable[[Subject], Outcome], ...] = (
    runs,
    constant_map,
    input_untouched,
    evaluation_keeps_state,
    evaluation_of_one_image,
    mode_from_flag,
    registered,
    parameters_learn,
    on_own_channels,
    precise_inside,
    state_dict_round_trip,
    moves,
    statistics_without_graph,
    instances_are_independent,
    gradient_is_that_of_the_output,
    half_precision,
    hooks_run,
    compiles,
)
#: Checks that compare two runs, which are meaningless for random output.
OF_TWO_RUNS = (
    evaluation_of_one_image,
    mode_from_flag,
    state_dict_round_trip,
    instances_are_independent,
    gradient_is_that_of_the_output,
    half_precision,
    compiles,
)
