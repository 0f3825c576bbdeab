"""Random changes of the training images, drawn per epoch from (seed, epoch) alone."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.config import Recipe


def generator(seed: int, epoch: int, purpose: int) -> torch.Generator:
    """A separate CPU generator for each (seed, epoch, purpose)."""
    state = np.random.SeedSequence((seed, epoch, purpose)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))


def epoch_order(num_images: int, seed: int, epoch: int) -> Tensor:
    """The order of the training images in one epoch, (num_images,)."""
    return torch.randperm(num_images, generator=generator(seed, epoch, 0))


class Augmentation:
    """Random changes of one epoch to each image; called with the batch and the positions of its images."""

    def __init__(self, recipe: Recipe, num_images: int, seed: int, epoch: int) -> None:
        draw = generator(seed, epoch, 1)
        pad = recipe.crop_padding
        self.shifts = torch.randint(-pad, pad + 1, (2, num_images), generator=draw)
        flips = torch.rand(2, num_images, generator=draw) < 0.5
        self.mirror_x = flips[0] & recipe.horizontal_flip
        self.mirror_y = flips[1] & recipe.vertical_flip
        angles = torch.rand(num_images, generator=draw) * 2 - 1
        self.angles = angles * math.radians(recipe.rotation_degrees)
        self.moves = bool(pad or recipe.horizontal_flip or recipe.vertical_flip)
        self.rotates = recipe.rotation_degrees != 0

    def to(self, device: torch.device) -> "Augmentation":
        """Move the drawn values to the device of the pixels."""
        for name in ("shifts", "mirror_x", "mirror_y", "angles"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def __call__(self, pixels: Tensor, positions: Tensor) -> Tensor:
        """(B, H, W, 3) pixels of the images at `positions`, (B,) -> (B, H, W, 3), uint8, or float where rotated."""
        if self.moves:
            rows = _source_index(pixels.shape[1], self.shifts[0, positions], self.mirror_y[positions])
            columns = _source_index(pixels.shape[2], self.shifts[1, positions], self.mirror_x[positions])
            batch = torch.arange(len(pixels), device=pixels.device)[:, None, None]
            pixels = pixels[batch, rows[:, :, None], columns[:, None, :]]
        if self.rotates:
            pixels = _rotate(pixels, self.angles[positions])
        return pixels


def _source_index(size: int, shift: Tensor, mirror: Tensor) -> Tensor:
    """Return the input row of each output row, (B, size): shifted, mirrored at the edges, perhaps reversed."""
    index = (torch.arange(size, device=shift.device) + shift[:, None]).abs()
    index = size - 1 - (size - 1 - index).abs()
    return torch.where(mirror[:, None], size - 1 - index, index)


def _rotate(pixels: Tensor, angles: Tensor) -> Tensor:
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    matrices = torch.stack((torch.stack((cos, -sin, zero), 1), torch.stack((sin, cos, zero), 1)), 1)  # (B, 2, 3)
    images = pixels.permute(0, 3, 1, 2).float()
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False).permute(0, 2, 3, 1)
