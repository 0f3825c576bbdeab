"""What the `datasets` library reads: the same images and labels as the folder that it was made of."""

import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.support import warm
from tests.support.hub_server import client_environment, serve_hub
from tests.support.own_images import save_colours, silent
from training.data.image_folder import open_images

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[3]
CLASSES = ("a/b: red", "green")
datasets = pytest.importorskip("datasets")


def contents(folder):
    """Images as bytes, with their labels: 12 of each class."""
    for label in range(len(CLASSES)):
        save_colours(folder, str(label), 12, 100 * label)
    return [(path.read_bytes(), int(path.parent.name)) for path in sorted(folder.glob("*/*.png"))]


def write_parquet(folder, images):
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=list(CLASSES)))
    for split, part in (("train", images[::2]), ("validation", images[1::2])):
        rows = {"image": [{"bytes": content} for content, _ in part], "label": [label for _, label in part]}
        datasets.Dataset.from_dict(rows, features).to_parquet(folder / f"{split}-0.parquet")


def write_shards(folder, images):
    with tarfile.open(folder / "train-0.tar", "w") as shard:
        for number, (image, label) in enumerate(images):
            for suffix, content in (("png", image), ("cls", str(label).encode())):
                entry = tarfile.TarInfo(f"{number:04d}.{suffix}")
                entry.size = len(content)
                shard.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize("write", [write_parquet, write_shards])
def test_packed_images_are_those_of_the_files_and_new_ones_are_seen(tmp_path, write):
    images = contents(tmp_path / "files")
    folder = tmp_path / "packed"
    folder.mkdir()
    write(folder, images)
    data = open_images(str(folder), 16, silent, tmp_path / "data")
    assert len(data.classes) == 2
    seen = np.concatenate([data.pixels[split][:, 8, 8].numpy() for split in ("train", "val")])
    assert sorted(map(tuple, seen.tolist())) == sorted((100 * label, number, 0) for label in (0, 1) for number in range(12))
    if write is write_parquet:
        assert data.classes == ("a-b- red", "green"), "a name that no folder can have"
        assert len(data.labels["val"]) == 12
    write(folder, images[:-2])
    fewer = open_images(str(folder), 16, silent, tmp_path / "data")
    assert sum(map(len, fewer.labels.values())) == 22


def test_a_data_set_of_the_hub_is_unpacked_once(tmp_path):
    folder = tmp_path / "packed"
    folder.mkdir()
    write_parquet(folder, contents(tmp_path / "files"))
    with serve_hub() as hub:
        hub.add("you/pets", folder, kind="datasets")
        environment = client_environment(tmp_path / "home", hub.url)
        environment |= {"NORMZOO_DATA": str(tmp_path / "data"), "PYTHONPATH": str(ROOT)}
        words = ["study", "--data=hf://datasets/you/pets", "--norm=bn", "--depth=8", "--amp=fp32", "--compile=off", "--dry-run"]
        for asked in (True, False):
            hub.requests.clear()
            code, printed, errors = warm.run([sys.executable, "-m", "training", *words], tmp_path, environment)
            assert code == 0, errors
            assert "bn" in printed
            assert bool(hub.requests) == asked
