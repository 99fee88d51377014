"""Block-wise readers of tensors: stored, adapted (LoRA), with rows in another order, or in memory.

Files are read into buffers, not mapped: a file truncated while it is read is then an error instead of the end of
the process, and a block that was just read is still in the processor's cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np

from merginguriel.errors import CheckpointError
from merginguriel.models.adapters import LowRank
from merginguriel.models.checkpoint import FLOATS, STORAGE, TensorInfo, from_float32, to_float32


class Input(Protocol):
    """A flat tensor that can be read from any place.

    dtype  as safetensors names it
    size   number of entries
    """

    dtype: str
    size: int

    def read(self, start: int, out: np.ndarray) -> None:
        """Read entries start … start + len(out) as float32 into `out`. Raises CheckpointError."""

    def raw(self, start: int, stop: int) -> np.ndarray:
        """Return entries start … stop in the form in which safetensors stores them, STORAGE[dtype]."""
        values = np.empty(stop - start, np.float32)
        self.read(start, values)
        return from_float32(values, self.dtype)


class FileTensor(Input):
    """A tensor in an open file."""

    def __init__(self, info: TensorInfo, descriptor: int) -> None:
        self.info, self.descriptor = info, descriptor
        self.dtype, self.size = info.dtype, info.size

    def read(self, start: int, out: np.ndarray) -> None:
        """Read entries from `start` as float32 into `out`."""
        if self.dtype == "F32":
            self.fill(start, out)
        else:
            out[...] = to_float32(self.raw(start, start + out.size), self.dtype)

    def raw(self, start: int, stop: int) -> np.ndarray:
        """Return entries start … stop as they are in the file."""
        array = np.empty(stop - start, STORAGE[self.dtype])
        self.fill(start, array)
        return array

    def fill(self, start: int, array: np.ndarray) -> None:
        """Read bytes from entry `start` into `array`."""
        view = array.data.cast("B") if array.size else memoryview(b"")
        position = self.info.start + start * array.itemsize
        while view:
            count = os.preadv(self.descriptor, [view], position)
            if count == 0:
                raise CheckpointError(
                    "the file became shorter while it was read.",
                    where=str(self.info.file),
                    hint="Another program is writing it: merge again when that is done.",
                )
            view, position = view[count:], position + count


class Adapted(Input):
    """A tensor in an open file with the low-rank change of an adapter, rounded as peft's merge_and_unload does."""

    def __init__(self, under: FileTensor, change: LowRank) -> None:
        self.under, self.change = under, change
        self.dtype, self.size = under.dtype, under.size

    def read(self, start: int, out: np.ndarray) -> None:
        """Read entries from `start` as float32 into `out`."""
        self.under.read(start, out)
        self.change.add(start, out)


@dataclass(frozen=True)
class Rows(TensorInfo):
    """Tensor whose first dimension is that of `under` in another order, with rows that `under` lacks.

    index    row of `under` for each row, −1 for one that it lacks: int64 [n]
    absent   rows that it lacks, and `filled` their values: float32 [len(absent), width]
    key      digest of index and values, which distinguishes two orders of one tensor
    """

    under: TensorInfo = field(kw_only=True)
    index: np.ndarray = field(kw_only=True, compare=False, repr=False)
    absent: np.ndarray = field(kw_only=True, compare=False, repr=False)
    filled: np.ndarray = field(kw_only=True, compare=False, repr=False)
    key: str = field(kw_only=True)


class Gathered(Input):
    """Reader of Rows: runs of consecutive rows are read at once."""

    def __init__(self, under: Input, rows: Rows) -> None:
        self.under, self.rows = under, rows
        self.dtype, self.size = under.dtype, rows.size

    def read(self, start: int, out: np.ndarray) -> None:
        """Read entries from `start` as float32 into `out`."""
        width = prod(self.rows.shape[1:])
        first, last = start // width, -(-(start + out.size) // width)
        whole_rows = out.size == (last - first) * width
        target = out if whole_rows else np.empty((last - first) * width, np.float32)
        index = self.rows.index[first:last]
        ends = [*(np.flatnonzero((np.diff(index) != 1) | (index[:-1] < 0)) + 1), last - first]
        for a, b in pairwise([0, *ends]):
            part = target[a * width : b * width]
            if index[a] < 0:
                part[:] = self.rows.filled[np.searchsorted(self.rows.absent, first + a)]
            else:
                self.under.read(int(index[a]) * width, part)
        if not whole_rows:
            out[...] = target[start - first * width :][: out.size]


class Held(Input):
    """A tensor in memory, flat, as float32 or as whole numbers."""

    def __init__(self, array: np.ndarray, dtype: str = "F32") -> None:
        self.array, self.dtype, self.size = array, dtype, array.size

    def read(self, start: int, out: np.ndarray) -> None:
        """Read entries from `start` as float32 into `out`."""
        out[...] = self.array[start : start + out.size]

    def raw(self, start: int, stop: int) -> np.ndarray:
        """Return entries start … stop."""
        return self.array[start:stop]


def whole(source: Input) -> np.ndarray:
    """Return all entries: float32, or whole numbers as they are."""
    if source.dtype not in FLOATS:
        return source.raw(0, source.size)
    out = np.empty(source.size, np.float32)
    source.read(0, out)
    return out


class Files:
    """Every file of a merge, opened once."""

    def __init__(self) -> None:
        self.descriptors: dict[Path, int] = {}
        self.found: dict[Path, tuple[int, int]] = {}

    def __call__(self, info: TensorInfo) -> Input:
        """Open the tensor. Raises CheckpointError if its file cannot be opened."""
        if isinstance(info, Rows):
            return Gathered(self(info.under), info)
        if isinstance(info, LowRank):
            return Adapted(self.stored(info.under), info)
        return self.stored(info)

    def stored(self, info: TensorInfo) -> FileTensor:
        """Return a reader of the tensor; its file is opened at most once."""
        if info.file not in self.descriptors:
            try:
                descriptor = os.open(info.file, os.O_RDONLY)
            except OSError as error:
                raise CheckpointError(f"cannot be read: {error.strerror}", where=str(info.file)) from error
            self.descriptors[info.file] = descriptor
            self.found[info.file] = state(descriptor)
        return FileTensor(info, self.descriptors[info.file])

    def check_unchanged(self) -> None:
        """Raise CheckpointError for a file that was written to since it was opened."""
        for path, descriptor in self.descriptors.items():
            if state(descriptor) != self.found[path]:
                raise CheckpointError(
                    "was changed while it was read.",
                    where=str(path),
                    hint="Let the program that writes it end, and merge again.",
                )

    def close(self) -> None:
        """Close all files."""
        for descriptor in self.descriptors.values():
            os.close(descriptor)


def state(descriptor: int) -> tuple[int, int]:
    """Return size in bytes and modification time in ns of an open file."""
    found = os.fstat(descriptor)
    return found.st_size, found.st_mtime_ns


@contextmanager
def opened() -> Iterator[Files]:
    """Yield `open_tensor(info)`; every file is opened once, and all are closed when the block ends."""
    files = Files()
    try:
        yield files
    finally:
        files.close()
