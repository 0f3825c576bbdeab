"""The training of one network in memory that never moves, so that every step is the same work for the device."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from normzoo.images.preprocess import to_input
from normzoo.nn.resnet import NormLayer, ResNet
from training.data.dataset import SPLITS, ImageData
from training.engine.augment import Augmentation, epoch_order
from training.engine.replay import Mark, Replay, Work, capturable
from training.engine.step import TrainStep, learning_rates
from training.experiment.recipes import Recipe

#: How often work is done before it is recorded: kernels are loaded and compiled, workspaces allocated.
REHEARSALS = 3
#: Images that are augmented at a time, and validated at a time.
CHUNK, VAL_CHUNK = 5000, 1000


class ResidentData:
    """The images of a data set, as they are stored, on a device; many networks train on them.

    Args:
        dtype: of the networks' weights and input.
    """

    def __init__(self, data: ImageData, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self.device = device
        self.dtype = dtype
        self.num_classes = len(data.classes)
        self.pixels = {split: data.pixels[split].to(device) for split in SPLITS}
        self.labels = {split: data.labels[split].to(device) for split in SPLITS}
        self.mean, self.std = (torch.tensor(each, dtype=dtype, device=device) for each in (data.mean, data.std))
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # other streams read it


class StaticStep:
    """One network on its way through its epochs: images of the epoch, weights, optimizer and sums in fixed memory.

    An epoch is drawn on the CPU from (seed, epoch), exactly as the training loop on a CPU draws it, uploaded once, and
    augmented on the device. A step then finds its images, its labels and its learning rate by counters on the device.
    Nothing is read back before the epoch is over.

    Args:
        compiled: full batches run compiled; the smaller last one never does.
        memory_format: of weights and images; None: channels last on a GPU.
    """

    def __init__(
        self,
        norm: str | NormLayer,
        recipe: Recipe,
        data: ResidentData,
        replay: Replay,
        *,
        precision: str = "fp32",
        compiled: bool = False,
        memory_format: torch.memory_format | None = None,
    ) -> None:
        self.recipe = recipe
        self.data = data
        self.replay = replay
        self.count, size = len(data.labels["train"]), recipe.batch_size
        self.steps_per_epoch = -(-self.count // size)
        if memory_format is None:
            memory_format = torch.channels_last if data.device.type == "cuda" else torch.contiguous_format
        with replay.on_stream():
            model = ResNet(recipe.depth, norm, data.num_classes).to(data.device, data.dtype).train()
            model = model.to(memory_format=memory_format)
            self.step = TrainStep(model, recipe, data.mean, data.std, precision, size if compiled else None, memory_format)
            self._allocate()
            self.begin_epoch(0, 1)
            self._works = {n: self._recorded(partial(self._train, n)) for n in {min(size, self.count), self.last_size}}
            self._validation = self._recorded(self._validate)

    @property
    def model(self) -> torch.nn.Module:
        return self.step.model

    @property
    def last_size(self) -> int:
        """Images in the last step of an epoch."""
        return self.count - (self.steps_per_epoch - 1) * self.recipe.batch_size

    def _allocate(self) -> None:
        device, groups = self.data.device, self.step.optimizer.param_groups
        pixels = self.data.pixels["train"]
        rotated = self.recipe.rotation_degrees != 0
        self._images = torch.empty_like(pixels, dtype=torch.float32 if rotated else torch.uint8)
        self._labels = torch.empty_like(self.data.labels["train"])
        self._offsets = torch.arange(min(self.recipe.batch_size, self.count), device=device)
        self._schedule = learning_rates(self.recipe, self.steps_per_epoch)
        rates = [[rate * group["lr_factor"] for rate in self._schedule] for group in groups]
        self._rates = torch.tensor(rates, dtype=torch.float32, device=device)  # (groups, steps)
        self._lr = torch.zeros(len(groups), dtype=torch.float32, device=device)
        for group, lr in zip(groups, self._lr, strict=True):
            group["lr"] = lr
        self._number = torch.zeros(1, dtype=torch.int64, device=device)  # of the step in the whole run
        self._first = torch.zeros(1, dtype=torch.int64, device=device)  # image of the step in the epoch
        self._total_loss = torch.zeros((), dtype=torch.float64, device=device)
        self._predicted = torch.empty_like(self._labels)
        self._val_logits = torch.empty(len(self.data.labels["val"]), self.data.num_classes, device=device)

    def _recorded(self, work: Work) -> Work:
        """Rehearse, then record. What the rehearsals trained is put right by `load`, and nothing is used before."""
        for _ in range(REHEARSALS):
            self._rewind(1)
            work()
        self._rewind(1)
        with capturable(self.step.optimizer):
            return self.replay.record(work)

    def _train(self, size: int) -> None:
        """One step: the work that is recorded."""
        positions = self._first + self._offsets[:size]
        self._lr.copy_(self._rates.index_select(1, self._number)[:, 0])
        pixels, labels = self._images.index_select(0, positions), self._labels.index_select(0, positions)
        loss, predicted = self.step.update(pixels, labels)
        self._total_loss.add_(loss.double() * size)
        self._predicted.index_copy_(0, positions, predicted)
        self._first.add_(size)
        self._number.add_(1)

    @torch.no_grad()
    def _validate(self) -> None:
        """Logits of the validation images: the work that is recorded."""
        self.model.eval()
        for pixels, logits in zip(self.data.pixels["val"].split(VAL_CHUNK), self._val_logits.split(VAL_CHUNK), strict=True):
            images = to_input(pixels, self.data.mean, self.data.std)
            logits.copy_(self.model(images.contiguous(memory_format=self.step.memory_format)))
        self.model.train()

    def _rewind(self, epoch: int) -> None:
        self._number.fill_((epoch - 1) * self.steps_per_epoch)
        self._first.zero_()
        self._total_loss.zero_()

    @torch.no_grad()
    def load(self, model: dict[str, Tensor], optimizer: dict[str, Any] | None = None) -> None:
        """Put weights, and the optimizer's state where there is one, in place; without it the optimizer begins anew."""
        saved = optimizer["state"] if optimizer else {}
        with self.replay.on_stream():
            for name, tensor in self.model.state_dict().items():
                tensor.copy_(model[name])
            for index, state in self.step.optimizer.state_dict()["state"].items():
                for name, tensor in state.items():
                    if saved:
                        tensor.copy_(saved[index][name])
                    else:
                        tensor.zero_()

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Draw the order and the augmentation of an epoch, and lay its images out in that order."""
        order = epoch_order(self.count, seed, epoch)
        augment = Augmentation(self.recipe, self.count, seed, epoch)
        with self.replay.on_stream():
            augment.to(self.data.device)
            order = order.to(self.data.device)
            for positions, images in zip(order.split(CHUNK), self._images.split(CHUNK), strict=True):
                images.copy_(augment(self.data.pixels["train"].index_select(0, positions), positions))
            self._labels.copy_(self.data.labels["train"].index_select(0, order))
            self._rewind(epoch)

    def train(self, first: int, last: int) -> None:
        """Give the device the steps `first` up to, without, `last` of this epoch; does not wait for them."""
        with self.replay.on_stream():
            for number in range(first, last):
                size = self.last_size if number == self.steps_per_epoch - 1 else self.recipe.batch_size
                self._works[size]()

    def validate(self) -> None:
        """Give the device the validation; does not wait for it."""
        with self.replay.on_stream():
            self._validation()

    def mark(self) -> Mark:
        """Set a mark behind everything that the device was given so far."""
        return self.replay.mark()

    def training_results(self) -> tuple[float, Tensor, Tensor]:
        """Mean loss, and the predicted and the true classes, of this epoch; waits for them."""
        with self.replay.on_stream():
            return self._total_loss.item() / self.count, _copy(self._predicted), _copy(self._labels)

    def val_logits(self) -> Tensor:
        """What `validate` computed, on the CPU; waits for it."""
        with self.replay.on_stream():
            return _copy(self._val_logits)

    def epoch_lr(self, epoch: int) -> float:
        """Learning rate of the first step of an epoch."""
        return self._schedule[(epoch - 1) * self.steps_per_epoch]

    def model_state(self) -> dict[str, Tensor]:
        """The weights, as a network on a CPU loads them; waits for them."""
        with self.replay.on_stream():
            return {name: _copy(tensor) for name, tensor in self.model.state_dict().items()}

    def optimizer_state(self, epoch: int) -> dict[str, Any]:
        """The optimizer after an epoch, as the training loop on a CPU loads it; waits for it."""
        rate = self._schedule[epoch * self.steps_per_epoch - 1]
        with self.replay.on_stream():
            whole = self.step.optimizer.state_dict()
            state = {i: {name: _copy(t) for name, t in each.items()} for i, each in whole["state"].items()}
        return {"state": state, "param_groups": [{**g, "lr": rate * g["lr_factor"]} for g in whole["param_groups"]]}


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
