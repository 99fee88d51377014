"""Do the methods that drop, mask or select entries keep the promises of their papers, and their chances?"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import one_tensor
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from one_tensor import some_weights
from scipy import stats

from merginguriel.errors import UsageError
from merginguriel.merging import executor
from merginguriel.merging.engine import merge_arrays
from merginguriel.merging.methods.della import keep_chances
from merginguriel.merging.recipe import Recipe, Source
from merginguriel.merging.registry import Value

METHODS = {  # each with parameters that leave every entry as it was, where there are such
    "dare_linear": {"density": 1.0},
    "dare_ties": {"density": 1.0},
    "della": {"density": 1.0},
    "della_linear": {"density": 1.0},
    "breadcrumbs": {"density": 1.0},
    "breadcrumbs_ties": {"density": 1.0},
    "sce": {"select_topk": 1.0},
    "pcb": {"density": 1.0},
    "consensus": {"strictness": 0.0},
    "localise": {"strictness": 0.0},
    "fisher_simple": {},
    "ram": {"threshold": 0.0},
    "ram+": {"threshold": 0.0},
}
WITHOUT_SCALE = ("ram", "ram+")
ON_THE_SUM = ("breadcrumbs", "consensus")  # their factor is the paper's α on k times the mean
RANDOM = ["dare_linear", "dare_ties", "della", "della_linear"]
SHAPE = (12, 40)


def apply(name: str, *given: Any, **params: Any) -> np.ndarray:
    """Merge one tensor; DELLA's own default scale is 1.1."""
    return one_tensor.apply(
        name, *given, **({"scale": 1.0, **params} if name.startswith("della") else params)
    )


def example(count: int = 3, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """Task vectors against a base of zeros, so that no subtraction rounds."""
    rng = np.random.default_rng(seed)
    return np.zeros(shape, np.float32), rng.standard_normal((count, *shape), dtype=np.float32)


def mean_of(name: str, count: int) -> dict[str, Value]:
    """The factor with which a method that adds a sum adds the mean of `count` task vectors."""
    return {"alpha": 1 / count} if name in ON_THE_SUM else {}


def close(ours: np.ndarray, expected: torch.Tensor) -> None:
    np.testing.assert_allclose(ours, expected.numpy(), rtol=1e-5, atol=1e-6)


def ties_mean(deltas: torch.Tensor, weights: np.ndarray, shares: torch.Tensor | None = None) -> torch.Tensor:
    """TIES steps two and three as its paper words them: elect the sign of the sum, average who has it."""
    weighted = torch.tensor(weights).reshape(-1, *[1] * (deltas.dim() - 1))
    sign = torch.sign((weighted * deltas).sum(0))
    agree = (torch.sign(deltas) == sign) & (deltas != 0)
    counted = (weighted if shares is None else shares) * agree
    return (counted * deltas).sum(0) / counted.sum(0).where(agree.any(0), torch.ones(()).double())


# --- what all of them promise ---


@pytest.mark.parametrize("name", METHODS)
@given(base=hnp.arrays(np.float32, (3, 4), elements=st.floats(-10, 10, width=32)), count=st.integers(1, 4))
@settings(max_examples=20)
def test_equal_inputs_are_left_as_they_are(name: str, base: np.ndarray, count: int) -> None:
    np.testing.assert_array_equal(apply(name, base, np.stack([base] * count)), base)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_the_order_of_sources_changes_no_byte(name: str) -> None:
    base, deltas = example(4)
    weights = some_weights(4)
    one = apply(name, base, deltas, weights)
    np.testing.assert_array_equal(one, apply(name, base, deltas, weights, order=[2, 0, 3, 1]))


@pytest.mark.parametrize("name", [name for name in METHODS if name not in (*RANDOM, "localise")])
def test_no_source_is_preferred_for_its_name(name: str) -> None:
    # The random methods draw by name, and localise prefers the target: there the names matter.
    base, deltas = example(4)
    weights, turned = some_weights(4), [2, 0, 3, 1]
    one, two = apply(name, base, deltas, weights), apply(name, base, deltas[turned], weights[turned])
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in WITHOUT_SCALE])
def test_a_scale_of_zero_gives_the_base(name: str) -> None:
    _, tensors = example()
    base = tensors[0] + 1
    factor = "alpha" if name in ON_THE_SUM else "scale"
    np.testing.assert_array_equal(apply(name, base, tensors, **{factor: 0.0}), base)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "pcb"])
def test_one_source_of_which_nothing_is_dropped_is_itself(name: str) -> None:
    # Not so in pcb: the last of the competition always loses.
    base, deltas = example(1)
    merged = apply(name, base, deltas, **METHODS[name], **mean_of(name, 1))
    np.testing.assert_allclose(merged, deltas[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "whole", "params"),
    [
        ("dare_linear", "task_arithmetic", {}),
        ("della_linear", "task_arithmetic", {}),
        ("breadcrumbs", "task_arithmetic", {}),
        ("consensus", "task_arithmetic", {}),
        ("dare_ties", "ties", {"density": 1.0}),
        ("della", "ties", {"density": 1.0}),
        ("breadcrumbs_ties", "ties", {"density": 1.0}),
    ],
)
def test_a_method_that_drops_nothing_is_the_method_without_drops(
    name: str, whole: str, params: dict[str, Value]
) -> None:
    base, deltas = example()
    weights = some_weights(3)
    ours = apply(name, base, deltas, weights, **METHODS[name], **mean_of(name, 3))
    np.testing.assert_allclose(ours, apply(whole, base, deltas, weights, **params), rtol=2e-6, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [name for name in METHODS if name not in ("fisher_simple", "localise", "consensus", *WITHOUT_SCALE)],
)
def test_a_density_of_zero_gives_the_base(name: str) -> None:
    base, deltas = example()
    key = next(iter(METHODS[name]))
    np.testing.assert_array_equal(apply(name, base, deltas, **{key: 0.0}), base)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", [(50, 30), (7, 33), (1601,), (3, 5, 20), (2, 1), ()])
def test_blocks_and_threads_change_no_byte(
    name: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, deltas = example(shape=shape)
    one = apply(name, base, deltas, threads=1)
    np.testing.assert_array_equal(one, apply(name, base, deltas, threads=3))
    monkeypatch.setattr(executor, "BLOCK", 64)
    np.testing.assert_array_equal(one, apply(name, base, deltas, threads=3))


def test_tiny_task_vectors_do_not_vanish() -> None:
    base, deltas = example()
    for name in METHODS:
        one = apply(name, base, deltas, **METHODS[name])
        tiny = apply(name, base, deltas * np.float32(2**-60), **METHODS[name])
        # tanh is not linear, so that small task vectors compete a little differently.
        tolerance = 0.5 if name == "pcb" else 1e-5
        assert np.abs(tiny * 2.0**60 - one).max() <= tolerance * np.abs(one).max(), name


# --- chance ---


def kept_share(name: str, params: dict[str, Value], seed: int = 0) -> np.ndarray:
    """Where one source's entries survive."""
    base, deltas = example(1, shape=(500, 400))
    return apply(name, base, deltas, seed=seed, **params) != 0


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("density", [0.02, 0.5, 0.93])
def test_the_share_that_survives_is_the_density(name: str, density: float) -> None:
    kept = kept_share(name, {"density": density})
    assert abs(kept.mean() - density) < 5 * (density * (1 - density) / kept.size) ** 0.5


@pytest.mark.parametrize("name", RANDOM)
def test_what_survives_keeps_the_expectation_unless_told_not_to(name: str) -> None:
    base, deltas = example(1, shape=(500, 400))
    deltas = np.abs(deltas)
    merged = apply(name, base, deltas, density=0.4)
    spread = merged.std() / merged.size**0.5
    assert abs(merged.mean() - deltas.mean()) < 5 * spread
    plain = apply(name, base, deltas, density=0.4, rescale=False)
    np.testing.assert_array_equal(plain[plain != 0], deltas[0][plain != 0])


def test_every_seed_source_and_tensor_draws_anew() -> None:
    recipe = Recipe(
        "dare_linear", (Source("s0", Path()), Source("s1", Path())), {"density": 0.5}, base=Path()
    )
    zero = np.zeros((200, 100), np.float32)
    kept = []
    for seed, source, tensor in [(0, "s0", "w"), (1, "s0", "w"), (0, "s1", "w"), (0, "s0", "v")]:
        sources = {name: {"v": zero, "w": zero} for name in ("s0", "s1")}
        sources[source] = {**sources[source], tensor: zero + 1}
        merged = merge_arrays(replace(recipe, seed=seed), sources, {"v": zero, "w": zero})
        kept.append(merged[tensor].ravel() != 0)
    for one, other in combinations(kept, 2):
        table = np.histogram2d(one, other, bins=2)[0]
        assert stats.chi2_contingency(table).pvalue > 1e-4


def test_della_keeps_by_rank_as_its_paper_says() -> None:
    kept = kept_share("della_linear", {"density": 0.5, "epsilon": 0.6})
    _, deltas = example(1, shape=(500, 400))
    ranks = np.abs(deltas[0]).argsort(axis=1).argsort(axis=1)
    chances = 0.5 - 0.3 + 0.6 * np.arange(400) / 399
    np.testing.assert_allclose(chances, keep_chances(400, 0.5, 0.6))
    observed = np.bincount(ranks.ravel(), kept.ravel(), minlength=400)
    expected, spread = 500 * chances, 500 * chances * (1 - chances)
    assert stats.chi2.sf(((observed - expected) ** 2 / spread).sum(), 400) > 1e-4


def test_della_divides_what_survives_by_its_own_chance() -> None:
    base, deltas = example(1)
    merged = apply("della_linear", base, deltas, density=0.5, epsilon=0.6)
    ranks = np.abs(deltas[0]).argsort(axis=1).argsort(axis=1)
    chances = (0.2 + 0.6 * ranks / (SHAPE[1] - 1)).astype(np.float64)
    kept = merged != 0
    np.testing.assert_allclose(merged[kept], (deltas[0] / chances)[kept], rtol=1e-6)


def test_della_ranks_equal_magnitudes_by_position() -> None:
    base = np.zeros((400, 300), np.float32)
    merged = apply("della_linear", base, base[None] - 1, density=0.5, epsilon=0.4)
    expected = 1 / keep_chances(300, 0.5, 0.4)
    row, column = np.nonzero(merged)
    np.testing.assert_allclose(-merged[row, column], expected[column], rtol=1e-6)


@pytest.mark.parametrize(("della", "dare"), [("della", "dare_ties"), ("della_linear", "dare_linear")])
def test_della_without_epsilon_is_dare(della: str, dare: str) -> None:
    base, deltas = example(shape=(50, 33))
    np.testing.assert_array_equal(
        apply(della, base, deltas, density=0.3, epsilon=0.0), apply(dare, base, deltas, density=0.3)
    )


@pytest.mark.parametrize(("density", "epsilon"), [(0.95, 0.2), (0.05, 0.2), (0.5, 1.0)])
def test_dellas_chances_stay_chances_with_the_density_as_mean(density: float, epsilon: float) -> None:
    for width in (1, 2, 768):
        chances = keep_chances(width, density, epsilon)
        assert chances.min() >= 0
        assert chances.max() <= 1
        assert chances.mean() == pytest.approx(density)


# --- against a plain reading of the papers ---


@pytest.mark.parametrize("name", RANDOM)
def test_the_random_methods_merge_what_survives(name: str) -> None:
    base, deltas = example(4)
    weights = some_weights(4)
    # What survives of each source is seen where all others are zero: the words depend on names, not on values.
    alone = []
    for i in range(4):
        only = np.zeros_like(deltas)
        only[i] = deltas[i]
        linear = "dare_linear" if name.startswith("dare") else "della_linear"
        alone.append(apply(linear, base, only, weights, density=0.6) / weights[i])
    survived = torch.tensor(np.stack(alone), dtype=torch.float64)
    mean = (torch.tensor(weights).reshape(-1, 1, 1) * survived).sum(0)
    expected = mean if name.endswith("linear") else ties_mean(survived, weights)
    close(apply(name, base, deltas, weights, density=0.6, scale=0.7), 0.7 * expected)


@pytest.mark.parametrize("name", ["breadcrumbs", "breadcrumbs_ties"])
@pytest.mark.parametrize(
    ("density", "gamma"), [(0.3, 0.1), (0.9, 0.01), (0.5, 0.0), (0.8, 0.5), (0.001, 0.1)]
)
def test_breadcrumbs_loses_both_ends(name: str, density: float, gamma: float) -> None:
    base, deltas = example()
    weights = some_weights(3)
    size = deltas[0].size
    kept = max(int(density * size), 1)
    top = min(int(gamma * size), size - kept)
    trimmed = torch.tensor(deltas, dtype=torch.float64).reshape(3, size)
    for delta in trimmed:
        ranks = delta.abs().argsort().argsort()
        delta[(ranks >= size - top) | (ranks < size - top - kept)] = 0
        assert (delta != 0).sum() == kept
    trimmed = trimmed.reshape(3, *SHAPE)
    mean = (torch.tensor(weights).reshape(-1, 1, 1) * trimmed).sum(0)
    shares = {"density": density, "gamma": gamma}
    if name == "breadcrumbs":
        close(apply(name, base, deltas, weights, **shares, alpha=0.7), 0.7 * 3 * mean)
    else:
        close(apply(name, base, deltas, weights, **shares, scale=0.7), 0.7 * ties_mean(trimmed, weights))


@pytest.mark.parametrize("select_topk", [0.1, 0.5, 1.0])
def test_sce_selects_calculates_and_erases(select_topk: float) -> None:
    base, deltas = example(4)
    weights = some_weights(4)
    expected = []
    for row in torch.tensor(deltas, dtype=torch.float64).unbind(1):
        chosen = row.var(0, unbiased=False).topk(int(select_topk * SHAPE[1])).indices
        selected = torch.zeros_like(row)
        selected[:, chosen] = row[:, chosen]
        energy = torch.tensor(weights) * (selected**2).sum(1)
        expected.append(ties_mean(selected, weights, (energy / energy.sum()).reshape(-1, 1)))
    close(
        apply("sce", base, deltas, weights, select_topk=select_topk, scale=0.7), 0.7 * torch.stack(expected)
    )


def test_sce_selects_the_first_of_equals_and_nothing_that_does_not_vary() -> None:
    base = np.zeros((2, 6), np.float32)
    deltas = np.array([[[1, 2, 2, 2, 5, 5], [3] * 6], [[0, 0, 0, 0, 5, 5], [3] * 6]], np.float32)
    merged = apply("sce", base, deltas, select_topk=0.5)
    np.testing.assert_array_equal(merged, [[0, 2, 2, 0, 0, 0], [0] * 6])


@pytest.mark.parametrize("name", WITHOUT_SCALE)
def test_ram_averages_what_several_changed_and_leaves_the_rest_whole(name: str) -> None:
    base, deltas = example(4)
    weights = some_weights(4)
    deltas *= np.random.default_rng(5).random(deltas.shape) < 0.3
    expected = np.zeros(SHAPE)
    for row in range(SHAPE[0]):
        changed = np.abs(deltas[:, row]) > 0.1
        alone = changed & (changed.sum(0) == 1)
        for column in range(SHAPE[1]):
            who = np.flatnonzero(changed[:, column])
            if len(who) > 1:
                expected[row, column] = np.average(deltas[who, row, column], weights=weights[who])
            elif len(who):
                shared, own = (changed & ~alone)[who[0]].sum(), alone[who[0]].sum()
                factor = 1 + 0.5 * min(shared / own, 1) if name == "ram+" else 1
                expected[row, column] = factor * deltas[who[0], row, column]
    params = {"threshold": 0.1, **({"boost": 0.5} if name == "ram+" else {})}
    np.testing.assert_allclose(apply(name, base, deltas, weights, **params), expected, rtol=1e-5, atol=1e-6)


def test_ram_plus_without_a_boost_is_ram() -> None:
    base, deltas = example(3)
    deltas *= np.random.default_rng(1).random(deltas.shape) < 0.4
    np.testing.assert_array_equal(apply("ram+", base, deltas, boost=0.0), apply("ram", base, deltas))


@pytest.mark.parametrize("density", [0.1, 0.6, 1.0])
def test_pcb_lets_entries_compete(density: float) -> None:
    base, deltas = example(3)
    weights = some_weights(3)
    rows = torch.tensor(deltas, dtype=torch.float64)
    size = rows.abs()
    low, high = size.amin(-1, keepdim=True), size.amax(-1, keepdim=True)
    intra = torch.exp(3 * ((size - low) / (high - low)) ** 2)
    scores = intra * torch.tanh(rows * rows.sum(0))
    first = scores.sort(-1).values[..., int(SHAPE[1] * (1 - density))].unsqueeze(-1)
    top = scores.amax(-1, keepdim=True)
    shares = (scores.clamp(min=first) - first) / (top - first) * torch.tensor(weights).reshape(-1, 1, 1)
    expected = (shares * rows).sum(0) / shares.sum(0).clamp(min=1e-12)
    close(apply("pcb", base, deltas, weights, density=density, scale=0.7), 0.7 * expected)


@pytest.mark.parametrize(("agree", "strictness"), [(1, 0.4), (2, 0.4), (3, 0.2), (9, 0.3)])
def test_consensus_keeps_what_enough_sources_claim(agree: int, strictness: float) -> None:
    base, deltas = example(4)
    vectors = torch.tensor(deltas, dtype=torch.float64)
    total = vectors.sum(0)
    claims = (vectors.abs() >= strictness * (total - vectors).abs()).sum(0)
    expected = 0.3 * total * (claims >= min(agree, 4))
    close(apply("consensus", base, deltas, agree=agree, strictness=strictness, alpha=0.3), expected)


def test_localise_keeps_what_the_targets_own_model_claims() -> None:
    base, deltas = example(4)
    vectors = torch.tensor(deltas, dtype=torch.float64)
    total = vectors.sum(0)
    mask = vectors[0].abs() >= 0.6 * (total - vectors[0]).abs()
    close(apply("localise", base, deltas, strictness=0.6), total * mask)


@pytest.mark.parametrize(("target", "fault"), [(None, "whose entries"), ("sw-KE", "sw-KE is not among")])
def test_localise_without_the_targets_model_says_so(target: str | None, fault: str) -> None:
    base, deltas = example(2)
    sources = {name: {"w": delta} for name, delta in zip("ab", deltas, strict=True)}
    recipe = Recipe("localise", tuple(Source(name, Path()) for name in "ab"), base=Path(), target=target)
    with pytest.raises(UsageError, match=fault) as caught:
        merge_arrays(recipe, sources, {"w": base})
    assert caught.value.hint


def test_fisher_simple_is_its_formula() -> None:
    base, deltas = example(4)
    weights = some_weights(4)
    vectors = torch.tensor(deltas, dtype=torch.float64)
    counted = torch.tensor(weights).reshape(-1, 1, 1) * vectors.abs()
    close(
        apply("fisher_simple", base, deltas, weights, scale=0.7),
        0.7 * (counted * vectors).sum(0) / counted.sum(0),
    )
