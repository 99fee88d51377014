"""Are kept variances those of the same evidence, to the last bit, and of no other?"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from merginguriel.decision import estimate, variance_cache
from merginguriel.decision.evidence import noise

from .dense import some_features
from .test_estimate import observation

FOUND = [
    observation(target, method, gain, sd)
    for target, method, gain, sd in (
        ("sw-KE", "ties", 2.0, 1.0), ("sw-KE", "ties", 1.0, 0.7), ("cy-GB", "average", -1.0, 0.9),
        ("vi-VN", "similarity", 0.3, 1.1),
    )
]  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def fit(found, keep=True):
    return estimate.fit(found, noise(found), some_features([o.arm for o in found]), keep=keep)


def told(model):
    return estimate.predict(model, FOUND[0].arm, np.zeros(2))


def test_the_second_answer_is_the_first_to_the_last_bit_and_takes_no_step(monkeypatch):
    first = fit(FOUND)
    monkeypatch.setattr(estimate, "_settle", None)  # were it called, this would fail
    second = fit(FOUND)
    assert second.variances == first.variances and told(second) == told(first)


def test_it_is_what_is_fitted_without_a_cache():
    fit(FOUND)
    assert told(fit(FOUND)) == told(fit(FOUND, keep=False))


@pytest.mark.parametrize(
    "change",
    [
        lambda o: replace(o, gain_pp=o.gain_pp + 1e-9),
        lambda o: replace(o, variance=o.variance + 1e-9),
        lambda o: replace(o, arm=replace(o.arm, params=(("density", "0.2"),))),
        lambda o: replace(o, row=replace(o.row, baseline=0.6)),
    ],
)
def test_any_change_of_the_evidence_is_fitted_anew(change):
    other = [change(FOUND[0]), *FOUND[1:]]
    fit(FOUND)
    assert fit(other).variances == fit(other, keep=False).variances
    assert len(list(variance_cache.place("x").parent.glob("*.json"))) == 2


def test_other_features_are_fitted_anew():
    known = some_features([o.arm for o in FOUND])
    fit(FOUND)
    estimate.fit(FOUND, noise(FOUND), known + 1, keep=True)
    assert len(list(variance_cache.place("x").parent.glob("*.json"))) == 2


def test_the_program_that_fits_is_part_of_the_key(monkeypatch):
    arguments = [o.arm for o in FOUND], np.zeros(4), noise(FOUND), np.zeros((4, 2))
    before = variance_cache.digest(*arguments)
    monkeypatch.setattr(variance_cache, "FITTING", ("covariance.py",))
    assert variance_cache.digest(*arguments) != before


def test_a_damaged_cache_is_fitted_anew():
    first = fit(FOUND)
    (path,) = variance_cache.place("x").parent.glob("*.json")
    (key,) = json.loads(path.read_text())
    wrong = ("", "[]", "{}", json.dumps({key: [1.0]}), json.dumps({key: [-1.0] * len(estimate.EFFECTS)}),
             json.dumps({key: "NaN"}), json.dumps({key: [float("nan")] * 9}), "\udcff")  # fmt: skip
    for text in wrong:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        assert fit(FOUND).variances == first.variances


def test_where_nothing_can_be_kept_it_is_fitted(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert fit(FOUND).variances == fit(FOUND, keep=False).variances


def test_the_oldest_of_many_fits_gives_way():
    for number in range(variance_cache.KEPT + 3):
        variance_cache.remember(f"{number:064x}"[::-1], np.ones(2))
    assert len(list(variance_cache.place("x").parent.glob("*.json"))) == variance_cache.KEPT
