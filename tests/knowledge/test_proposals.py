"""The log proposes what its skills do not state yet."""

from __future__ import annotations

import pytest
from conftest import row

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.skills.proposals import decide, proposals, undo

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
    assert "1 row in its scope, cited by nothing: +2.0 pp" in found.what
    mu("skills", "propose", "--accept", found.id, "--workspace", gains.root)
    assert "2026-01-21-more-00000002" in gains.load().claims[0].evidence


def test_an_unknown_proposal_is_refused_with_a_suggestion(gains, mu):
    told = mu("skills", "propose", "--accept", GAIN[:-1], "--workspace", gains.root)
    assert told.code == 2 and GAIN in told.err


def test_proposals_are_the_same_in_json(gains, mu):
    (found,) = mu("skills", "propose", "--json", "--workspace", gains.root).json
    assert found["id"] == GAIN
    assert set(found) == {"id", "kind", "skill", "what", "diff", "evidence", "by_hand"}
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


def propose(bench, mu, *args):
    return mu("skills", "propose", *args, "--workspace", bench.root)


def test_a_rejected_proposal_comes_back_when_its_rows_change(gains, mu):
    assert propose(gains, mu, "--reject", GAIN).code == 0
    assert ids(gains) == [] and propose(gains, mu, "--json").json == []
    kept = (gains.root / "skills/rejected.jsonl").read_text(encoding="utf-8")
    assert GAIN in kept and mu("lint", "--workspace", gains.root).code == 0
    assert propose(gains, mu, "--reject", GAIN).code == 2  # it is not proposed
    gains.entry(row("de-DE", 0.56, 0.48), entry="2026-01-21-more-00000002")
    assert ids(gains) == [GAIN]
    propose(gains, mu, "--reject", GAIN)
    lines = (gains.root / "skills/rejected.jsonl").read_text(encoding="utf-8").splitlines()
    assert ids(gains) == [] and len(lines) == 2 and f"{lines[0]}\n" == kept


def texts_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("rejected", [True, False])
def test_a_decision_that_is_undone_leaves_every_file_as_it_was(gains, rejected):
    before, (proposal,) = texts_of(gains.root), proposals(gains.load())
    decision = decide(gains.load_space(), proposal, rejected=rejected)
    assert texts_of(gains.root) != before and ids(gains) == []
    undo(gains.load_space(), decision)
    assert texts_of(gains.root) == before and ids(gains) == [GAIN]


def test_a_decision_is_not_undone_once_its_skill_has_changed(gains):
    (proposal,) = proposals(gains.load())
    decision = decide(gains.load_space(), proposal, rejected=False)
    path = gains.root / "skills/a-skill/SKILL.md"
    path.write_text(path.read_text(encoding="utf-8").replace("Do it.", "Do it well."), encoding="utf-8")
    before = texts_of(gains.root)
    with pytest.raises(KnowledgeError, match="has changed since the decision"):
        undo(gains.load_space(), decision)
    assert texts_of(gains.root) == before


def test_a_damaged_list_of_rejections_rejects_what_can_be_read(gains, mu):
    propose(gains, mu, "--reject", GAIN)
    path = gains.root / "skills/rejected.jsonl"
    path.write_text(f"[1]\nno json\n{path.read_text(encoding='utf-8')}", encoding="utf-8")
    assert ids(gains) == []


def test_several_are_accepted_in_one_computation_with_one_version(gains, mu, monkeypatch):
    gains.entry(
        *(row(target, 0.58, 0.48, method="average", similarity="-") for target in TARGETS),
        entry="2026-01-21-more-00000002",
    )
    both = ids(gains)
    assert len(both) == 2
    from merginguriel.knowledge.skills import proposals as module

    computed = []
    real = module.proposals
    monkeypatch.setattr(module, "proposals", lambda *a: computed.append(1) or real(*a))
    module.accept(gains.load_space(), both)
    knowledge = gains.load()
    assert computed == [1] and {claim.id for claim in knowledge.claims} == set(both)
    assert knowledge.skill("a-skill").version == "1.1.0" and ids(gains) == []


def test_none_is_accepted_where_one_is_unknown(gains, mu):
    assert propose(gains, mu, "--accept", GAIN, "--accept", "no-such").code == 2
    assert gains.load().claims == ()


def test_the_text_of_a_claim_and_its_sentences_follow_its_new_rows(gains, mu):
    propose(gains, mu, "--accept", GAIN)
    path = gains.root / "skills/a-skill/SKILL.md"
    cited = f"On 4 targets merges score 8.0 pp above the best single source [{GAIN}]; 8.0 pp is a number."
    path.write_text(path.read_text(encoding="utf-8").replace("Text.", cited, 1), encoding="utf-8")
    gains.entry(row("de-DE", 0.50, 0.48), entry="2026-01-21-more-00000002")
    told = propose(gains, mu, "--accept", f"cite-{GAIN}")
    assert told.code == 0, told.err
    (claim,) = gains.load().claims
    assert claim.value == 6.8 and "6.8 pp above" in claim.text and "over 5 targets" in claim.text
    text = path.read_text(encoding="utf-8")
    assert (
        f"On 5 targets merges score 6.8 pp above the best single source [{GAIN}]; 8.0 pp is a number." in text
    )
    assert mu("lint", "--workspace", gains.root).code == 0, mu("lint", "--workspace", gains.root).out


def test_a_sentence_that_has_the_number_twice_is_edited_by_hand(gains, mu):
    propose(gains, mu, "--accept", GAIN)
    path = gains.root / "skills/a-skill/SKILL.md"
    cited = f"On 4 targets merges score 8.0 pp above the best source; on 4 targets of another base 8.0 pp [{GAIN}]."
    path.write_text(path.read_text(encoding="utf-8").replace("Text.", cited, 1), encoding="utf-8")
    gains.entry(row("de-DE", 0.50, 0.48), entry="2026-01-21-more-00000002")
    refused = propose(gains, mu, "--accept", f"cite-{GAIN}")
    assert refused.code == 1 and cited in refused.err and cited in path.read_text(encoding="utf-8")


def test_rows_that_turn_a_claim_round_are_edited_by_hand(gains, mu):
    propose(gains, mu, "--accept", GAIN)
    before = (gains.root / "skills/a-skill/claims.yaml").read_bytes()
    gains.entry(
        *(row(target, 0.10, 0.48) for target in ("de-DE", "fr-FR", "it-IT")), entry="2026-01-21-more-00000002"
    )
    (found,) = (p for p in proposals(gains.load()) if p.kind == "evidence")
    assert "First edit by hand" in found.what and "claims.yaml:" in found.by_hand
    told = propose(gains, mu, "--accept", found.id)
    assert (
        told.code == 1 and "8.0 pp above the best single source" in told.err and "claims.yaml:1" in told.err
    )
    assert (gains.root / "skills/a-skill/claims.yaml").read_bytes() == before
