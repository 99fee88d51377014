"""The log proposes what its skills do not state yet."""

from __future__ import annotations

import pytest
from conftest import row

from merginguriel.knowledge.skills.proposals import proposals

TARGETS = ("sw-KE", "cy-GB", "sq-AL", "vi-VN")


def ids(bench):
    return [p.id for p in proposals(bench.load())]


@pytest.fixture
def gains(bench):
    """Four targets on which the merge is 8 pp above the best source, in a research skill's workspace."""
    bench.entry(*(row(target, 0.56, 0.48) for target in TARGETS))
    path = bench.skill()
    text = path.read_text(encoding="utf-8").replace('domain: "workflow"', 'domain: "research"')
    extra = "## Results Summary\n\n-\n\n## Recommended"
    text = text.replace("## Recommended", extra)
    text = text.replace("## References", "## Failure Modes\n\n-\n\n## Configuration\n\n-\n\n## References")
    path.write_text(text, encoding="utf-8")
    return bench


GAIN = "similarity-real-above-best-single-source-massive-xlm-roberta-base-exctar"


def test_a_comparison_outside_noise_that_no_claim_states_is_proposed(gains):
    (found,) = proposals(gains.load())
    assert (found.id, found.kind, found.skill) == (GAIN, "comparison", "a-skill")
    assert "8.0 pp above the best single source" in found.what and "+- id:" in found.diff


def test_a_comparison_within_noise_or_on_two_targets_is_not_proposed(bench):
    bench.entry(*(row(target, 0.481, 0.48) for target in TARGETS))
    assert ids(bench) == []
    bench.entry(*(row(target, 0.56, 0.48) for target in TARGETS[:2]))
    assert ids(bench) == []


def test_an_accepted_proposal_becomes_a_supported_claim_and_raises_the_version(gains, mu):
    told = mu("skills", "propose", "--accept", GAIN, "--workspace", gains.root)
    assert told.code == 0, told.err
    knowledge = gains.load()
    assert knowledge.standings[GAIN].status == "supported"
    assert knowledge.skill("a-skill").version == "1.1.0"
    assert ids(gains) == []


def test_new_rows_in_the_scope_of_a_claim_are_proposed_as_evidence(gains, mu):
    mu("skills", "propose", "--accept", GAIN, "--workspace", gains.root)
    gains.entry(row("de-DE", 0.50, 0.48), entry="2026-01-21-more-00000002")
    (found,) = (p for p in proposals(gains.load()) if p.kind == "evidence")
    assert "1 rows in its scope, cited by nothing, say +2.0 pp" in found.what
    mu("skills", "propose", "--accept", found.id, "--workspace", gains.root)
    assert "2026-01-21-more-00000002" in gains.load().claims[0].evidence


def test_an_unknown_proposal_is_refused_with_a_suggestion(gains, mu):
    told = mu("skills", "propose", "--accept", GAIN[:-1], "--workspace", gains.root)
    assert told.code == 2 and GAIN in told.err


def test_proposals_are_the_same_in_json(gains, mu):
    (found,) = mu("skills", "propose", "--json", "--workspace", gains.root).json
    assert found["id"] == GAIN and set(found) == {"id", "kind", "skill", "what", "diff", "evidence"}
    assert found["evidence"] == [f"2026-01-20-test-00000001#r{n}" for n in range(1, 5)]


def test_a_claim_cites_the_rows_of_an_entry_of_which_others_were_withdrawn(gains):
    gains.entry(
        *(row(target, 0.56, 0.48) for target in TARGETS), row("sw-KE", 0.60, 0.48, method="ties", k=3)
    )
    text = f"{row('de-DE', method='slerp')}\n\n## Invalidates\n\nA wrong default.\n\n- method=ties"
    gains.entry(text, entry="2026-01-22-wrong-00000003")
    (found,) = (p for p in proposals(gains.load()) if p.id == GAIN)
    assert f"+    - {found.evidence[0]}\n" in found.diff and "#r1" in found.evidence[0]
    assert "#r5" not in found.diff
