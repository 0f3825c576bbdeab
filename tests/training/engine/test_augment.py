"""Random changes to images: drawn from (seed, epoch) alone, and what each of them does to a marked image."""

import math

import numpy as np
import pytest
import torch

from training.config import Recipe
from training.engine.augment import Augmentation, epoch_order

SIZE, COUNT = 12, 400
PAD = 3
FULL = Recipe(crop_padding=PAD, horizontal_flip=True, vertical_flip=True, rotation_degrees=20)
SHIFT = Recipe(crop_padding=PAD)


def marked(count=COUNT):
    """Images whose every pixel is different: red counts the rows, green the columns, blue the images."""
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    image = torch.stack((rows, columns, torch.zeros_like(rows)), 2).expand(count, -1, -1, -1).clone()
    image[..., 2] += torch.arange(count).remainder(256)[:, None, None]
    return image.to(torch.uint8)


def augment(recipe, seed=0, epoch=1):
    return Augmentation(recipe, COUNT, seed, epoch)(marked(), torch.arange(COUNT))


@pytest.mark.parametrize(
    "draw", [lambda s, e: epoch_order(COUNT, s, e), lambda s, e: augment(FULL, s, e)], ids=["order", "images"]
)
def test_what_is_drawn_depends_on_seed_and_epoch_alone(draw):
    torch.manual_seed(1)
    first = draw(3, 5)
    torch.manual_seed(2)
    torch.rand(7)
    assert torch.equal(first, draw(3, 5))
    assert not torch.equal(first, draw(4, 5))
    assert not torch.equal(first, draw(3, 6))
    assert not torch.equal(first, draw(5, 3))


def test_what_is_drawn_fills_its_range_and_nothing_is_drawn_together():
    change = Augmentation(FULL, COUNT, 0, 1)
    assert [sorted(set(axis.tolist())) for axis in change.shifts] == [list(range(-PAD, PAD + 1))] * 2
    assert not torch.equal(*change.shifts)
    assert 0.4 < (change.mirror_x == change.mirror_y).float().mean() < 0.6
    angles = change.angles.rad2deg()
    assert -20 <= angles.min() < -18 < 18 < angles.max() <= 20
    assert torch.equal(epoch_order(COUNT, 0, 1).sort().values, torch.arange(COUNT))


def test_an_image_is_changed_alike_in_any_batch():
    whole = augment(FULL)
    change, order = Augmentation(FULL, COUNT, 0, 1), torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))
    for positions in order.split(33):
        torch.testing.assert_close(change(marked()[positions], positions), whole[positions])


def test_shift_moves_the_image_and_mirrors_its_edges():
    change = Augmentation(SHIFT, COUNT, 0, 1)
    padded = np.pad(marked().numpy(), ((0, 0), (PAD, PAD), (PAD, PAD), (0, 0)), mode="reflect")
    down, right = (change.shifts + PAD).tolist()
    expected = [padded[i, down[i] : down[i] + SIZE, right[i] : right[i] + SIZE] for i in range(COUNT)]
    assert torch.equal(augment(SHIFT), torch.from_numpy(np.stack(expected)))


@pytest.mark.parametrize(("field", "axis"), [("horizontal_flip", 2), ("vertical_flip", 1)])
def test_flip_mirrors_about_half_of_the_images(field, axis):
    flipped, pixels = augment(Recipe().changed(**{field: True})), marked()
    mirrored = _equal_images(flipped, pixels.flip(axis))
    assert torch.equal(mirrored, ~_equal_images(flipped, pixels))
    assert 0.4 < mirrored.float().mean() < 0.6


def _equal_images(a, b):
    return (a == b).flatten(1).all(1)


def test_rotation_by_a_right_angle_is_exact():
    change = Augmentation(FULL.changed(crop_padding=0, horizontal_flip=False, vertical_flip=False), COUNT, 0, 1)
    change.angles[:] = math.pi / 2
    pixels = marked()
    turned = change(pixels, torch.arange(COUNT))
    quarter = min((1, -1), key=lambda k: (torch.rot90(pixels, k, (1, 2)).float() - turned).abs().max().item())
    torch.testing.assert_close(turned, torch.rot90(pixels, quarter, (1, 2)).float(), atol=1e-3, rtol=0)


def test_rotation_keeps_the_middle_and_blackens_the_corners():
    change = Augmentation(Recipe(rotation_degrees=45), 1, 0, 1)
    change.angles[:] = math.radians(45)
    white = torch.full((1, SIZE, SIZE, 3), 255, dtype=torch.uint8)
    turned = change(white, torch.tensor([0]))
    middle = slice(SIZE // 2 - 1, SIZE // 2 + 1)
    assert turned[0, middle, middle].min() > 254.9
    assert turned[0, [0, 0, -1, -1], [0, -1, 0, -1]].max() == 0
