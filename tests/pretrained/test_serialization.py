"""Files written whole or not at all, the same for the same content; read strictly."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from normzoo.errors import CheckpointError
from normzoo.pretrained.serialization import parse_json, read_tensors, replace_folder, to_json, write_tensors

TENSORS = {"b": torch.arange(6.0).reshape(2, 3).T, "a": torch.tensor([1, 2]), "é": torch.zeros(0)}
METADATA = {"format_version": "1", "config_sha256": "0" * 64, "note": "naïve"}


def test_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, METADATA)
    tensors, metadata = read_tensors(path)
    torch.testing.assert_close(tensors, TENSORS, rtol=0, atol=0)
    assert metadata == METADATA
    save_file({name: tensor.contiguous() for name, tensor in TENSORS.items()}, tmp_path / "y", metadata=METADATA)
    assert path.stat().st_size == (tmp_path / "y").stat().st_size


@pytest.mark.parametrize("metadata", [METADATA, None])
def test_same_tensors_make_the_same_file(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    files = set()
    for _ in range(20):  # the library's own order of the metadata is one of several
        write_tensors(tmp_path / "x", TENSORS, metadata)
        files.add((tmp_path / "x").read_bytes())
    assert len(files) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_json_without_numbers_that_are_none_is_written(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"loss": value})


@pytest.mark.parametrize("text", ['{"loss": NaN}', '{"loss": -Infinity}', "{", "", "[1]", "null", "[" * 100_000])
def test_what_is_no_strict_json_object_is_refused(text: str) -> None:
    with pytest.raises(CheckpointError, match=r"^metrics.json (is damaged|does not hold what it should)"):
        parse_json(text, "metrics.json")


def test_folder_replaces_another(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    replace_folder(tmp_path / "new", tmp_path / "old")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["old", "old/new"]


def test_folder_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "kept").touch()
    real = os.replace

    def fail_for_new(source: Path, target: Path) -> None:
        if source == tmp_path / "new":
            raise OSError("no")
        real(source, target)

    monkeypatch.setattr(os, "replace", fail_for_new)
    with pytest.raises(OSError, match="no"):
        replace_folder(tmp_path / "new", tmp_path / "old")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["old", "old/kept"]
