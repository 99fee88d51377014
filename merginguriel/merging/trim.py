"""Exact magnitude trims of task vectors that do not fit into memory.

The value at a rank is found by counting: the bits of non-negative floats, read as whole numbers, have the order
of the floats. A sample suggests a bracket, and one pass counts what lies below it and every value in it; if the rank
is not there, one pass counts the upper half of the bits and a second the lower half. A last pass, if several entries
are equal to the value, finds where among them the cut lies. The result is exact, and does not depend on the sample
or on how the passes were split among threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

LOW_BITS = 15  # of the 31 bits of a magnitude; the other 16 are counted first
EVERYTHING = 1 << 62
LARGEST = np.uint32(0x7FFFFFFF)
WIDEST = 1 << 18  # bins of a bracket; a wider one would not stay in a core's cache


@dataclass(frozen=True)
class Band:
    """The magnitudes of one source that are kept: bits `low` … `high`.

    Of the entries that equal an edge only the first `low_keep` or `high_keep` are kept, in order of position.
    """

    low: np.uint32
    low_keep: int
    high: np.uint32
    high_keep: int


NOTHING = Band(np.uint32(0xFFFFFFFF), 0, np.uint32(0xFFFFFFFF), 0)

# One pass over the data: calls the function with (source index, tensor block, base block) for every block, and
# returns what it returned, in order of position, source by source.
Edge = tuple[np.uint32, int, int]  # bits of the magnitude at a rank, how many are smaller, how many equal
Sample = Callable[[int], np.ndarray]
Pass = Callable[[Callable[[int, np.ndarray, np.ndarray], object]], list[list]]


def measure(over: Pass, count: int, size: int, low: int, high: int, sample: Sample | None) -> list[Band]:
    """Return the band of ascending magnitude ranks low … high − 1 of each of `count` sources with `size` entries.

    sample  gives bits of magnitudes from all over source i; with it one pass is enough, unless it misleads
    """
    if high <= low:
        return [NOTHING] * count
    ranks = [low] if high == size else [low, high - 1]
    found = bracketed(over, count, size, ranks, sample) if sample else None
    edges = found or in_two_passes(over, count, ranks)
    bands = []
    for own in zip(*edges, strict=True):
        bottom, below, equal = own[0]
        # Rank below + equal is the first above the edge: of the equals, those up to it stay.
        low_keep = min(below + equal, high) - low
        low_keep = EVERYTHING if low_keep == equal else low_keep
        if high == size:
            bands.append(Band(bottom, low_keep, LARGEST, EVERYTHING))
        else:
            top, below_top, _ = own[1]
            bands.append(Band(bottom, low_keep, top, EVERYTHING if top == bottom else high - below_top))
    return bands


def bracketed(over: Pass, count: int, size: int, ranks: list[int], sample: Sample) -> list[list[Edge]] | None:
    """Return the edges [rank][source], counted inside brackets that a sample suggests; None if one missed its rank."""
    drawn = [np.sort(sample(i)) for i in range(count)]
    starts, width = [], 0
    for rank in ranks:
        share, spread = rank / size, 6 * (rank / size * (1 - rank / size) / len(drawn[0])) ** 0.5 + 1e-4
        at = [int(np.clip(p, 0, 1) * (len(drawn[0]) - 1)) for p in (share - spread, share + spread)]
        brackets = [(int(bits[at[0]]), int(bits[at[1]])) for bits in drawn]
        starts.append([np.uint32(first) for first, _ in brackets])
        width = max(width, *(last - first + 1 for first, last in brackets))
    if width > WIDEST:
        return None
    counts, below = tally(over, count, starts, 0, width)
    edges = []
    for rank, row, tables, lower in zip(ranks, starts, counts, below, strict=True):
        own = []
        for i in range(count):
            inside = rank - int(lower[i])
            if not 0 <= inside < tables[i].sum():
                return None
            at_bin, before = locate(tables[i], inside)
            own.append((np.uint32(int(row[i]) + at_bin), int(lower[i]) + before, int(tables[i][at_bin])))
        edges.append(own)
    return edges


def in_two_passes(over: Pass, count: int, ranks: list[int]) -> list[list[Edge]]:
    """Return the edges [rank][source]: the upper half of the bits first, then the lower half."""
    coarse = tally(over, count, [[np.uint32(0)] * count], LOW_BITS, 1 << 16)[0][0]
    bins = [[locate(coarse[i], rank) for i in range(count)] for rank in ranks]
    starts = [[np.uint32(at << LOW_BITS) for at, _ in row] for row in bins]
    fine = tally(over, count, starts, 0, 1 << LOW_BITS)[0]
    edges = []
    for rank, row, start, tables in zip(ranks, bins, starts, fine, strict=True):
        own = []
        for (_, lower), first, table in zip(row, start, tables, strict=True):
            at, before = locate(table, rank - lower)
            own.append((np.uint32(int(first) + at), lower + before, int(table[at])))
        edges.append(own)
    return edges


def tally(
    over: Pass, count: int, starts: list[list[np.uint32]], shift: int, bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return histograms [edge, source, bin] of magnitudes and how many are below [edge, source], in one pass."""
    from .compiled_loops import histogram

    tables: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def block(i: int, tensor: np.ndarray, base: np.ndarray) -> None:
        thread = threading.get_ident()
        if thread not in tables:
            shape = len(starts), count
            tables[thread] = np.zeros((*shape, bins), np.int64), np.zeros(shape, np.int64)
        for row, counts, below in zip(starts, *tables[thread], strict=True):
            below[i] += histogram(tensor, base, row[i], np.uint32(shift), counts[i])

    over(block)
    # Whole numbers: their sum does not depend on which thread saw what.
    counts, below = zip(*tables.values(), strict=True)
    return sum(counts[1:], counts[0]), sum(below[1:], below[0])


def locate(counts: np.ndarray, rank: int) -> tuple[int, int]:
    """Return the bin of ascending `rank`, and how many entries are below that bin."""
    sums = np.cumsum(counts)
    at = int(np.searchsorted(sums, rank, side="right"))
    return at, int(sums[at] - counts[at])


def places(over: Pass, bands: list[Band]) -> list[list[Band]]:
    """Return the bands as each block must apply them, [source][block]: equals that earlier blocks used up are gone."""
    from .compiled_loops import count_equal

    partial = [b.low_keep < EVERYTHING or b.high_keep < EVERYTHING for b in bands]

    def block(i: int, tensor: np.ndarray, base: np.ndarray) -> tuple[int, int]:
        low, high = bands[i].low_keep < EVERYTHING, bands[i].high_keep < EVERYTHING
        return (
            count_equal(tensor, base, bands[i].low) if low else 0,
            count_equal(tensor, base, bands[i].high) if high else 0,
        )

    if not any(partial):
        return [[band] for band in bands]
    return [list(after(band, found)) for band, found in zip(bands, over(block), strict=True)]


def after(band: Band, found: Iterable[tuple[int, int]]) -> Iterable[Band]:
    """Yield the band for each block in turn, less the equal entries of the blocks before it."""
    low, high = 0, 0
    for at_low, at_high in found:
        yield Band(band.low, band.low_keep - low, band.high, band.high_keep - high)
        low, high = low + at_low, high + at_high
