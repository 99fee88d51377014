"""Do the methods keep the promises of their papers, whatever the numbers?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from one_tensor import apply, some_weights

from merginguriel.errors import UsageError
from merginguriel.merging import methods, registry
from merginguriel.merging.registry import Param

FLOATS = st.floats(-10, 10, width=32)
METHODS = {name: chosen for name, chosen in registry.all_methods().items() if not chosen.needs}
STACKS = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6)), elements=FLOATS
)


def test_the_four_methods_are_found_without_being_named_anywhere() -> None:
    assert set(METHODS) >= {"average", "linear", "task_arithmetic", "ties"}
    for name, chosen in METHODS.items():
        assert chosen.paper
        assert chosen.summary
        assert chosen.saw == ("labels" if name == "localise" else "nothing")
    assert {name for name, chosen in METHODS.items() if chosen.needs_base} >= {"task_arithmetic", "ties"}


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
@given(base=hnp.arrays(np.float32, (3, 4), elements=FLOATS), count=st.integers(1, 5))
def test_equal_inputs_are_left_as_they_are(name: str, base: np.ndarray, count: int) -> None:
    least, most = METHODS[name].sources
    count = min(max(count, least), most or max(count, least))
    weights = some_weights(count) if METHODS[name].weighted else np.ones(count)
    merged = apply(name, base, np.stack([base] * count), weights)
    np.testing.assert_allclose(merged, base, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("name", ["average", "linear", "task_arithmetic"])
@given(
    model=hnp.arrays(np.float32, (3, 4), elements=FLOATS),
    base=hnp.arrays(np.float32, (3, 4), elements=FLOATS),
)
def test_a_model_merged_with_itself_is_itself(name: str, model: np.ndarray, base: np.ndarray) -> None:
    merged = apply(name, base, np.stack([model] * 3), np.ones(3))
    np.testing.assert_allclose(merged, model, rtol=1e-5, atol=1e-5)


# Not for methods that draw or choose by name, nor for scores whose rounding decides which of equals is kept.
@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in METHODS if not METHODS[n].facts and n not in ("sce", "pcb")])
@given(tensors=STACKS, data=st.data())
def test_the_order_of_sources_does_not_matter(name: str, tensors: np.ndarray, data: st.DataObject) -> None:
    signs = name in ("ties", "breadcrumbs_ties")
    if signs:
        # Where rounding decides between + and −, the order may; eighths make every sum exact.
        tensors = np.round(tensors * 8) / np.float32(8)
    if name in ("karcher", "nuslerp"):
        tensors = np.abs(
            tensors
        )  # a mean of directions is the only one if all are within a right angle of it
    least, most = METHODS[name].sources
    tensors = np.concatenate([tensors, tensors[::-1] / 2])[:most] if len(tensors) < least else tensors[:most]
    count = len(tensors)
    weights = np.ones(count, np.float32) if name == "average" or signs else some_weights(count)
    if signs and count == 3:
        weights = np.array([1, 1, 2], np.float32)
    order = data.draw(st.permutations(range(count)))
    base = np.ones(tensors.shape[1:], np.float32)
    one = apply(name, base, tensors, weights)
    two = apply(name, base, tensors[list(order)], weights[list(order)])
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)


@given(tensors=STACKS, scale=st.floats(0.1, 2))
def test_a_scale_of_zero_gives_the_base(tensors: np.ndarray, scale: float) -> None:
    base = np.full(tensors.shape[1:], scale, np.float32)
    for name in ("task_arithmetic", "ties"):
        np.testing.assert_array_equal(apply(name, base, tensors, some_weights(len(tensors)), scale=0.0), base)


@given(model=hnp.arrays(np.float32, (4, 5), elements=FLOATS))
def test_ties_of_one_source_untrimmed_is_the_source(model: np.ndarray) -> None:
    merged = apply("ties", np.ones((4, 5), np.float32), model[None], np.ones(1), density=1.0)
    np.testing.assert_allclose(merged, model, rtol=1e-5, atol=1e-5)


@given(tensors=STACKS)
def test_task_arithmetic_with_scale_one_is_linear(tensors: np.ndarray) -> None:
    weights, base = some_weights(len(tensors)), np.full(tensors.shape[1:], 0.5, np.float32)
    one, two = (apply(name, base, tensors, weights) for name in ("task_arithmetic", "linear"))
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)


@given(tensors=STACKS, density=st.floats(0, 1), seed=st.integers(0, 99))
def test_ties_agrees_with_a_plain_reading_of_the_paper(
    tensors: np.ndarray, density: float, seed: int
) -> None:
    # Distinct magnitudes, so that which entries are the largest is not a matter of taste.
    rng = np.random.default_rng(seed)
    deltas = rng.permuted(np.arange(1, tensors.size + 1, dtype=np.float32)).reshape(tensors.shape) / 7
    deltas *= np.where(tensors < 0, -1, 1).astype(np.float32)
    base = rng.normal(size=tensors.shape[1:]).astype(np.float32)
    weights = some_weights(len(tensors), seed)
    merged = apply("ties", base, base + deltas, weights, density=density, scale=0.7)

    share = torch.tensor(weights / weights.sum(), dtype=torch.float64)
    trimmed = []
    for delta in torch.tensor((base + deltas) - base, dtype=torch.float64):
        kept = torch.zeros(delta.numel(), dtype=torch.float64)
        count = max(int(density * delta.numel()), 1 if density > 0 else 0)
        largest = delta.abs().flatten().topk(count).indices
        kept[largest] = delta.flatten()[largest]
        trimmed.append(kept.reshape(delta.shape))
    expected = torch.tensor(base, dtype=torch.float64)
    for position in np.ndindex(*base.shape):
        column = torch.stack([delta[position] for delta in trimmed])
        sign = torch.sign((share * column).sum())
        agree = (torch.sign(column) == sign) & (column != 0)
        if agree.any():
            expected[position] += 0.7 * (share * column)[agree].sum() / share[agree].sum()
    np.testing.assert_allclose(merged, expected.numpy(), rtol=1e-4, atol=1e-4)


def test_ties_on_the_example_of_its_paper() -> None:
    # Two sources agree on +, one is against: what disagrees is left out (figure 1 of the paper).
    deltas = np.array([[3.0, -2.0], [1.0, 0.5], [-2.0, -1.0]], np.float32)
    merged = apply("ties", np.zeros(2, np.float32), deltas, np.ones(3), density=1.0)
    np.testing.assert_allclose(merged, [2.0, -1.5], rtol=1e-6)


@given(hnp.arrays(np.float32, (5, 8), elements=st.sampled_from([-2.0, -1.0, 1.0, 2.0])), st.floats(0, 1))
def test_the_trim_keeps_the_share_it_says_and_the_largest(delta: np.ndarray, density: float) -> None:
    # One source and a base of zeros: what is merged is the trimmed task vector itself.
    before = delta
    delta = apply("ties", np.zeros_like(delta), delta[None], np.ones(1), density=density)
    kept = delta != 0
    assert kept.sum() == (max(int(density * delta.size), 1) if density else 0)
    np.testing.assert_array_equal(delta[kept], before[kept])
    assert not kept.any() or np.abs(before[kept]).min() >= np.abs(before[~kept]).max(initial=0)


def test_an_exact_tie_of_signs_leaves_the_base() -> None:
    merged = apply(
        "ties", np.zeros(1, np.float32), np.array([[1.0], [-1.0]], np.float32), np.ones(2), density=1.0
    )
    assert merged == [0.0]


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        ({"density": 1.5}, "out of range"),
        ({"density": float("nan")}, "out of range"),
        ({"density": "much"}, "'much'"),
        ({"density": True}, "True"),
        ({"densty": 0.5}, "no parameter 'densty'"),
    ],
)
def test_an_impossible_parameter_is_refused(params: dict[str, registry.Value], fault: str) -> None:
    with pytest.raises(UsageError, match=fault) as caught:
        registry.complete(registry.get("ties"), params)
    assert "density" in caught.value.render()


def test_an_unknown_method_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        registry.get("tie")
    assert "Did you mean ties?" in caught.value.render()


def test_a_file_put_into_the_folder_is_a_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loudest.py").write_text(
        "from merginguriel.merging.registry import Param, method\n\n"
        "@method('loudest', paper='none', factor=Param(1.0, low=0))\n"
        "def loudest(tensors, weights, *, factor):\n"
        "    'The source of most weight, times a factor.'\n"
        "    return tensors[weights.argmax()] * factor\n"
    )
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    registry.all_methods.cache_clear()
    try:
        merged = apply("loudest", np.zeros(2), np.array([[1, 2], [3, 4]]), np.array([1, 3]), factor=2)
        np.testing.assert_array_equal(merged, [6, 8])
    finally:
        registry.registered.pop("loudest", None)
        registry.all_methods.cache_clear()


def test_a_method_whose_parameters_do_not_match_its_function_is_refused() -> None:
    def lonely(tensors: np.ndarray, weights: np.ndarray, *, factor: float) -> np.ndarray:
        return tensors[0] * weights[0] * factor

    with pytest.raises(TypeError, match="factor"):
        registry.method("lonely", paper="none", factr=Param(1.0))(lonely)
    assert "lonely" not in registry.all_methods()
