"""`mu ensemble`: cached logits, statistics beside every difference, damaged files."""

from __future__ import annotations

import numpy as np
import pytest

from merginguriel.evaluation import predict
from merginguriel.stats import holm

pytestmark = pytest.mark.lab
TARGETS = ("--target", "de-DE", "--target", "en-US", "--target", "sv-SE")


@pytest.fixture
def scored(trained):
    """Three trained models, every answer kept."""
    assert trained.mu("nxn").code == 0
    return trained


def test_ensembles_are_scored_without_running_a_model(scored, monkeypatch):
    monkeypatch.setattr(predict, "open_model", lambda *a: pytest.fail("a model was run"))
    result = scored.mu("ensemble", "--target", "de-DE", "--json")
    assert result.code == 0
    (one,) = result.data
    assert one["sources"] and "de-DE" not in one["sources"] and one["mode"] == "ExcTar"
    assert list(one["methods"]) == ["majority", "weighted_majority", "soft", "uriel_logits", "real_logits"]
    assert one["lacking"] == ["average_merge", "pretrained_base"]
    for found in one["methods"].values():
        assert 0 <= found["accuracy"] <= 1 and "mde" in found["comparison"] and found["goal"]["number"] == 1
    text = scored.mu("ensemble", "score", "--target", "de-DE")
    assert "real_logits" in text.out and "goal 1" in text.out and "best_zero_shot" in text.out


def test_the_own_model_is_in_it_when_asked(scored):
    (one,) = scored.mu(
        "ensemble", "--target", "de-DE", "--mode", "IncTar", "--k", "1", "--method", "soft", "--json"
    ).data
    assert one["sources"] == ["de-DE"] and one["methods"]["soft"]["goal"]["number"] == 2
    assert one["methods"]["soft"]["accuracy"] == one["baselines"]["target_alone"]["value"]


def test_methods_are_compared_over_targets_with_holm_and_detectable_effects(scored):
    result = scored.mu("ensemble", "compare", *TARGETS, "--method", "soft", "--json")
    assert result.code == 0 and result.data["against"] == "best_single_source"
    found = result.data["methods"]["soft"]
    ps = [
        c["comparison"]["p"] if c["comparison"]["p_groups"] is None else c["comparison"]["p_groups"]
        for c in found["targets"].values()
    ]
    assert [c["p_holm"] for c in found["targets"].values()] == holm(ps)
    differences = [c["comparison"]["difference"] for c in found["targets"].values()]
    assert found["mean_pp"] == pytest.approx(np.mean(differences))
    text = scored.mu("ensemble", "compare", *TARGETS, "--method", "soft", "--against", "majority")
    assert "soft − majority" in text.out and "p (Holm)" in text.out and "sees" in text.out


def test_a_truncated_logits_file_is_computed_again_and_said_so(scored):
    before = scored.mu("ensemble", *TARGETS, "--json").data
    for path in sorted((scored.root / "predictions").iterdir())[:3]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    again = scored.mu("ensemble", *TARGETS, "--json")
    assert again.code == 0 and again.data == before
    assert again.err.count("is computed again") == 3
    assert "is computed again" not in scored.mu("ensemble", *TARGETS, "--json").err


def test_what_cannot_be_asked_is_refused(scored):
    result = scored.mu("ensemble", "--target", "de-DE", "--source", "fr-FR")
    assert result.code == 3 and "mu train" in result.err
    result = scored.mu("ensemble", "compare", "--target", "de-DE", "--method", "soft", "--against", "soft")
    assert result.code == 2 and "itself" in result.err
    result = scored.mu("ensemble", "--target", "de-DE", "--k", "9")
    assert result.code == 2
