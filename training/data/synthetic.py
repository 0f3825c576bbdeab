"""A data set of noise, for measuring and checking the training itself."""

import torch

from training.data.dataset import ImageData


def made_up_data(count: int, image_size: int = 32) -> ImageData:
    """`count` training and 250 validation images; the brightness says the class, so that there is something to learn."""
    num_classes = 25
    draw = torch.Generator().manual_seed(0)
    pixels, labels = {}, {}
    for split, images in {"train": count, "val": 250}.items():
        labels[split] = torch.arange(images) % num_classes
        noise = torch.randint(0, 128, (images, image_size, image_size, 3), generator=draw)
        pixels[split] = (noise + labels[split].view(-1, 1, 1, 1) * 127 // num_classes).to(torch.uint8)
    names = tuple(f"class {i}" for i in range(num_classes))
    return ImageData("made-up", names, image_size, (0.5,) * 3, (0.25,) * 3, "0" * 64, "Noise.", pixels, labels)
