"""What the planted mistakes do to a network: the figures of docs/wrong-norms.md, made again.

`python -m tests.wrong_norms_bench`, with the images of tiny-imagenet-25 fetched. First the trained networks of
`tiny-imagenet-25/strong` with a wrong layer in the place of the right one; then short trainings with each layer.
"""

import sys

import torch
from torch.nn import functional as F

from normzoo.inference.predict import compute_logits
from normzoo.nn.resnet import ResNet
from normzoo.pretrained.registry import load_models
from tests.support.own_norms import wrong
from training.data.dataset import load

#: Norm of the packaged network -> layers that take its place; the first is right.
SWAPPED = {
    "bn": (
        wrong.BatchBase,
        wrong.BatchInEvaluationBatchNorm,
        wrong.MovesInEvaluationBatchNorm,
        wrong.PlainAttributesBatchNorm,
        wrong.NoBiasBatchNorm,
        wrong.CorrectedInEvaluationBatchNorm,
        wrong.EpsOnDeviationBatchNorm,
    ),
    "gn": (
        wrong.GroupBase,
        wrong.GroupNormOverRows,
        wrong.InterleavedGroupNorm,
        wrong.SwappedGroupNorm,
        wrong.UnbiasedGroupNorm,
    ),
    "in": (
        wrong.Base,
        wrong.VarianceForDeviationInstanceNorm,
        wrong.NoAffineInstanceNorm,
        wrong.BiasFirstInstanceNorm,
        wrong.UnbiasedInstanceNorm,
    ),
    "bin": (wrong.GateBase, wrong.ReversedGateBIN, wrong.SigmoidGateBIN, wrong.BatchInEvaluationBIN),
}
TRAINED = (
    wrong.BatchBase,
    wrong.RunningInTrainingBatchNorm,
    wrong.DetachedBatchNorm,
    wrong.MeanOfVariancesBatchNorm,
    wrong.ScrambledBatchNorm,
    wrong.ReversedMomentumBatchNorm,
    wrong.BiasedMemoryBatchNorm,
    wrong.Base,
    wrong.VarianceForDeviationInstanceNorm,
    wrong.PlainTensorsInstanceNorm,
    wrong.GateBase,
    wrong.RewrappedGateBIN,
)
STEPS, BATCH, LR = 60, 64, 0.1


def main():
    torch.set_num_threads(1)
    data = load("tiny-imagenet-25", 32)
    labels, mean, std = data.labels["val"], torch.tensor(data.mean), torch.tensor(data.std)
    print("accuracy (%) on the validation images, batches as they come (sorted by class); of one also one image at a time")
    for variant, layers in SWAPPED.items():
        (model,) = load_models("tiny-imagenet-25/strong", [variant]).values()
        for layer in layers:
            state = model.network.state_dict()
            network = ResNet(model.config.depth, layer, len(data.classes))
            network.load_state_dict(state, strict=False)
            right = [(each.argmax(1) == labels).double().mean() for each in _logits(network.eval(), layer, data, mean, std)]
            print(f"  {variant:4s} {layer.__name__:36s} {' '.join(f'{100 * each:5.1f}' for each in right)}", flush=True)
    print(f"{STEPS} steps of {BATCH} images, SGD {LR}: loss of the last 10, loss in evaluation, largest |output|")
    for layer in TRAINED:
        print(f"  {layer.__name__:36s} {' '.join(f'{figure:9.3g}' for figure in train(layer, data))}", flush=True)


def _logits(network, layer, data, mean, std):
    pixels = data.pixels["val"]
    yield compute_logits(network, pixels, mean, std)
    if layer is wrong.BatchInEvaluationBatchNorm:
        yield torch.cat([compute_logits(network, each, mean, std) for each in pixels.split(1)])


def train(layer, data):
    """Return the mean training loss of the last ten steps, the loss on the same images in evaluation, the largest output."""
    torch.manual_seed(0)
    network = ResNet(8, layer, len(data.classes))
    optimizer = torch.optim.SGD(network.parameters(), lr=LR, momentum=0.9)
    mean, std = torch.tensor(data.mean), torch.tensor(data.std)
    order = torch.randperm(len(data.labels["val"]), generator=torch.Generator().manual_seed(0))
    losses = []
    for step in range(STEPS):
        chosen = order[torch.arange(step * BATCH, (step + 1) * BATCH) % len(order)]
        x = ((data.pixels["val"][chosen].float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()
        loss = F.cross_entropy(network(x), data.labels["val"][chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    logits = compute_logits(network.eval(), data.pixels["val"], mean, std)
    final = F.cross_entropy(logits, data.labels["val"])
    return float(torch.stack(losses[-10:]).mean()), float(final), float(logits.abs().max())


if __name__ == "__main__":
    sys.exit(main())
