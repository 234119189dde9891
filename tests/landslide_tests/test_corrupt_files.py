"""Damaged HDF5 files: whatever byte is wrong, the reader returns numbers or names the file; nothing else."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from landslide import DatasetError, read_image, read_mask

VARIANTS = 100  # of each kind and file format
HEADER = 2500  # bytes, in which all of the structure lies


def intact(kind: str) -> bytes:
    """A patch file in memory: contiguous, compressed, or in the newer file format."""
    buffer = io.BytesIO()
    rng = np.random.default_rng(1)
    packed = {"compression": "gzip", "chunks": (8, 8, 4)} if kind == "compressed" else {}
    with h5py.File(buffer, "w", libver="latest" if kind == "newer format" else "earliest") as file:
        file.create_dataset("img", data=rng.random((16, 16, 4)), **packed)
        file.create_dataset("other", data=np.zeros(3))
        file["link"] = h5py.SoftLink("/img")
    return buffer.getvalue()


def truncated(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(0, len(content))]


def with_flipped_bits(content: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(content)
    for position in rng.integers(0, min(HEADER, len(content)), size=rng.integers(1, 4)):
        damaged[position] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def overwritten(content: bytes, rng: np.random.Generator) -> bytes:
    start, noise = int(rng.integers(0, min(HEADER, len(content)))), rng.bytes(int(rng.integers(1, 64)))
    return (content[:start] + noise + content[start + len(noise) :])[: len(content)]


def of_noise(content: bytes, rng: np.random.Generator) -> bytes:
    start = content[:8] if rng.random() < 0.5 else b""  # half of them with the signature of HDF5
    return start + rng.bytes(int(rng.integers(0, 4000)))


def variants(content: bytes, damage: Callable[[bytes, np.random.Generator], bytes]) -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    return (damage(content, rng) for _ in range(VARIANTS))


@pytest.mark.parametrize("kind", ["contiguous", "compressed", "newer format"])
@pytest.mark.parametrize("damage", [truncated, with_flipped_bits, overwritten, of_noise])
def test_a_damaged_file_is_read_or_refused_by_its_name(
    tmp_path: Path, kind: str, damage: Callable[[bytes, np.random.Generator], bytes]
) -> None:
    path = tmp_path / "image_1.h5"
    problems: list[str] = []
    for content in variants(intact(kind), damage):
        path.write_bytes(content)
        for read in (read_image, read_mask):
            try:
                assert np.isfinite(read(path)).all()
            except DatasetError as error:
                problems += error.problems
    assert len(problems) > VARIANTS // 5, "the damage did nothing"
    assert [text for text in problems if not text.startswith(f"{path}: ") or not text.isprintable()] == []


def test_the_files_that_are_damaged_here_are_readable_before() -> None:
    for kind in ("contiguous", "compressed", "newer format"):
        with h5py.File(io.BytesIO(intact(kind))) as file:
            assert file["link"].shape == (16, 16, 4)
