"""Do the methods of angles, spectra, neurons and layers do what their papers say?"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import one_tensor
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import polar
from scipy.optimize import minimize
from scipy.spatial import geometric_slerp

from merginguriel.errors import MuError, UsageError
from merginguriel.merging import registry
from merginguriel.merging.engine import merge_arrays
from merginguriel.merging.methods.layers import weights_at
from merginguriel.merging.recipe import Recipe, Source, check, dump_recipe, load_recipe

SPECTRAL = ("tsv", "iso_c", "iso_cts", "wudi")
ON_TASK_VECTORS = (*SPECTRAL, "doge", "model_stock", "directional_consensus", "neuromerging")
ALL = (*ON_TASK_VECTORS, "slerp", "nuslerp", "karcher", "layer_swap")
SHAPES = st.sampled_from([(6, 9), (9, 6), (7, 7)])


def models(shape: tuple[int, ...], count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A base, fine-tunes that have something in common, and unequal weights of sum 1."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=shape)
    shared = rng.normal(size=shape)
    tensors = base + 0.3 * (shared + rng.normal(size=(count, *shape)))
    weights = rng.uniform(0.2, 1, count)
    return base.astype(np.float32), tensors.astype(np.float32), weights / weights.sum()


apply = partial(one_tensor.apply, tensor="dense.weight")


def close(one: np.ndarray, two: np.ndarray, tolerance: float = 2e-5) -> None:
    np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance)


# --- what holds for all ---


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=20)
@given(shape=SHAPES, seed=st.integers(0, 999))
def test_a_model_merged_with_itself_is_itself(name: str, shape: tuple[int, ...], seed: int) -> None:
    base, tensors, _ = models(shape, 2, seed)
    params: dict[str, registry.Value] = {}
    if name in ("iso_c", "iso_cts", "tsv", "doge"):
        pytest.skip("changes the spectrum or the length of a single task vector too")
    if name == "neuromerging":
        params = {"mask_rate": 0.0, "lambda_1": 1.0}
    close(apply(name, base, np.stack([tensors[0]] * 2), **params), tensors[0], 1e-4)


@pytest.mark.parametrize("name", [name for name in ALL if name != "layer_swap"])
@settings(max_examples=20)
@given(shape=SHAPES, seed=st.integers(0, 999))
def test_the_order_of_sources_does_not_matter(name: str, shape: tuple[int, ...], seed: int) -> None:
    count = 2 if name == "slerp" else 4
    base, tensors, weights = models(shape, count, seed)
    order = np.random.default_rng(seed).permutation(count)
    close(apply(name, base, tensors, weights), apply(name, base, tensors[order], weights[order]), 1e-4)


@pytest.mark.parametrize("name", [name for name in ON_TASK_VECTORS if name != "model_stock"])
def test_a_scale_of_zero_gives_the_base(name: str) -> None:
    base, tensors, weights = models((6, 9), 3, 0)
    factor = {"iso_c": "alpha", "iso_cts": "alpha", "doge": "eta"}.get(name, "scale")
    np.testing.assert_array_equal(apply(name, base, tensors, weights, **{factor: 0.0}), base)


@pytest.mark.parametrize("name", [*SPECTRAL, "doge", "neuromerging"])
def test_what_is_no_matrix_of_a_dense_layer_gets_the_weighted_mean(name: str) -> None:
    for shape, tensor in (((12,), "norm.weight"), ((8, 4), "embeddings.word_embeddings.weight")):
        base, tensors, weights = models(shape, 3, 1)
        merged = apply(name, base, tensors, weights, tensor=tensor)
        close(merged, np.tensordot(weights, tensors, 1))


@pytest.mark.parametrize("name", ALL)
def test_a_source_that_equals_the_base_does_no_harm(name: str) -> None:
    base, tensors, _ = models((6, 9), 2, 2)
    merged = apply(name, base, np.stack([tensors[0], base]))
    assert np.isfinite(merged).all()
    assert np.abs(merged - base).max() <= 2.1 * np.abs(tensors[0] - base).max()


# --- arcs and angles ---


@given(share=st.floats(0, 1), seed=st.integers(0, 999))
def test_slerp_of_unit_vectors_is_scipys(share: float, seed: int) -> None:
    pair = np.random.default_rng(seed).normal(size=(2, 12))
    pair /= np.linalg.norm(pair, axis=1, keepdims=True)
    expected = geometric_slerp(pair[0], pair[1], share)
    for name in ("slerp", "nuslerp"):
        merged = apply(name, pair[0], pair.astype(np.float32), np.array([1 - share, share]))
        close(merged, expected, 1e-6)


def test_slerp_of_collinear_or_opposite_sources_is_their_weighted_mean() -> None:
    one = np.arange(1, 9, dtype=np.float32)
    for name in ("slerp", "nuslerp"):
        for other in (2 * one, -one, np.zeros_like(one)):
            merged = apply(name, one, np.stack([one, other]), np.array([0.25, 0.75]))
            close(merged, 0.25 * one + 0.75 * other)
    close(apply("karcher", one, np.stack([one, -one])), np.zeros_like(one))
    # Opposite, but not cancelling: the direction of the mean, as long as the sources are.
    close(apply("karcher", one, np.stack([one, -one]), np.array([0.25, 0.75])), -one)


def test_slerp_of_three_is_refused_and_names_how_many() -> None:
    with pytest.raises(UsageError, match="slerp merges 2 sources, and there are 3"):
        apply("slerp", *models((4, 4), 3, 0))


@settings(max_examples=15)
@given(count=st.integers(2, 5), seed=st.integers(0, 999))
def test_karcher_minimises_the_squared_angles(count: int, seed: int) -> None:
    # The definition of the mean, handed to an optimiser that knows nothing of spheres.
    _, tensors, weights = models((8,), count, seed)
    lengths = np.linalg.norm(tensors.astype(float), axis=1)
    units = tensors / lengths[:, None]
    start = weights @ units
    if (units @ start / np.linalg.norm(start)).min() < 0.1:
        return  # no mean that is sure to be the only one

    def loss(point: np.ndarray) -> float:
        return float(weights @ np.arccos(np.clip(units @ point / np.linalg.norm(point), -1, 1)) ** 2)

    found = minimize(loss, start, method="BFGS", options={"gtol": 1e-9}).x
    found *= weights @ lengths / np.linalg.norm(found)
    merged = apply("karcher", tensors[0], tensors, weights)
    close(merged, found, 1e-4)
    assert np.linalg.norm(merged) == pytest.approx(weights @ lengths, rel=1e-5)


def test_karcher_of_sources_that_point_apart_is_a_minimum_too() -> None:
    # A bias of few entries, as a new head has it. Shifts in every direction of the sphere are no better.
    for seed in range(20):
        draw = np.random.default_rng(seed)
        tensors = draw.standard_normal((5, 4)).astype(np.float32)
        units = tensors / np.linalg.norm(tensors, axis=1, keepdims=True)

        def loss(points: np.ndarray, units: np.ndarray = units) -> np.ndarray:
            cosines = (points / np.linalg.norm(points, axis=-1, keepdims=True)) @ units.T
            return (np.arccos(np.clip(cosines, -1, 1)) ** 2).mean(axis=-1)

        merged = apply("karcher", tensors[0], tensors)
        found = merged / np.linalg.norm(merged)
        around = found + 0.01 * draw.standard_normal((500, 4))
        assert loss(found) <= loss(around).min() and loss(found) <= loss(units.mean(axis=0))


def test_nuslerp_of_sources_of_one_length_is_karcher() -> None:
    _, tensors, weights = models((30,), 4, 5)
    tensors /= np.linalg.norm(tensors, axis=1, keepdims=True)
    close(apply("nuslerp", tensors[0], tensors, weights), apply("karcher", tensors[0], tensors, weights))


@settings(max_examples=20)
@given(count=st.integers(2, 5), seed=st.integers(0, 999))
def test_model_stock_is_the_formula_of_its_paper(count: int, seed: int) -> None:
    base, tensors, _ = models((6, 9), count, seed)
    deltas = torch.tensor(tensors - base, dtype=torch.float64).reshape(count, -1)
    pairs = [torch.cosine_similarity(deltas[i], deltas[j], dim=0) for i in range(count) for j in range(i)]
    cosine = torch.stack(pairs).mean().clamp(0, 1)
    ratio = count * cosine / ((count - 1) * cosine + 1)
    expected = ratio * tensors.mean(axis=0) + (1 - ratio) * base
    close(apply("model_stock", base, tensors), expected.numpy())


def test_model_stock_of_task_vectors_at_a_right_angle_is_the_base() -> None:
    base = np.ones(4, np.float32)
    close(apply("model_stock", base, base + np.eye(4, dtype=np.float32)[:2]), base)
    close(apply("model_stock", base, base + np.array([[1, 0, 0, 0], [-1, 0.1, 0, 0]], np.float32)), base)


@settings(max_examples=20)
@given(alpha=st.floats(0, 1), count=st.integers(1, 5), seed=st.integers(0, 999))
def test_directional_consensus_projects_on_the_direction_of_the_sum(
    alpha: float, count: int, seed: int
) -> None:
    base, tensors, weights = models((6, 9), count, seed)
    deltas = (tensors - base).astype(float).reshape(count, -1)
    direction = deltas.sum(axis=0) / np.linalg.norm(deltas.sum(axis=0))
    parts = (1 - alpha) * deltas + alpha * (deltas @ direction)[:, None] * direction
    expected = base + (weights @ parts).reshape(base.shape)
    close(apply("directional_consensus", base, tensors, weights, alpha=alpha), expected)


# --- neurons ---


def plain_neuromerging(base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, rate: float, along: float):
    """The algorithm of the paper, entry by entry, for one neuron: base [n], deltas [k, n]."""
    kept = deltas.astype(float).copy()
    sigma = 0.0
    for delta in kept:
        smallest = np.argsort(np.abs(delta), kind="stable")[: int(rate * delta.size)]
        sigma = max(sigma, np.abs(delta[smallest]).sum() / np.abs(delta).sum())
        delta[smallest] = 0
    parallel = np.outer(kept @ base / (base @ base), base)

    def elected(parts: np.ndarray) -> np.ndarray:
        sign = np.sign(weights @ parts)
        agree = weights[:, None] * ((np.sign(parts) == sign) & (parts != 0))
        return (agree * parts).sum(axis=0) / np.maximum(agree.sum(axis=0), 1e-300)

    return base + along * elected(parallel) + elected(kept - parallel) / (1 - sigma)


@settings(max_examples=20)
@given(rate=st.sampled_from([0.0, 0.15, 0.5]), along=st.sampled_from([0.0, 0.7]), seed=st.integers(0, 999))
def test_neuromerging_agrees_with_a_plain_reading(rate: float, along: float, seed: int) -> None:
    base, tensors, weights = models((5, 20), 3, seed)
    merged = apply("neuromerging", base, tensors, weights, mask_rate=rate, lambda_1=along)
    deltas = (tensors - base).astype(float)
    rows = [
        plain_neuromerging(base[i].astype(float), deltas[:, i], weights, rate, along)
        for i in range(len(base))
    ]
    close(merged, np.stack(rows), 1e-4)


def test_neuromerging_without_the_parallel_part_stays_across_the_neuron() -> None:
    base, tensors, _ = models((5, 20), 1, 3)
    change = apply("neuromerging", base, tensors) - base
    assert np.abs(np.einsum("rn,rn->r", change, base)).max() < 1e-4


# --- spectra ---


def torch_tsv(deltas: np.ndarray) -> np.ndarray:
    """Algorithm 1 of Gargiulo et al. with torch's SVD and, for the nearest orthogonal matrix, scipy's polar."""
    count, kept = len(deltas), min(deltas.shape[1:]) // len(deltas)
    parts = [torch.linalg.svd(torch.tensor(d, dtype=torch.float64), full_matrices=False) for d in deltas]
    u = torch.cat([u[:, :kept] for u, _, _ in parts], dim=1).numpy()
    s = torch.cat([s[:kept] for _, s, _ in parts]).numpy()
    v = torch.cat([v[:kept].T for _, _, v in parts], dim=1).numpy()
    assert u.shape[1] == count * kept
    return polar(u)[0] @ np.diag(s) @ polar(v)[0].T


@settings(max_examples=20)
@given(shape=SHAPES, count=st.integers(1, 3), seed=st.integers(0, 999))
def test_tsv_is_the_algorithm_of_its_paper(shape: tuple[int, ...], count: int, seed: int) -> None:
    base, tensors, _ = models(shape, count, seed)
    close(apply("tsv", base, tensors), base + torch_tsv(tensors - base), 1e-4)


def test_tsv_of_one_source_is_the_source() -> None:
    base, tensors, _ = models((6, 9), 1, 4)
    close(apply("tsv", base, tensors), tensors[0])


@settings(max_examples=20)
@given(shape=SHAPES, count=st.integers(1, 4), seed=st.integers(0, 999))
def test_iso_c_is_the_algorithm_of_its_paper(shape: tuple[int, ...], count: int, seed: int) -> None:
    base, tensors, _ = models(shape, count, seed)
    u, s, v = torch.linalg.svd(torch.tensor((tensors - base).sum(axis=0), dtype=torch.float64), False)
    close(apply("iso_c", base, tensors, alpha=0.9), base + 0.9 * (s.mean() * u @ v).numpy(), 1e-4)


@settings(max_examples=20)
@given(shape=SHAPES, common=st.sampled_from([0.0, 0.5, 1.0]), seed=st.integers(0, 999))
def test_iso_cts_is_the_algorithm_of_its_paper(shape: tuple[int, ...], common: float, seed: int) -> None:
    count = 2
    base, tensors, _ = models(shape, count, seed)
    deltas = torch.tensor(tensors - base, dtype=torch.float64)
    rank = min(shape)
    own = int((1 - common) * rank) // count
    shared = rank - own * count
    u, s, v = torch.linalg.svd(deltas.sum(dim=0), full_matrices=False)
    lefts, sizes, rights = [u[:, :shared]], [s[:shared]], [v[:shared]]
    for delta in deltas:
        rest = delta - lefts[0] @ lefts[0].T @ delta
        u, s, v = torch.linalg.svd(rest, full_matrices=False)
        lefts.append(u[:, :own])
        sizes.append(s[:own])
        rights.append(v[:own])
    left, right = polar(torch.cat(lefts, 1).numpy())[0], polar(torch.cat(rights).T.numpy())[0]
    expected = base + 0.9 * float(torch.cat(sizes).mean()) * left @ right.T
    close(apply("iso_cts", base, tensors, common=common, alpha=0.9), expected, 1e-4)


def test_iso_c_leaves_directions_that_no_source_changed() -> None:
    base, tensors, _ = models((6, 9), 3, 6)
    tensors[:, 2] = base[2]
    np.testing.assert_allclose(apply("iso_c", base, tensors)[2], base[2], atol=1e-6)


def test_two_like_sources_are_merged_by_tsv_as_one_direction_each() -> None:
    base, tensors, _ = models((6, 9), 1, 7)
    u, s, v = np.linalg.svd((tensors[0] - base).astype(float), full_matrices=False)
    close(apply("tsv", base, np.stack([tensors[0]] * 2)), base + u[:, :3] * s[:3] @ v[:3], 1e-4)


def torch_doge(deltas: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """DOGE TA with torch's SVD, gradients and Adam: 100 steps, a subspace of half the rank, the trim in each matrix."""
    vectors = torch.tensor(deltas, dtype=torch.float64)
    count, rank = len(vectors), min(vectors.shape[1:])
    factors = torch.tensor(0.07 * count * weights) / vectors.flatten(1).norm(dim=1)
    own = [torch.linalg.svd(v, full_matrices=False)[0][:, : rank // count] for v in vectors]
    shared = torch.linalg.svd(torch.cat(own, dim=1), full_matrices=False)[0][:, : rank // 2]
    change = torch.zeros_like(vectors[0], requires_grad=True)
    optimiser = torch.optim.Adam([change], lr=1e-3)
    for _ in range(100):
        optimiser.zero_grad()
        merged = (factors[:, None, None] * (vectors + change)).sum(dim=0)
        (vectors * (vectors - merged)).sum(dim=2).square().sum().backward()
        assert change.grad is not None
        change.grad -= shared @ (shared.T @ change.grad)
        optimiser.step()
    merged = torch.zeros_like(vectors[0])
    for factor, vector in zip(factors, vectors, strict=True):
        threshold = vector.abs().flatten().topk(int(0.3 * vector.numel())).values[-1]
        merged += factor * (vector + change.detach()) * (vector.abs() >= threshold)
    return merged.numpy()


@settings(max_examples=20)
@given(shape=st.sampled_from([(12, 18), (18, 12)]), seed=st.integers(0, 999))
def test_doge_is_the_algorithm_of_its_authors(shape: tuple[int, ...], seed: int) -> None:
    base, tensors, weights = models(shape, 3, seed)
    merged = apply("doge", base, tensors, weights, subspace=2, steps=100, lr=1e-3)
    close(merged, base + torch_doge(tensors - base, weights), 1e-4)


@pytest.mark.slow
@settings(max_examples=10)
@given(shape=SHAPES, seed=st.integers(0, 999))
def test_wudi_reaches_a_lower_loss_than_the_adam_of_its_paper(shape: tuple[int, ...], seed: int) -> None:
    base, tensors, _ = models(shape, 3, seed)
    deltas = torch.tensor(tensors - base, dtype=torch.float64)
    norms = deltas.square().sum(dim=(1, 2))

    def loss(merged: torch.Tensor) -> torch.Tensor:
        inner = torch.matmul(merged - deltas, deltas.transpose(1, 2))
        return (inner.square() / norms[:, None, None]).sum()

    adam = deltas.sum(dim=0).clone().requires_grad_(True)
    # Entries here are some 0.4, not 0.0001, and the step grows with them.
    optimiser = torch.optim.Adam([adam], lr=1e-2)
    for _ in range(300):
        optimiser.zero_grad()
        loss(adam).backward()
        optimiser.step()
    merged = apply("wudi", base, tensors, ridge=1e-6)
    ours = float(loss(torch.tensor(merged - base, dtype=torch.float64)))
    assert ours <= float(loss(adam.detach())) * (1 + 1e-3) + 1e-6


# --- layers ---


def stack_of_layers(value: float, count: int = 6) -> dict[str, np.ndarray]:
    names = ["embeddings.weight", *(f"layer.{i}.weight" for i in range(count)), "classifier.weight"]
    return {name: np.full((2, 3), value, np.float32) for name in names}


def merged_layers(method: str, sources: dict[str, float], **fields: object) -> list[float]:
    """Value of the embeddings, of each of six layers and of the head, for sources that are constants."""
    listed = tuple(Source(name, Path()) for name in sources)
    params = {key: fields.pop(key) for key in list(fields) if key in ("outer", "bottom", "top", "blend")}
    recipe = Recipe(method, listed, params, base=Path(), **fields)
    tensors = {name: stack_of_layers(value) for name, value in sources.items()}
    merged = merge_arrays(recipe, tensors, stack_of_layers(0.0))
    return [float(merged[name][0, 0]) for name in stack_of_layers(0)]


def test_layer_swap_takes_the_outer_layers_from_one_source() -> None:
    swapped = merged_layers("layer_swap", {"sv": 1.0, "task": 3.0}, outer="sv", bottom=1, top=2)
    assert swapped == [1, 1, 3, 3, 3, 1, 1, 1]
    blended = merged_layers("layer_swap", {"sv": 1.0, "task": 3.0}, outer="task", bottom=1, top=1, blend=1)
    assert blended == [3, 3, 2, 1, 1, 2, 3, 3]


def test_layer_swap_among_three_takes_the_mean_of_the_others_in_the_middle() -> None:
    assert merged_layers("layer_swap", {"a": 1.0, "b": 3.0, "c": 5.0}, outer="a") == [1, 1, 1, 4, 4, 1, 1, 1]


def test_lines_grows_linearly_from_the_mean_to_the_sum() -> None:
    rng = np.random.default_rng(3)
    names = [
        "embeddings.word_embeddings.weight",
        *(f"encoder.layer.{i}.dense.weight" for i in range(4)),
        "pooler.weight",
    ]
    base = {name: rng.normal(size=(5, 3)).astype(np.float32) for name in names}
    sources = {
        s: {n: v + rng.normal(size=v.shape).astype(np.float32) for n, v in base.items()} for s in "abc"
    }
    weights = {"a": 0.5, "b": 0.2, "c": 0.3}
    listed = tuple(Source(s, Path(), w) for s, w in weights.items())
    merged = merge_arrays(Recipe("lines", listed, {"first": 0.8, "last": 0.9}, base=Path()), sources, base)
    for name, value in base.items():
        total = 3 * sum(w * (sources[s][name] - value) for s, w in weights.items())
        layer = int(name.split(".")[2]) if "layer" in name else 0
        # The paper's α is 0.8 / 3 and its α + β is 0.9.
        close(merged[name], value + (0.8 / 3 + (0.9 - 0.8 / 3) * layer / 3) * total)


def test_lines_of_factor_one_in_all_layers_is_task_arithmetic() -> None:
    base, tensors, weights = models((6, 9), 3, 2)
    tensor = "encoder.layer.2.dense.weight"
    ours = apply("lines", base, tensors, weights, tensor=tensor, last=1 / 3)
    close(ours, apply("task_arithmetic", base, tensors, weights, tensor=tensor))


# --- negative weights ---


@settings(max_examples=20)
@given(weights=st.lists(st.floats(-2, 2, width=32), min_size=3, max_size=3).filter(lambda w: max(w) > 0))
def test_language_arithmetic_adds_and_subtracts_by_weights_as_given(weights: list[float]) -> None:
    base, tensors, _ = models((6, 9), 3, 8)
    merged = apply("language_arithmetic", base, tensors, np.array(weights), scale=0.5)
    close(merged, base + 0.5 * np.tensordot(weights, tensors - base, 1))


def test_subtracting_what_was_added_gives_the_first_source() -> None:
    base, tensors, _ = models((6, 9), 2, 9)
    three = np.stack([tensors[0], tensors[1], tensors[1]])
    close(apply("language_arithmetic", base, three, np.array([1.0, 1.0, -1.0])), tensors[0])


def test_a_source_that_is_subtracted_has_no_share_in_a_mean(tmp_path: Path) -> None:
    listed = tuple(Source(name, Path(), weight) for name, weight in (("a", 1.0), ("b", 2.0), ("c", -1.0)))
    recipe = Recipe("language_arithmetic", listed, base=Path(), exclude=("norm*",), excluded="mean")
    _, tensors, _ = models((6, 9), 3, 1)
    held = {name: {"norm": value, "dense": value} for name, value in zip("abc", tensors, strict=True)}
    merged = merge_arrays(recipe, held, {"norm": tensors[0], "dense": tensors[0]})
    close(merged["norm"], (tensors[0] + 2 * tensors[1]) / 3)
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(check(recipe), tmp_path), encoding="utf-8")
    assert [source.weight for source in load_recipe(path).sources] == [1.0, 2.0, -1.0]


@pytest.mark.parametrize(
    ("method", "weights", "fault"),
    [
        ("linear", (1.0, -1.0), "the weight of b is -1.0"),
        ("language_arithmetic", (0.0, -1.0), "no weight is above 0"),
        ("language_arithmetic", (1.0, float("inf")), "the weight of b is inf"),
    ],
)
def test_weights_that_a_method_cannot_use_are_refused(
    method: str, weights: tuple[float, ...], fault: str
) -> None:
    listed = tuple(Source(name, Path(), weight) for name, weight in zip("ab", weights, strict=True))
    with pytest.raises(UsageError, match=fault):
        check(Recipe(method, listed, base=Path()))


def test_layer_swap_with_a_source_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UsageError) as caught:
        merged_layers("layer_swap", {"sv": 1.0, "task": 3.0}, outer="sw")
    assert "sv, task" in caught.value.render()


@pytest.mark.parametrize("method", ["linear", "task_arithmetic"])
def test_layer_weights_are_spread_over_the_layers(method: str) -> None:
    given_weights = {"a": (1.0, 0.0), "b": (0.0, 1.0)}
    merged = merged_layers(method, {"a": 0.0, "b": 10.0}, layer_weights=given_weights)
    np.testing.assert_allclose(merged, [0, 0, 2, 4, 6, 8, 10, 10], atol=1e-5)


@given(layers=st.integers(1, 30), count=st.integers(1, 9), data=st.data())
def test_layer_weights_have_the_sum_one_and_stay_constant_where_they_are(
    layers: int, count: int, data: st.DataObject
) -> None:
    layer = data.draw(st.integers(-1, layers))
    found = weights_at({"a": [3.0] * count, "b": [1.0]}, ["a", "b"], layer, layers)
    np.testing.assert_allclose(found, [0.75, 0.25], rtol=1e-6)


def test_layer_weights_survive_the_recipe_file(tmp_path: Path) -> None:
    table = {"a": (1.0, 0.5), "b": (0.0, 0.5)}
    recipe = check(Recipe("linear", (Source("a", tmp_path), Source("b", tmp_path)), layer_weights=table))
    (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe, tmp_path))
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"a": (1.0,)}, "b has no weights"),
        ({"a": (1.0,), "b": (1.0,), "c": (1.0,)}, "c is not a source"),
        ({"a": (1.0,), "b": (-1.0,)}, "weights of b"),
        ({"a": (), "b": (1.0,)}, "weights of a"),
    ],
)
def test_impossible_layer_weights_are_refused(table: dict[str, tuple[float, ...]], fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        merged_layers("linear", {"a": 1.0, "b": 2.0}, layer_weights=table)


def test_layer_weights_that_are_no_numbers_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("method: linear\nlayer_weights:\n  a: [1, much]\nsources:\n  - {name: a, path: a}\n")
    with pytest.raises(MuError, match="a must be a number") as caught:
        load_recipe(path)
    assert caught.value.where == f"{path}:3"


# --- several matrices at once ---


@pytest.mark.parametrize("name", ["tsv", "iso_c", "wudi", "knots_ties"])
def test_matrices_merged_side_by_side_are_those_merged_one_by_one(name: str) -> None:
    rng = np.random.default_rng(0)
    shapes = {f"encoder.layer.{i}.dense.weight": (8 + i, 12) for i in range(5)} | {"norm.weight": (7,)}
    base = {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}
    sources = {
        s: {k: v + rng.normal(size=v.shape).astype(np.float32) for k, v in base.items()} for s in "abc"
    }
    recipe = Recipe(name, tuple(Source(s, Path()) for s in sources), base=Path())
    done: list[int] = []
    one = merge_arrays(recipe, sources, base, threads=1)
    four = merge_arrays(recipe, sources, base, threads=4, on_progress=lambda n, *_: done.append(n))
    for key in base:
        np.testing.assert_array_equal(one[key], four[key])
    assert done == sorted(done) and done[-1] == sum(v.size for v in base.values())
