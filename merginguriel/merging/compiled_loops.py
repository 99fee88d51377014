"""Inner loops compiled by numba, where numpy would pass over memory many times.

Each works on one block in the processor's cache, releases the interpreter lock and adds in a fixed order, so
that the number of threads changes nothing. Compiled at the first use on a machine, then cached on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from merginguriel.errors import UnavailableError

try:
    import numba
except ImportError as error:
    raise UnavailableError(
        "this method needs the package numba.", hint="pip install 'merginguriel[lab]'"
    ) from error

CHUNK = 1024  # entries per turn of an inner loop: their scratch stays in the first-level cache
ABS = np.uint32(
    0x7FFFFFFF
)  # a float32 without its sign; as whole numbers such bits have the order of the values

Array = np.ndarray
compiled: Callable[..., Any] = numba.njit(nogil=True, cache=True, error_model="numpy")


@compiled
def magnitude_bits(tensor: Array, base: Array, out: Array) -> None:
    """Set out = bits of |tensor − base|, of at most CHUNK entries; float32 in, uint32 out."""
    difference = np.empty(CHUNK, np.float32)
    bits = difference.view(np.uint32)
    for j in range(tensor.size):
        difference[j] = tensor[j] - base[j]
    for j in range(tensor.size):
        out[j] = bits[j] & ABS


@compiled
def histogram(tensor: Array, base: Array, low: np.uint32, shift: np.uint32, counts: Array) -> int:
    """Count entries of |tensor − base| by bin; return how many are below the first bin.

    tensor, base  [n] float32
    low           bits of the first bin's lower end
    shift         log2 of a bin's width in bits
    counts        [bins] int64, added to; values above the last bin are not counted
    """
    bits = np.empty(CHUNK, np.uint32)
    bins = np.uint32(counts.size)
    below = 0
    for start in range(0, tensor.size, CHUNK):
        part = tensor[start : start + CHUNK]
        magnitude_bits(part, base[start : start + CHUNK], bits)
        smaller = np.uint32(0)
        inside = np.uint32(0)
        for j in range(part.size):
            smaller += np.uint32(bits[j] < low)
            bits[j] = (bits[j] - low) >> shift  # wraps round to a large number below `low`
            inside += np.uint32(bits[j] < bins)
        below += int(smaller)
        if inside:
            for j in range(part.size):
                if bits[j] < bins:
                    counts[bits[j]] += 1
    return below


@compiled
def count_equal(tensor: Array, base: Array, wanted: np.uint32) -> int:
    """Return how many entries of |tensor − base| have exactly these bits."""
    bits = np.empty(CHUNK, np.uint32)
    found = 0
    for start in range(0, tensor.size, CHUNK):
        part = tensor[start : start + CHUNK]
        magnitude_bits(part, base[start : start + CHUNK], bits)
        equal = np.uint32(0)
        for j in range(part.size):
            equal += np.uint32(bits[j] == wanted)
        found += int(equal)
    return found


@compiled
def keep_band(delta: Array, low: np.uint32, low_keep: int, high: np.uint32, high_keep: int) -> None:
    """Zero every entry outside the band [low, high] of magnitudes, in place.

    delta      [n] float32
    low, high  bits of the smallest and the largest magnitude that stays
    low_keep   of the entries that equal `low`, only this many, the first ones, stay
    high_keep  the same for `high`; of no effect if that is `low`
    """
    entries = delta.view(np.uint32)
    for start in range(0, delta.size, CHUNK):
        bits = entries[start : start + CHUNK]
        edges = np.uint32(0)
        for j in range(bits.size):
            size = bits[j] & ABS
            edges += np.uint32((size == low) | (size == high))
            bits[j] = bits[j] if (size >= low) & (size <= high) else np.uint32(0)
        if edges and (low_keep < delta.size or high_keep < delta.size):
            for j in range(bits.size):
                size = bits[j] & ABS
                if size == low:
                    if low_keep <= 0:
                        bits[j] = np.uint32(0)
                    low_keep -= 1
                elif size == high:
                    if high_keep <= 0:
                        bits[j] = np.uint32(0)
                    high_keep -= 1


@compiled
def agreeing_mean(
    base: Array, deltas: Array, weights: Array, scale: np.float32, divide: bool, out: Array
) -> None:
    """Set out = base + scale · mean of the entries that agree with the elected sign; the sign of Σ wᵢ δᵢ, entry by entry.

    base, out  [n] float32
    deltas     [k, n] float32; zeros do not vote
    weights    [k] float32; the mean is weighted over those that agree. An exact tie leaves the base.
    divide     by the weights that agree; False: add Σ wᵢ δᵢ over those that agree
    """
    total = np.empty(CHUNK, np.float32)
    agreed = np.empty(CHUNK, np.float32)
    mass = np.empty(CHUNK, np.float32)
    zero = np.float32(0)
    for start in range(0, base.size, CHUNK):
        size = min(CHUNK, base.size - start)
        total[:] = zero
        agreed[:] = zero
        mass[:] = zero
        for i in range(weights.size):
            weight = weights[i]
            delta = deltas[i, start : start + size]
            for j in range(size):
                total[j] += weight * delta[j]
        for i in range(weights.size):
            weight = weights[i]
            delta = deltas[i, start : start + size]
            for j in range(size):
                # Signs are compared one by one because a product of small entries could vanish.
                same = ((delta[j] > zero) & (total[j] > zero)) | ((delta[j] < zero) & (total[j] < zero))
                share = weight if same else zero
                agreed[j] += share * delta[j]
                mass[j] += share
        before = base[start : start + size]
        after = out[start : start + size]
        for j in range(size):
            whole = mass[j] if divide and mass[j] > zero else np.float32(1)
            after[j] = before[j] + scale * (agreed[j] / whole)


@compiled
def gram(rows: Array, out: Array) -> None:
    """Add rows · rowsᵀ to out, in float64.

    rows  [m, n] float32
    out   [m, m] float64
    """
    lanes = np.empty(32, np.float64)
    for a in range(rows.shape[0]):
        for b in range(a + 1):
            lanes[:] = 0.0
            for start in range(0, rows.shape[1], 32):
                one = rows[a, start : start + 32]
                two = rows[b, start : start + 32]
                # One sum per lane: additions that do not wait for one another, in an order that is fixed.
                for lane in range(one.size):
                    lanes[lane] += np.float64(one[lane]) * np.float64(two[lane])
            total = lanes.sum()
            out[a, b] += total
            if a != b:
                out[b, a] += total


@compiled
def philox(first: int, key: np.uint64, out: Array) -> None:
    """Compute random words for the counters first, first + 1 …, four for each: Philox4x32-10.

    Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", figure 4. Counter and key have 64 bits;
    the upper half of the paper's 128-bit counter is zero.

    out  [4, c] uint64, each below 2³²: column j holds the words of counter first + j
    """
    word = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    x0, x1, x2, x3 = out[0], out[1], out[2], out[3]
    for j in range(x0.size):
        counter = np.uint64(first) + np.uint64(j)
        x0[j] = counter & word
        x1[j] = counter >> half
        x2[j] = np.uint64(0)
        x3[j] = np.uint64(0)
    k0 = np.uint64(key) & word
    k1 = np.uint64(key) >> half
    for _ in range(10):
        for j in range(x0.size):
            a = np.uint64(0xD2511F53) * x0[j]
            b = np.uint64(0xCD9E8D57) * x2[j]
            x0[j] = (b >> half) ^ x1[j] ^ k0
            x2[j] = (a >> half) ^ x3[j] ^ k1
            x1[j] = b & word
            x3[j] = a & word
        k0 = (k0 + np.uint64(0x9E3779B9)) & word
        k1 = (k1 + np.uint64(0xBB67AE85)) & word


@compiled
def drop(delta: Array, key: np.uint64, start: int, limit: np.uint64, factor: np.float32) -> None:
    """Keep each entry with probability limit / 2³², times `factor`; zero the others, in place.

    delta  [n] float32, of which the first is entry `start` of its tensor, a multiple of 4: an entry gets the
           same random word in whichever block it is
    """
    words = np.empty((4, CHUNK // 4), np.uint64)
    zero = np.float32(0)
    for first in range(0, delta.size, CHUNK):
        philox((start + first) // 4, key, words)
        part = delta[first : first + CHUNK]
        whole = part.size // 4
        for lane in range(4):
            row = words[lane]
            for j in range(whole):
                kept = factor if row[j] < limit else zero
                part[4 * j + lane] *= kept
        for j in range(4 * whole, part.size):
            part[j] *= factor if words[j % 4, j // 4] < limit else zero


@compiled
def random_words(key: np.uint64, start: int, out: Array) -> None:
    """Set out = the random word of entry `start` of a tensor and of those after it: the words that `drop` meets.

    out  [n] uint32; `start` is a multiple of 4
    """
    words = np.empty((4, CHUNK // 4), np.uint64)
    for first in range(0, out.size, CHUNK):
        philox((start + first) // 4, key, words)
        part = out[first : first + CHUNK]
        whole = part.size // 4
        for lane in range(4):
            row = words[lane]
            for j in range(whole):
                part[4 * j + lane] = np.uint32(row[j])
        for j in range(4 * whole, part.size):
            part[j] = np.uint32(words[j % 4, j // 4])


@compiled
def ranking_keys(rows: Array, out: Array) -> None:
    """Set out = whole numbers that sort as the magnitudes of their row do, with the column in the lower 32 bits.

    rows  [m, n] float32
    out   [m, n] uint64; among equal magnitudes the first column sorts first
    """
    for i in range(rows.shape[0]):
        bits = rows[i].view(np.uint32)
        keys = out[i]
        for j in range(bits.size):
            keys[j] = (np.uint64(bits[j] & ABS) << np.uint64(32)) | np.uint64(j)


@compiled
def drop_by_rank(rows: Array, order: Array, words: Array, limits: Array, factors: Array) -> None:
    """Keep the entry of rank r in its row if its random word is below limits[r], times factors[r]; in place.

    rows     [m, n] float32
    order    [m, n] uint64, sorted ranking_keys
    words    [m, n] uint32
    limits   [n] uint64, up to 2³²
    factors  [n] float32
    """
    column = np.uint64(0xFFFFFFFF)
    for i in range(rows.shape[0]):
        row, drawn, keys = rows[i], words[i], order[i]
        for rank in range(keys.size):
            at = keys[rank] & column
            # Half of these would be mispredicted as a branch, which costs more than a product with 0 or 1.
            row[at] *= factors[rank] * np.float32(np.uint64(drawn[at]) < limits[rank])


@compiled
def variance(deltas: Array, out: Array) -> None:
    """Set out = population variance of each entry over the sources.

    deltas  [k, n] float32
    out     [n] float32
    """
    mean = np.empty(CHUNK, np.float32)
    share = np.float32(1.0 / deltas.shape[0])
    for start in range(0, out.size, CHUNK):
        size = min(CHUNK, out.size - start)
        spread = out[start : start + size]
        mean[:] = np.float32(0)
        spread[:] = np.float32(0)
        for i in range(deltas.shape[0]):
            delta = deltas[i, start : start + size]
            for j in range(size):
                mean[j] += share * delta[j]
        for i in range(deltas.shape[0]):
            delta = deltas[i, start : start + size]
            for j in range(size):
                away = delta[j] - mean[j]
                spread[j] += share * (away * away)


@compiled
def keep_selected(deltas: Array, values: Array, limits: Array, equals: Array) -> None:
    """Zero in all sources the entries whose value is below their row's limit, in place.

    deltas  [k, m, n] float32
    values  [m, n] float32
    limits  [m] float32
    equals  [m] whole numbers: of the entries that equal the limit only this many, the first ones, stay
    """
    stays = np.empty(values.shape[1], np.float32)
    for r in range(values.shape[0]):
        left = equals[r]
        for j in range(stays.size):
            stays[j] = np.float32(values[r, j] > limits[r])
        for j in range(stays.size):
            if left > 0 and values[r, j] == limits[r]:
                stays[j] = np.float32(1)
                left -= 1
        for i in range(deltas.shape[0]):
            delta = deltas[i, r]
            for j in range(stays.size):
                delta[j] *= stays[j]


@compiled
def agreeing_mean_of_rows(
    base: Array, deltas: Array, weights: Array, shares: Array, scale: np.float32, out: Array
) -> None:
    """Set out = base + scale · Σ sᵢ δᵢ / Σ sᵢ over the sources that have the sign of Σ wᵢ δᵢ, entry by entry.

    base, out  [m, n] float32
    deltas     [k, m, n] float32; a zero has no say
    weights    [k] float32, for the sign
    shares     [k, m] float32, for the mean
    """
    size = base.shape[1]
    zero = np.float32(0)
    total = np.empty(size, np.float32)
    agreed = np.empty(size, np.float32)
    mass = np.empty(size, np.float32)
    for r in range(base.shape[0]):
        total[:] = zero
        agreed[:] = zero
        mass[:] = zero
        for i in range(weights.size):
            delta = deltas[i, r]
            weight = weights[i]
            for j in range(size):
                total[j] += weight * delta[j]
        for i in range(weights.size):
            delta = deltas[i, r]
            share = shares[i, r]
            for j in range(size):
                same = ((delta[j] > zero) & (total[j] > zero)) | ((delta[j] < zero) & (total[j] < zero))
                counted = share if same else zero
                agreed[j] += counted * delta[j]
                mass[j] += counted
        before, after = base[r], out[r]
        for j in range(size):
            whole = mass[j] if mass[j] > zero else np.float32(1)
            after[j] = before[j] + scale * (agreed[j] / whole)
