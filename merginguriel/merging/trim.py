"""Exact magnitude trims of task vectors that do not fit into memory.

The value at a rank is found by counting: the bits of non-negative floats, read as whole numbers, have the order of the
floats. A sample suggests a bracket. One pass counts what lies below it and collects the entries inside, about a hundredth
of all; sorted, they give the value at the rank, how many entries equal it, and in which block. If the rank is not inside,
one pass counts the upper half of the bits and a second the lower half; a last pass, if several entries equal the value,
finds where among them the cut lies. The result is exact, and does not depend on the sample or on how the passes were split
among threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

LOW_BITS = 15  # of the 31 bits of a magnitude; the other 16 are counted first
EVERYTHING = 1 << 62
LARGEST = np.uint32(0x7FFFFFFF)


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


def measure(
    over: Pass, count: int, size: int, low: int, high: int, sample: Sample | None
) -> list[list[Band]]:
    """Return the bands of ascending magnitude ranks low … high − 1 of `count` sources with `size` entries.

    The bands are [source][block], or [source][0] where one holds for all blocks.

    sample  gives bits of magnitudes from all over source i; with it one pass is enough, unless it misleads
    """
    if high <= low:
        return [[NOTHING]] * count
    ranks = [low] if high == size else [low, high - 1]
    found = bracketed(over, count, size, ranks, sample) if sample else None
    if found is None:
        edges = in_two_passes(over, count, ranks)
        return places(over, [band_of(own, low, high, size) for own in zip(*edges, strict=True)])
    bands = []
    for own in found:
        band = band_of([edge for edge, _ in own], low, high, size)
        equal = [blocks for _, blocks in own]
        partial = band.low_keep < EVERYTHING or band.high_keep < EVERYTHING
        bands.append(list(after(band, zip(equal[0], equal[-1], strict=True))) if partial else [band])
    return bands


def band_of(edges: Sequence[Edge], low: int, high: int, size: int) -> Band:
    """Return the band of the ranks low … high − 1 from the values at its lowest and, unless it is the last, highest rank."""
    bottom, below, equal = edges[0]
    # Rank below + equal is the first above the edge: of the equals, those up to it stay.
    low_keep = min(below + equal, high) - low
    low_keep = EVERYTHING if low_keep == equal else low_keep
    if high == size:
        return Band(bottom, low_keep, LARGEST, EVERYTHING)
    top, below_top, _ = edges[1]
    return Band(bottom, low_keep, top, EVERYTHING if top == bottom else high - below_top)


def bracketed(
    over: Pass, count: int, size: int, ranks: list[int], sample: Sample
) -> list[list[tuple[Edge, list[int]]]] | None:
    """Return [source][rank] the edge, and how many entries of each block equal it; None if a bracket missed its rank."""
    from .compiled_loops import between

    lows, highs = np.zeros((count, len(ranks)), np.uint32), np.zeros((count, len(ranks)), np.uint32)
    for i in range(count):
        drawn = np.sort(sample(i))
        for e, rank in enumerate(ranks):
            share, spread = rank / size, 6 * (rank / size * (1 - rank / size) / len(drawn)) ** 0.5 + 1e-4
            at = [int(np.clip(p, 0, 1) * (len(drawn) - 1)) for p in (share - spread, share + spread)]
            # The ends of the sample are not those of the source.
            lows[i, e] = drawn[at[0]] if at[0] else 0
            highs[i, e] = max(drawn[at[1]] if at[1] < len(drawn) - 1 else LARGEST, lows[i, e] + 1)

    def block(i: int, tensor: np.ndarray, base: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        inside = np.empty((len(ranks), tensor.size + 1), np.uint32)
        counts = np.empty((len(ranks), 4), np.int64)
        between(tensor, base, lows[i], highs[i], inside, counts)
        return counts, [row[:n].copy() for row, n in zip(inside, counts[:, 2], strict=True)]

    found = []
    for i, blocks in enumerate(over(block)):
        counts = np.array([counts for counts, _ in blocks])  # [block, edge, 4]
        own = []
        for e, rank in enumerate(ranks):
            values = [inside[e] for _, inside in blocks]
            edge = edge_at(rank, lows[i, e], highs[i, e], counts[:, e].sum(axis=0), np.concatenate(values))
            if edge is None:
                return None
            at_end = 1 if edge[0] == lows[i, e] else 3
            inner = lows[i, e] < edge[0] < highs[i, e]
            equal = [int((v == edge[0]).sum()) for v in values] if inner else counts[:, e, at_end].tolist()
            own.append((edge, equal))
        found.append(own)
    return found


def edge_at(
    rank: int, low: np.uint32, high: np.uint32, counts: np.ndarray, inside: np.ndarray
) -> Edge | None:
    """Return the edge at an ascending rank from a bracket's counts (as of `between`) and contents; None if it is outside."""
    below, at_low, number, at_high = (int(n) for n in counts)
    rank -= below
    if not 0 <= rank < at_low + number + at_high:
        return None
    if rank < at_low:
        return low, below, at_low
    if rank >= at_low + number:
        return high, below + at_low + number, at_high
    value = np.partition(inside, rank - at_low)[rank - at_low]
    return value, below + at_low + int((inside < value).sum()), int((inside == value).sum())


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
