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
RUN = 32  # entries that are looked at together for one in a range
# A float32 without its sign; as whole numbers such bits have the order of the values.
ABS = np.uint32(0x7FFFFFFF)

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
def between(tensor: Array, base: Array, lows: Array, highs: Array, found: Array, counts: Array) -> None:
    """Find the entries of |tensor − base| inside brackets, and count those below and at the ends.

    tensor, base  [n] float32
    lows, highs   [e] uint32, bits of the ends; each high is above its low
    found         [e, n + 1] uint32: begins with the bits of the entries strictly inside, in their order
    counts        [e, 4] int64, set: entries below `low`, equal to it, strictly inside, equal to `high`
    """
    bits = np.empty(CHUNK, np.uint32)
    counts[:] = 0
    for start in range(0, tensor.size, CHUNK):
        part = tensor[start : start + CHUNK]
        magnitude_bits(part, base[start : start + CHUNK], bits)
        for e in range(lows.size):
            low, high = lows[e], highs[e]
            smaller, at_low, at_high = np.uint32(0), np.uint32(0), np.uint32(0)
            for j in range(part.size):
                smaller += np.uint32(bits[j] < low)
                at_low += np.uint32(bits[j] == low)
                at_high += np.uint32(bits[j] == high)
            counts[e, 0] += int(smaller)
            counts[e, 1] += int(at_low)
            counts[e, 3] += int(at_high)
            # Few entries are inside: only runs that have one are looked at one by one.
            at = counts[e, 2]
            for first in range(0, part.size, RUN):
                run = bits[first : min(first + RUN, part.size)]
                inside = np.uint32(0)
                for j in range(run.size):
                    inside += np.uint32((run[j] > low) & (run[j] < high))
                if inside:
                    # Written whether inside or not, and kept if it is: a branch would be mispredicted.
                    for j in range(run.size):
                        found[e, at] = run[j]
                        at += int((run[j] > low) & (run[j] < high))
            counts[e, 2] = at


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
    base: Array,
    deltas: Array,
    weights: Array,
    shares: Array,
    scale: np.float32,
    divide: bool,
    out: Array,
) -> None:
    """Set out = base + scale · Σ sᵢ δᵢ / Σ sᵢ over the sources that have the sign of Σ wᵢ δᵢ, entry by entry.

    base, out  [m, n] float32
    deltas     [k, m, n] float32; zeros do not vote, and an exact tie leaves the base
    weights    [k] float32, for the sign
    shares     [k, m] float32, for the mean
    divide     by the shares that agree; False: add Σ sᵢ δᵢ over those that agree
    """
    sign = np.empty(CHUNK, np.float32)
    agreed = np.empty(CHUNK, np.float32)
    mass = np.empty(CHUNK, np.float32)
    zero = np.float32(0)
    one = np.float32(1)
    for r in range(base.shape[0]):
        for start in range(0, base.shape[1], CHUNK):
            size = min(CHUNK, base.shape[1] - start)
            sign[:] = zero
            agreed[:] = zero
            mass[:] = zero
            for i in range(weights.size):
                weight = weights[i]
                delta = deltas[i, r, start : start + size]
                for j in range(size):
                    sign[j] += weight * delta[j]
            for j in range(size):
                sign[j] = np.float32(sign[j] > zero) - np.float32(sign[j] < zero)
            for i in range(weights.size):
                own = shares[i, r]
                delta = deltas[i, r, start : start + size]
                for j in range(size):
                    # Times ±1, which rounds nothing; the product of two small entries could vanish.
                    along = sign[j] * delta[j]
                    share = own if along > zero else zero
                    agreed[j] += share * along
                    mass[j] += share
            before = base[r, start : start + size]
            after = out[r, start : start + size]
            for j in range(size):
                whole = mass[j] if divide and mass[j] > zero else one
                after[j] = before[j] + scale * (sign[j] * (agreed[j] / whole))


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

    out  [4 c] uint32: the words of counter first + j are 4 j … 4 j + 3
    """
    word = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    # All rounds of one counter before the next: the compiler works on several counters at once, in registers.
    for j in range(out.size // 4):
        counter = np.uint64(first) + np.uint64(j)
        x0 = counter & word
        x1 = counter >> half
        x2 = np.uint64(0)
        x3 = np.uint64(0)
        k0 = np.uint64(key) & word
        k1 = np.uint64(key) >> half
        for _ in range(10):
            a = np.uint64(0xD2511F53) * x0
            b = np.uint64(0xCD9E8D57) * x2
            x0 = (b >> half) ^ x1 ^ k0
            x2 = (a >> half) ^ x3 ^ k1
            x1 = b & word
            x3 = a & word
            k0 = (k0 + np.uint64(0x9E3779B9)) & word
            k1 = (k1 + np.uint64(0xBB67AE85)) & word
        out[4 * j] = np.uint32(x0)
        out[4 * j + 1] = np.uint32(x1)
        out[4 * j + 2] = np.uint32(x2)
        out[4 * j + 3] = np.uint32(x3)


@compiled
def drop(delta: Array, key: np.uint64, start: int, limit: np.uint64, factor: np.float32) -> None:
    """Keep each entry with probability limit / 2³², times `factor`; zero the others, in place.

    delta  [n] float32, of which the first is entry `start` of its tensor, a multiple of 4: an entry gets the
           same random word in whichever block it is
    """
    words = np.empty(CHUNK, np.uint32)
    zero = np.float32(0)
    for first in range(0, delta.size, CHUNK):
        philox((start + first) // 4, key, words)
        part = delta[first : first + CHUNK]
        for j in range(part.size):
            part[j] *= factor if np.uint64(words[j]) < limit else zero


@compiled
def ranking_keys(rows: Array, bits: np.uint32, out: Array) -> None:
    """Set out = whole numbers that sort nearly as the magnitudes of their row do, with the column in the lower bits.

    rows  [m, n] float32, n ≤ 2^bits
    out   [m, n] uint32: the upper 32 − bits of the 31 bits of the magnitude, above the column
    """
    column = np.uint32((1 << np.int64(bits)) - 1)
    for i in range(rows.shape[0]):
        values = rows[i].view(np.uint32)
        keys = out[i]
        for j in range(values.size):
            keys[j] = ((values[j] << np.uint32(1)) & ~column) | np.uint32(j)


@compiled
def insert(values: Array, keys: Array, j: int, column: np.uint32) -> int:
    """Move key j to its place among the keys before it that agree with it; return by how much."""
    moved = keys[j]
    size = values[moved & column] & ABS
    at = j
    # Equal keys were sorted by column, so that a strict comparison leaves equal magnitudes in place.
    while at > 0 and (keys[at - 1] ^ moved) <= column and (values[keys[at - 1] & column] & ABS) > size:
        keys[at] = keys[at - 1]
        at -= 1
    keys[at] = moved
    return j - at


@compiled
def sort_exactly(values: Array, keys: Array) -> None:
    """Set keys = columns in the order of all bits of their magnitudes."""
    whole = np.empty(keys.size, np.uint64)
    for j in range(keys.size):
        whole[j] = (np.uint64(values[j] & ABS) << np.uint64(32)) | np.uint64(j)
    whole.sort()
    for j in range(keys.size):
        keys[j] = np.uint32(whole[j] & np.uint64(0xFFFFFFFF))


@compiled
def settle_ranks(rows: Array, bits: np.uint32, order: Array) -> None:
    """Bring sorted ranking_keys into the exact order of magnitudes; among equals the first column is first.

    Only keys that agree in all bits of the magnitude that they have can be out of order, and they are neighbours. A row
    in which many do is sorted anew by all bits.

    rows   [m, n] float32
    order  [m, n] uint32, sorted ranking_keys
    """
    column = np.uint32((1 << np.int64(bits)) - 1)
    for i in range(rows.shape[0]):
        values = rows[i].view(np.uint32)
        keys = order[i]
        moves = 0
        for first in range(1, keys.size, RUN):
            after, before = keys[first : first + RUN], keys[first - 1 : first + RUN - 1]
            near = np.uint32(0)
            for j in range(after.size):
                near += np.uint32((after[j] ^ before[j]) <= column)
            if not near:
                continue
            for j in range(first, first + after.size):
                moves += insert(values, keys, j, column)
            if moves > 4 * keys.size:
                sort_exactly(values, keys)
                break


@compiled
def drop_by_rank(
    rows: Array, bits: np.uint32, order: Array, words: Array, limits: Array, factors: Array
) -> None:
    """Keep the entry of rank r in its row if its random word is below limits[r], times factors[r]; in place.

    rows     [m, n] float32
    order    [m, n] uint32, settled ranking_keys
    words    [m n] uint32, one per entry
    limits   [n] uint64, up to 2³²
    factors  [n] float32
    """
    column = np.uint32((1 << np.int64(bits)) - 1)
    width = rows.shape[1]
    for i in range(rows.shape[0]):
        row, keys = rows[i], order[i]
        drawn = words[i * width : (i + 1) * width]
        for rank in range(keys.size):
            at = keys[rank] & column
            # Half of these would be mispredicted as a branch, which costs more than a product with 0 or 1.
            row[at] *= factors[rank] * np.float32(np.uint64(drawn[at]) < limits[rank])
