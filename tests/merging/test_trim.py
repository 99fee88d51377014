"""Does a trim keep exactly the ranks that it says, however large the tensor and however many entries are equal?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.errors import UsageError
from merginguriel.merging import compiled_loops, executor, trim
from merginguriel.merging.engine import merge_arrays
from merginguriel.merging.recipe import Recipe, Source


def kept_by_ties(
    deltas: dict[str, np.ndarray], density: float, scope: str = "tensor"
) -> dict[str, np.ndarray]:
    """The trimmed task vector of one source: base 0, one source, so that the merge is what survives."""
    recipe = Recipe("ties", (Source("a", Path()),), {"density": density}, base=Path(), trim_scope=scope)
    zero = {name: np.zeros_like(delta) for name, delta in deltas.items()}
    return merge_arrays(recipe, {"a": deltas}, zero)


def largest(delta: np.ndarray, count: int) -> np.ndarray:
    """What numpy's stable sort keeps: the `count` largest magnitudes, the first among equals."""
    order = np.argsort(-np.abs(delta).astype(np.float64), axis=None, kind="stable")[:count]
    kept = np.zeros_like(delta)
    kept.flat[order] = delta.flat[order]
    return kept


@given(
    seed=st.integers(0, 999),
    size=st.integers(1, 5000),
    density=st.floats(0, 1),
    grid=st.sampled_from([0.0, 0.1, 0.5, 10.0]),
)
def test_the_largest_stay_and_the_first_among_equals(
    seed: int, size: int, density: float, grid: float
) -> None:
    delta = np.random.default_rng(seed).standard_normal(size, dtype=np.float32)
    if grid:
        delta = np.round(delta / np.float32(grid)) * np.float32(grid)
    count = max(int(density * size), 1) if density else 0
    np.testing.assert_array_equal(kept_by_ties({"w": delta}, density)["w"], largest(delta, count))


@pytest.mark.parametrize("grid", [0.0, 0.01, 1.0])
def test_a_tensor_of_many_blocks_is_trimmed_as_a_whole(grid: float) -> None:
    delta = np.random.default_rng(1).standard_normal(executor.BLOCK * 18 + 77, dtype=np.float32)
    if grid:
        delta = np.round(delta / np.float32(grid)) * np.float32(grid)
    np.testing.assert_array_equal(kept_by_ties({"w": delta}, 0.2)["w"], largest(delta, int(0.2 * delta.size)))


def test_a_sample_that_misleads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    delta = np.random.default_rng(1).standard_normal(executor.BLOCK * 18, dtype=np.float32)
    right = kept_by_ties({"w": delta}, 0.2)["w"]
    found = trim.measure

    def misled(*arguments: object) -> list[trim.Band]:
        return found(*arguments[:-1], lambda _: np.full(1000, np.float32(9).view(np.uint32)))

    monkeypatch.setattr(trim, "measure", misled)
    np.testing.assert_array_equal(kept_by_ties({"w": delta}, 0.2)["w"], right)


def test_the_scope_model_trims_all_tensors_by_one_threshold() -> None:
    rng = np.random.default_rng(2)
    deltas = {
        name: rng.standard_normal(size, dtype=np.float32) * scale
        for name, size, scale in (("a", 3000, 1), ("b", executor.BLOCK * 2, 0.1), ("c", 7, 5))
    }
    merged = kept_by_ties(deltas, 0.3, "model")
    whole = np.concatenate([deltas[name] for name in "abc"])
    expected = largest(whole, int(0.3 * whole.size))
    np.testing.assert_array_equal(np.concatenate([merged[name] for name in "abc"]), expected)


def test_the_number_of_threads_changes_no_byte() -> None:
    rng = np.random.default_rng(3)
    sources = {n: {"w": rng.standard_normal((300, 1000), dtype=np.float32)} for n in "abc"}
    base = {"w": rng.standard_normal((300, 1000), dtype=np.float32)}
    recipe = Recipe("ties", tuple(Source(n, Path()) for n in "abc"), base=Path())
    one, four = (merge_arrays(recipe, sources, base, threads=n)["w"] for n in (1, 4))
    np.testing.assert_array_equal(one, four)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [  # from the known answers of the authors' Random123 library
        (0, 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ],
)
def test_random_words_are_the_known_answers_of_philox(counter: int, key: int, words: str) -> None:
    out = np.zeros(4, np.uint32)
    compiled_loops.philox(counter, np.uint64(key), out)
    assert [f"{word:08x}" for word in out.tolist()] == words.split()


@pytest.mark.parametrize("kind", ["normal", "one bin", "few values", "zeros"])
@pytest.mark.parametrize("width", [1, 2, 100, 768, 5000])
def test_ranks_are_those_of_a_stable_sort(kind: str, width: int) -> None:
    rng = np.random.default_rng(width)
    rows = rng.standard_normal((7, width)).astype(np.float32)
    if kind == "one bin":
        rows = (1e-4 * (1 - 1e-7 * rng.random((7, width)))).astype(np.float32) * np.sign(rows)
    elif kind != "normal":
        rows = np.round(rows) if kind == "few values" else 0 * rows
    bits = np.uint32(max(width - 1, 1).bit_length())
    order = np.empty(rows.shape, np.uint32)
    compiled_loops.ranking_keys(rows, bits, order)
    order.sort(axis=-1)
    compiled_loops.settle_ranks(rows, bits, order)
    columns = order & np.uint32((1 << int(bits)) - 1)
    np.testing.assert_array_equal(columns, np.argsort(np.abs(rows), axis=-1, kind="stable"))


def test_models_in_memory_that_a_recipe_does_not_name_are_left_alone() -> None:
    rng = np.random.default_rng(4)
    sources = {n: {"w": rng.standard_normal((3, 4), dtype=np.float32)} for n in "abc"}
    two = Recipe("average", (Source("a", Path()), Source("c", Path())))
    mean = (sources["a"]["w"] + sources["c"]["w"]) / 2
    np.testing.assert_allclose(merge_arrays(two, sources)["w"], mean, rtol=1e-6)
    with pytest.raises(UsageError, match="model d of the recipe"):
        merge_arrays(Recipe("average", (Source("a", Path()), Source("d", Path()))), sources)
