"""Speed of the page, medians: from process start to the first served page, six predictions, a 12-megapixel photo.

`python -m tests.page_bench`, on a machine that does nothing else.
"""

import io
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from normzoo.images.preprocess import load_image
from normzoo.inference.predict import predict
from normzoo.pretrained.registry import list_model_sets, load_models
from tests.browser.driver import running_server

STARTS = 5
PREDICTIONS = 50


def main():
    print(f"Process start to first served page, {STARTS} starts each, in turns:")
    imports, pages = zip(*((_import_seconds(), _page_seconds()) for _ in range(STARTS)), strict=True)
    imported, served = statistics.median(imports), statistics.median(pages)
    print(f"  import torch, gradio {imported:.2f} s; page {served:.2f} s; ratio {served / imported:.2f} (goal: at most 1.5)")
    torch.set_num_threads(1)
    models = load_models(list_model_sets()[0])
    small, large = _photo(512, 384), _photo(4000, 3000)
    predict(models, load_image(small))
    for name, content, goal in (("512×384 JPEG", small, 60), ("12-megapixel JPEG", large, 400)):
        milliseconds = [_predict_ms(models, content) for _ in range(PREDICTIONS)]
        print(
            f"  {len(models)} predictions for a {name}: median {statistics.median(milliseconds):.1f} ms, "
            f"slowest {max(milliseconds):.1f} ms (goal: at most {goal})"
        )


def _import_seconds():
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, gradio"], check=True)
    return time.perf_counter() - start


def _page_seconds():
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with running_server(Path(folder)):
            return time.perf_counter() - start


def _photo(width, height):
    coarse = np.random.default_rng(0).integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _predict_ms(models, content):
    start = time.perf_counter()
    predict(models, load_image(content))
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
