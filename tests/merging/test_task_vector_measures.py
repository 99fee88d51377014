"""Are the measures of fit what numpy and their papers say, and do weights made of them behave?"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tiny_models import LABELS, bert, plain, with_words

from merginguriel.errors import IncompatibleError, UnavailableError, UsageError
from merginguriel.files import csv_lines
from merginguriel.merging import task_vector_measures
from merginguriel.similarity import choice, compat


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three small classifiers, not in the order of their names, and a base."""
    root = tmp_path_factory.mktemp("models")
    return {name: bert(root / name, seed) for seed, name in enumerate(("sv", "base", "de", "fr"))}


def flat(folder: Path, wanted: str = "") -> np.ndarray:
    tensors = load_file(folder / "model.safetensors")
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors) if wanted in name]).astype(float)


def sources(folders: dict[str, Path]) -> dict[str, Path]:
    return {name: folder for name, folder in folders.items() if name != "base"}


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        ("model", ""),
        ("layer 0", "layer.0."),
        ("embeddings", "embeddings"),
        ("head", "classifier"),
        ("other", "pooler"),
    ],
)
def test_cosine_and_conflict_are_numpys(folders: dict[str, Path], part: str, wanted: str) -> None:
    found = task_vector_measures.task_vectors(sources(folders), folders["base"])
    assert found.names == ("sv", "de", "fr")
    base = flat(folders["base"], wanted)
    for i, one in enumerate(found.names):
        for j, other in enumerate(found.names):
            a, b = flat(folders[one], wanted) - base, flat(folders[other], wanted) - base
            cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b) if a.any() and b.any() else np.nan
            both = (a != 0) & (b != 0)
            opposite = np.sign(a) * np.sign(b) < 0
            mass = np.abs(a * b)
            expected = {
                "cosine": cosine,
                "sign_conflict": opposite.sum() / both.sum() if both.any() else np.nan,
                "weighted_sign_conflict": mass[opposite].sum() / mass.sum() if mass.sum() else np.nan,
            }
            for measure, value in expected.items():
                np.testing.assert_allclose(found.matrix(measure, part)[i, j], value, rtol=1e-5, atol=1e-6)


def test_threads_change_nothing(folders: dict[str, Path]) -> None:
    one, many = (
        task_vector_measures.task_vectors(sources(folders), folders["base"], threads=n) for n in (1, 3)
    )
    for measure in task_vector_measures.MEASURES:
        for part, matrix in one.matrices[measure].items():
            np.testing.assert_array_equal(matrix, many.matrix(measure, part))


def test_heads_are_compared_label_by_label(tmp_path: Path, folders: dict[str, Path]) -> None:
    tensors = load_file(folders["de"] / "model.safetensors")
    turned = {n: t[::-1].copy() if "classifier" in n else t for n, t in tensors.items()}
    labels = {"de": LABELS, "turned": LABELS[::-1], "base": LABELS}
    given_tensors = {
        "de": tensors,
        "turned": turned,
        "base": load_file(folders["base"] / "model.safetensors"),
    }
    paths = {name: with_words(plain(tmp_path / name, given_tensors[name], labels[name])) for name in labels}
    found = task_vector_measures.task_vectors({n: paths[n] for n in ("de", "turned")}, paths["base"])
    np.testing.assert_allclose(found.matrix("cosine", "head"), 1, atol=1e-6)


def test_models_that_do_not_fit_are_refused_as_in_a_merge(tmp_path: Path, folders: dict[str, Path]) -> None:
    other = bert(tmp_path / "wide", 1, hidden_size=20)
    with pytest.raises(IncompatibleError):
        task_vector_measures.task_vectors({"de": folders["de"], "wide": other}, folders["base"])


def test_an_unknown_part_is_answered_with_those_there_are(folders: dict[str, Path]) -> None:
    found = task_vector_measures.task_vectors(sources(folders), folders["base"])
    with pytest.raises(UsageError) as caught:
        found.matrix("cosine", "layer 9")
    assert "layer 0" in caught.value.render()


def test_a_source_that_equals_the_base_has_no_cosine(tmp_path: Path, folders: dict[str, Path]) -> None:
    shutil.copytree(folders["base"], tmp_path / "same")
    found = task_vector_measures.task_vectors(
        {"de": folders["de"], "same": tmp_path / "same"}, folders["base"]
    )
    assert np.isnan(found.matrix("cosine")[0, 1])
    assert found.matrix("cosine")[0, 0] == pytest.approx(1)


# --- CKA ---


def plain_cka(one: np.ndarray, two: np.ndarray) -> float:
    """HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)) with linear kernels, as Kornblith et al. write it."""
    n = len(one)
    centre = np.eye(n) - np.ones((n, n)) / n

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        return float(np.trace(k @ centre @ m @ centre)) / (n - 1) ** 2

    k, m = one @ one.T, two @ two.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


@settings(deadline=None)
@given(seed=st.integers(0, 999), width=st.integers(1, 6))
def test_cka_is_the_ratio_of_its_paper_and_ignores_rotation_and_scale(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.normal(size=(9, 5)) + 3, rng.normal(size=(9, width)) - 2
    assert compat.cka(one, two) == pytest.approx(plain_cka(one, two))
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    assert compat.cka(7 * one @ rotation + 4, one) == pytest.approx(1)


def test_cka_of_a_representation_that_never_changes_has_no_value() -> None:
    assert np.isnan(compat.cka(np.ones((4, 3)), np.eye(4)))


# --- weights ---


def test_weights_are_similarity_times_the_mean_fit_with_the_others() -> None:
    matrix = np.array([[1, 0.8, 0.2], [0.8, 1, 0.6], [0.2, 0.6, 1]])
    column = {"a": 0.5, "b": 0.25, "c": 0.5}
    found = compat.weights(column, matrix, ["a", "b", "c"])
    expected = np.array([0.5 * 0.5, 0.25 * 0.7, 0.5 * 0.4])
    np.testing.assert_allclose(list(found.values()), expected / expected.sum())


def test_an_equal_fit_leaves_the_weights_of_similarity() -> None:
    column = {"a": 0.5, "b": 0.25, "c": 0.4}
    found = compat.weights(column, np.full((3, 3), 0.3), ["a", "b", "c"])
    assert found == pytest.approx(choice.shares(column, ["a", "b", "c"]))


def test_weights_where_nothing_fits_or_nothing_is_known_are_still_weights() -> None:
    column = {"a": 0.5, "b": 0.25}
    assert compat.weights(column, -np.ones((2, 2)), ["a", "b"]) == {"a": 0.5, "b": 0.5}
    unknown = compat.weights(column, np.full((2, 2), np.nan), ["a", "b"])
    assert unknown == pytest.approx(choice.shares(column, ["a", "b"]))
    assert compat.weights(column, np.eye(1), ["a"]) == {"a": 1.0}
    with pytest.raises(UnavailableError, match="of c"):
        compat.weights(column, np.eye(2), ["a", "c"])


# --- the file ---


def test_a_matrix_comes_back_from_its_file(tmp_path: Path) -> None:
    matrix = np.array([[1, 1 / 3], [1 / 3, np.nan]])
    compat.save(tmp_path / "m.csv", ["sv-SE", "de-DE"], matrix)
    head, *rows = csv_lines(tmp_path / "m.csv")
    assert head == ["source", "sv-SE", "de-DE"] and [row[0] for row in rows] == head[1:]
    found = [[float(cell or "nan") for cell in row[1:]] for row in rows]
    np.testing.assert_array_equal(found, matrix)
