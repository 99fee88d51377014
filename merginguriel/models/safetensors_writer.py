"""Writer of safetensors files, in any order and by several threads, single or sharded."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoint import INDEX, STORAGE, WEIGHTS


class SafetensorsFile:
    """File of known layout, written in any order and by several threads at once.

    layout  name → (dtype, shape); `sorted_layout` gives the order
    Space is reserved first, so that a full disk is detected before the work. Raises OSError if it is full.
    """

    def __init__(self, path: Path, layout: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        position = 0
        self.places: dict[str, tuple[int, int]] = {}
        for name, (dtype, shape) in layout.items():
            end = position + prod(shape) * STORAGE[dtype].itemsize
            header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, end]}
            self.places[name] = position, end
            position = end
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)  # the format aligns the first tensor to eight bytes
        self.body = 8 + len(text)
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            reserve(self.descriptor, self.body + position)
            write_at(self.descriptor, memoryview(len(text).to_bytes(8, "little") + text), 0)
        except BaseException:
            os.close(self.descriptor)
            raise

    def write(self, name: str, start: int, block: np.ndarray) -> None:
        """Write entries from `start` of tensor `name` in storage dtype. Raises OSError, ValueError past its end."""
        if not block.size:
            return
        begin, end = self.places[name]
        position = begin + start * block.itemsize
        if position + block.nbytes > end:
            raise ValueError(f"tensor {name}: {block.nbytes} bytes at {start} reach past its end")
        view = np.ascontiguousarray(block).data.cast("B")
        write_at(self.descriptor, view, self.body + position)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def write_at(descriptor: int, view: memoryview, position: int) -> None:
    """Write all of `view` at `position`, in several calls if the system writes less."""
    while view:
        count = os.pwrite(descriptor, view, position)
        view, position = view[count:], position + count


@contextmanager
def shard(
    folder: Path, layout: Mapping[str, tuple[str, tuple[int, ...]]], size: int | None
) -> Iterator[dict[str, SafetensorsFile]]:
    """Assign each tensor to a file: model.safetensors, or shards of at most `size` bytes and their index.

    A tensor is not split. Files are named as transformers names them.
    """
    parts: list[dict[str, tuple[str, tuple[int, ...]]]] = [{}]
    filled = 0
    for name, (dtype, shape) in layout.items():
        length = prod(shape) * STORAGE[dtype].itemsize
        if size is not None and parts[-1] and filled + length > size:
            parts.append({})
            filled = 0
        parts[-1][name] = dtype, shape
        filled += length
    count = len(parts)
    names = [f"model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)] if count > 1 else [WEIGHTS]
    with ExitStack() as stack:
        place: dict[str, SafetensorsFile] = {}
        for file, part in zip(names, parts, strict=True):
            written = SafetensorsFile(folder / file, part)
            stack.callback(written.close)
            place |= dict.fromkeys(part, written)
        if count > 1:
            table = {name: file for file, part in zip(names, parts, strict=True) for name in part}
            total = sum(prod(shape) * STORAGE[dtype].itemsize for dtype, shape in layout.values())
            index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(table.items()))}
            (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        yield place


def sorted_layout(
    layout: Mapping[str, tuple[str, tuple[int, ...]]],
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Sort wide dtypes first, then by name: every tensor is aligned, and the order is deterministic."""
    return dict(sorted(layout.items(), key=lambda item: (-STORAGE[item[1][0]].itemsize, item[0])))


def reserve(descriptor: int, size: int) -> None:
    """Reserve `size` bytes on disk where the system can, so that lack of space is detected early."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except AttributeError:  # macOS and Windows
        os.truncate(descriptor, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # some network file systems
            raise
        os.truncate(descriptor, size)
