"""Statistics over two processes, gloo on the CPU: those of one process with the whole batch where asked for, else nobody's."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.join import Join
from torch.nn.parallel import DistributedDataParallel

from normzoo.nn.norms import BatchInstanceNorm, BatchNorm, InstanceNorm
from normzoo.nn.registry import NORM_LAYERS
from normzoo.nn.resnet import ResNet
from normzoo.nn.sync import synchronize
from tests.support.warm import two_processes

pytestmark = pytest.mark.process

NORMS = (BatchNorm, BatchInstanceNorm)
SHARES = ((3, 5), (8, 0))
BY_RANK = ("y", "x gradient", "x second")  # the rest is by channel


def norm_case(kind):
    """A layer whose parameters are not those it begins with, activations and what the loss weighs its output by."""
    draw = torch.Generator().manual_seed(0)
    norm = kind(4, momentum=0.3, dtype=torch.float64)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=draw, dtype=torch.float64))
    x, weights = (torch.randn(8, 4, 5, 3, generator=draw, dtype=torch.float64) for _ in range(2))
    return norm, 3 + x * torch.arange(1.0, 9.0).view(-1, 1, 1, 1), weights


def norm_results(norm, x, weights):
    """Output, statistics, gradients, and those of a gradient penalty: the loss and the squared gradient of the input."""
    x = x.clone().requires_grad_()
    y = norm(x)
    loss = (y.square() * weights).sum()
    inputs = {"x": x, **dict(norm.named_parameters())}
    first = torch.autograd.grad(loss, list(inputs.values()), create_graph=True)
    second = torch.autograd.grad(loss + (first[0].square() * weights.cos()).sum(), list(inputs.values()))
    results = {"y": y, **{name: each.clone() for name, each in norm.named_buffers()}}
    for order, gradients in (("gradient", first), ("second", second)):
        results |= {f"{name} {order}": gradient for name, gradient in zip(inputs, gradients, strict=True)}
    return {name: each.detach() for name, each in results.items()}


def run_norms(rank, folder):
    lonely = [dist.new_group([0]), dist.new_group([1])]
    for kind in NORMS:

        def keep(name, found, kind=kind):
            torch.save(found, folder / f"{kind.__name__} {name} {rank}.pt")

        def part(sizes=4, kind=kind):
            norm, x, weights = norm_case(kind)
            return norm, x.split(sizes)[rank], weights.split(sizes)[rank]

        for sizes in SHARES:
            norm, x, weights = part(sizes)
            keep(f"{sizes}", norm_results(synchronize(norm), x, weights))
        keep("unasked", norm_results(*part()))
        norm, x, weights = part()
        keep("lonely", norm_results(synchronize(norm, lonely[rank]), x, weights))
        norm, x, weights = part()
        keep("both", norm_results(synchronize(norm, dist.group.WORLD), x, weights))
        norm, x, _ = part()
        synchronize(norm)(x)
        keep("eval", {"y": norm.eval()(x).detach()})
        norm = synchronize(norm_case(kind)[0], dist.group.WORLD)
        norm.sync = False
        keep("ended", norm_results(norm, *part()[1:]))
        if rank == 0:
            norm_case(kind)[0](x)  # and nobody waits
        # The second process has less to do: torch fills in for it, which knows of torch's own calls alone.
        network = DistributedDataParallel(nn.Sequential(norm_case(kind)[0]))
        with Join([network]):
            for _ in range(3 - rank):
                network(x).sum().backward()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("norms")
    two_processes(run_norms, folder)
    return folder


def load_both(folder, name):
    return [torch.load(folder / f"{name} {rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", [*map(str, SHARES), "both"])
@pytest.mark.parametrize("kind", NORMS)
def test_where_asked_for_all_is_that_of_the_whole_batch(kind, name, folder):
    expected = norm_results(*norm_case(kind))
    first, second = load_both(folder, f"{kind.__name__} {name}")
    assert first.keys() == expected.keys()
    for what, value in expected.items():
        if what in BY_RANK:
            found = torch.cat([first[what], second[what]])
        elif what in ("running_mean", "running_var", "num_batches_tracked"):
            torch.testing.assert_close(first[what], second[what], rtol=0, atol=0)
            found = first[what]
        else:  # each process has its part of the sum
            found = first[what] + second[what]
        torch.testing.assert_close(found, value, rtol=1e-10, atol=1e-10, msg=lambda text, what=what: f"{what}: {text}")


@pytest.mark.parametrize("name", ["unasked", "lonely", "ended"])
@pytest.mark.parametrize("kind", NORMS)
def test_otherwise_each_process_looks_at_its_own_batch(kind, name, folder):
    for rank, found in enumerate(load_both(folder, f"{kind.__name__} {name}")):
        norm, x, weights = norm_case(kind)
        torch.testing.assert_close(found, norm_results(norm, x.split(4)[rank], weights.split(4)[rank]), rtol=0, atol=0)


@pytest.mark.parametrize("kind", NORMS)
def test_evaluation_asks_no_other_process(kind, folder):
    first, second = load_both(folder, f"{kind.__name__} eval")
    norm, x, _ = norm_case(kind)
    norm(x)
    torch.testing.assert_close(torch.cat([first["y"], second["y"]]), norm.eval()(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("key", NORM_LAYERS)
def test_synchronizing_changes_nothing_in_one_process(key):
    torch.manual_seed(0)
    network, x = ResNet(8, key, 5), torch.randn(4, 3, 16, 16)
    twin = copy.deepcopy(network)
    assert synchronize(twin) is twin
    torch.testing.assert_close(twin(x), network(x), rtol=0, atol=0)
    torch.testing.assert_close(twin.state_dict(), network.state_dict(), rtol=0, atol=0)


def test_norms_that_look_across_the_batch_are_synchronized_and_no_others():
    network = synchronize(nn.Sequential(BatchNorm(4), nn.Sequential(BatchInstanceNorm(4)), InstanceNorm(4), nn.BatchNorm2d(4)))
    assert [layer.sync for layer in (network[0], network[1][0])] == [True, True]
    assert not hasattr(network[2], "sync")
    assert not BatchNorm(4).sync
