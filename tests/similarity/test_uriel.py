"""URIEL similarity: vectors and families."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from merginguriel import locales
from merginguriel.cli.main import run
from merginguriel.errors import UsageError
from merginguriel.similarity import select, uriel
from merginguriel.tasks.registry import locales as task_locales


def test_every_locale_of_massive_has_all_features():
    massive = task_locales("massive")
    assert len(massive) > 49
    values = uriel.matrix(massive, massive)
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values, values.T)
    np.testing.assert_allclose(np.diag(values), 1)


@pytest.mark.parametrize(
    ("target", "near", "far"),
    [
        ("pt-PT", "es-ES", "fi-FI"),
        ("nb-NO", "da-DK", "ta-IN"),
        ("ms-MY", "id-ID", "de-DE"),
        ("cy-GB", "ga-IE", "ja-JP"),
    ],
)
def test_a_relative_is_nearer_than_a_stranger(target, near, far):
    column = uriel.column(target, [near, far])
    assert column[near] > column[far]


def test_the_cosine_is_that_of_the_shipped_features():
    rows, _ = uriel.features("inventory")
    with np.load(uriel.Path(uriel.__file__).with_name("uriel.npz")) as table:
        one, two = (table["inventory"][rows[c]].astype(float) for c in ("swh", "deu"))
    expected = one @ two / np.sqrt((one @ one) * (two @ two))
    assert uriel.matrix(["sw-KE"], ["de-DE"], ["inventory"])[0, 0] == pytest.approx(expected)


def test_several_sets_are_averaged_and_an_unknown_one_is_refused():
    one, two = (uriel.matrix(["sw-KE"], ["en-US"], [kind])[0, 0] for kind in ("syntax", "family"))
    assert uriel.matrix(["sw-KE"], ["en-US"], ["syntax", "family"])[0, 0] == pytest.approx((one + two) / 2)
    with pytest.raises(UsageError, match="unknown set of features 'genus'"):
        uriel.matrix(["sw-KE"], ["en-US"], ["genus"])


def test_every_locale_that_is_known_can_be_compared():
    known = list(locales.table())
    assert uriel.matrix(known, ["en-US"]).shape == (len(known), 1)


MATRICES = hnp.arrays(
    np.float64, st.tuples(st.integers(2, 6), st.integers(2, 6)), elements=st.floats(0.05, 1)
)


@given(MATRICES)
def test_sinkhorn_balances_rows_and_columns(values):
    found = select.sinkhorn(values, steps=2000)
    assert found.converged
    np.testing.assert_allclose(found.values.sum(axis=0), 1, atol=1e-9)
    np.testing.assert_allclose(found.values.sum(axis=1), values.shape[1] / values.shape[0], atol=1e-5)
    # Scaling rows and columns leaves every cross ratio as it was.
    ratios = [m[0, 0] * m[1, 1] / (m[0, 1] * m[1, 0]) for m in (found.values, values)]
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-6)


def test_a_matrix_without_a_scaling_says_that_it_did_not_converge():
    assert not select.sinkhorn(np.array([[1.0, 1.0], [0.0, 1.0]]), steps=50, tolerance=1e-9).converged


@given(MATRICES, st.integers(1, 6))
def test_the_k_largest_stay(values, k):
    kept = select.sparse(values, k)
    for before, after in zip(values.T, kept.T, strict=True):
        assert (after > 0).sum() == min(k, len(before))
        np.testing.assert_allclose(np.sort(after)[-1:], before.max())
        assert before[after > 0].min() >= before[after == 0].max(initial=0)


def test_a_sparse_table_names_the_nearest_first(tmp_path):
    sources, targets = ["de-DE", "en-US", "sv-SE"], ["da-DK", "sw-KE"]
    values = uriel.matrix(sources, targets)
    (tmp_path / "top.csv").write_text(select.sparse_csv(values, sources, targets, 2))
    with (tmp_path / "top.csv").open(newline="") as file:
        first = next(row for row in csv.DictReader(file) if row["target"] == "da-DK")
    assert first["source"] == "sv-SE" and float(first["similarity"]) == pytest.approx(values[2, 0], abs=1e-6)


def test_mu_similarity_ranks_by_both(tmp_path, capsys):
    (tmp_path / "mu.toml").write_text('context = "home/e5-small"\n')
    flags = ["--workspace", str(tmp_path), *(f"--source={s}" for s in ("de-DE", "sv-SE", "nb-NO", "fi-FI"))]
    assert run(["similarity", "--target", "da-DK", "--k", "2", "--json", *flags]) == 0
    found = json.loads(capsys.readouterr().out)["similarity"]["URIEL"]
    assert [one["source"] for one in found][-1] == "fi-FI"
    assert sum(one["weight"] for one in found) == pytest.approx(1)
    assert [one["weight"] > 0 for one in found] == [True, True, False, False]
    results = tmp_path / "results"
    results.mkdir()
    (results / "nxn-home-e5-small-dev.csv").write_text(
        "source,target,accuracy,n\nde-DE,da-DK,0.6,100\nfi-FI,da-DK,0.7,100\n"
    )
    assert run(["similarity", "--target", "da-DK", "--k", "1", *flags]) == 0
    text = capsys.readouterr().out
    assert "REAL" in text
    assert text.splitlines()[1].split()[4:] == ["fi-FI", "0.700", "1.000"]


def test_mu_similarity_balances_and_tells_what_it_has_not(tmp_path, capsys):
    (tmp_path / "mu.toml").write_text('context = "home/e5-small"\n')
    flags = ["--workspace", str(tmp_path), *(f"--source={s}" for s in ("de-DE", "sv-SE", "nb-NO", "fi-FI"))]
    assert run(["similarity", "--target", "da-DK", "--sinkhorn", *flags]) == 0
    captured = capsys.readouterr()
    assert "no REAL similarity" in captured.err
    assert captured.out.splitlines()[1].split()[1] in ("sv-SE", "nb-NO")


@pytest.mark.parametrize("task", ["massive", "home"])
def test_uriel_of_every_locale_of_a_task_is_written_whole_and_by_its_nearest(tmp_path, capsys, task):
    (tmp_path / "mu.toml").write_text(f'context = "{task}/e5-small"\n')
    known = task_locales(task)
    dense, top = tmp_path / "dense.csv", tmp_path / "new" / "top.csv"
    flags = ["--workspace", str(tmp_path), "--features", "syntax,family"]
    assert run(["similarity", "--matrix", "dense", "--out", str(dense), *flags]) == 0
    assert run(["similarity", "--matrix", "sparse", "--k", "3", "--out", str(top), *flags]) == 0
    with dense.open(encoding="utf-8", newline="") as file:
        rows = {row.pop("source"): row for row in csv.DictReader(file)}
    assert sorted(rows) == known and sorted(rows["de-DE"]) == known
    truth = uriel.column("sv-SE", known, ["syntax", "family"])
    assert {s: float(row["sv-SE"]) for s, row in rows.items()} == pytest.approx(truth, abs=1e-6)
    with top.open(encoding="utf-8", newline="") as file:
        pairs = list(csv.DictReader(file))
    assert len(pairs) == 3 * len(known) and all(one["source"] != one["target"] for one in pairs)
    mine = [(one["source"], one["rank"]) for one in pairs if one["target"] == "sv-SE"]
    best = sorted((s for s in truth if s != "sv-SE"), key=lambda s: -truth[s])[:3]
    assert [rank for _, rank in mine] == ["1", "2", "3"]
    assert [truth[s] for s, _ in mine] == pytest.approx([truth[s] for s in best])


def test_filter_balance_and_selection_combine(tmp_path, capsys):
    (tmp_path / "mu.toml").write_text('context = "home/e5-small"\n')
    names = ["da-DK", "de-DE", "fi-FI", "nb-NO", "sv-SE"]
    flags = ["--workspace", str(tmp_path), "--locales", ",".join(names), "--matrix"]

    def table(*more):
        assert run(["similarity", *flags, *more]) == 0
        captured = capsys.readouterr()
        found = list(csv.reader(captured.out.splitlines()))
        return np.array([[float(cell) for cell in row[1:]] for row in found[1:]]), captured.err

    filtered, _ = table("dense", "--nearest", "2")
    assert ((filtered > 0).sum(axis=0) == 2).all()
    both, result = table("dense", "--nearest", "3", "--sinkhorn", "--steps", "5000")
    assert "Sinkhorn converged" in result
    np.testing.assert_allclose(both.sum(axis=0), 1, atol=1e-5)
    # Finnish is among the three nearest of none of these, and so no source at all; the other four share alike.
    np.testing.assert_allclose(both.sum(axis=1), [1.25, 1.25, 0, 1.25, 1.25], atol=1e-5)
    assert "had not converged after 1 steps" in table("dense", "--sinkhorn", "--steps", "1")[1]
    assert run(["similarity", *flags, "sparse", "--k", "1", "--sinkhorn", "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)["lines"]
    assert lines[0] == ["source", "target", "similarity", "rank"] and len(lines) == 6


@pytest.mark.slow
def test_a_matrix_names_what_uriel_lacks_and_refuses_what_does_not_go_together(tmp_path, capsys):
    (tmp_path / "mu.toml").write_text('context = "home/e5-small"\n')
    flags = ["--workspace", str(tmp_path)]
    assert run(["similarity", "--matrix", "dense", "--locales", "all", *flags]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(locales.table())
    assert run(["similarity", *flags]) == 2
    assert "--target" in capsys.readouterr().err
    assert run(["similarity", "--target", "sv-SE", "--out", str(tmp_path / "x.csv"), *flags]) == 2
    assert "--matrix" in capsys.readouterr().err
