"""Are statements that cannot both hold found by their numbers, and are those that can left in peace?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import SKILL, claim, of_other_rules, row

from merginguriel.knowledge.claims.contradictions import effects_without_gain
from merginguriel.knowledge.lint import runner
from merginguriel.knowledge.parse.claims import both
from merginguriel.knowledge.parse.rows import ResultRow

E1 = "2026-01-20-test-00000001"
E2 = "2026-01-21-test-00000002"


def told(bench, *claims: str) -> list[str]:
    bench.skill(claims="\n".join(claims))
    return [problem.what for problem in runner.problems(bench.load_space())]


def test_two_opposite_claims_on_the_same_rows_are_settled_by_the_rows(bench):
    bench.entry(row("sw-KE", 0.4832, 0.4670), row("cy-GB", 0.40, 0.50))
    found = told(
        bench,
        claim("gains", evidence=f'"{E1}#r1"'),
        claim("loses", "fails", scope="{target: [sw-KE, cy-GB]}", evidence=f'"{E1}#r2"'),
    )
    assert found == [
        f"loses contradicts gains: of target=sw-KE, where both apply, rows give sw-KE +1.62 pp ({E1}#r1)."
    ]


def test_two_opposite_preferences_are_found(bench):
    bench.entry(row("sw-KE", 0.6, 0.5, similarity="REAL"), row("sw-KE", 0.55, 0.5, similarity="URIEL"))
    real, uriel = "{similarity: REAL}", "{similarity: URIEL}"
    found = told(
        bench,
        claim("real", "prefers", prefer=real, over=uriel),
        claim("uriel", "prefers", prefer=uriel, over=real, scope="{mode: ExcTar}"),
    )
    assert any("is refuted: −5.00 pp" in what for what in found)
    weak = [claim("real", "prefers", prefer=real, over=uriel), claim("uriel", "prefers", prefer=uriel, over=real, scope="{mode: ExcTar}")]  # fmt: skip
    bench.entry(row("sw-KE", 0.51, 0.5, similarity="REAL"), row("sw-KE", 0.505, 0.5, similarity="URIEL"))
    (found,) = (what for what in told(bench, *weak) if "contradicts" in what)
    assert found.startswith("uriel contradicts real: of target=sw-KE mode=ExcTar")


@pytest.mark.parametrize(
    "other",
    [
        claim("other", "fails", scope="{target: cy-GB}"),  # another target
        claim("other", "fails", scope="{target: sw-KE}", over="target_alone"),  # another baseline
        claim("other", "fails", scope="{target: sw-KE, params: density=0.2}"),  # no row lies in both
        claim("other", "fails", more="  superseded_by: gains\n"),  # withdrawn
        claim("other"),  # the same
    ],
)
def test_claims_that_can_both_hold_are_left_in_peace(bench, other):
    bench.entry(row("sw-KE", 0.4832, 0.4670), row("cy-GB", 0.40, 0.50))
    assert not [
        what for what in told(bench, claim("gains", evidence=f'"{E1}#r1"'), other) if "cannot hold" in what
    ]


def test_the_same_scope_without_a_row_is_a_contradiction_all_the_same(bench):
    bench.entry(row("cy-GB"))
    found = told(bench, claim("gains"), claim("loses", "fails"))
    assert (
        "gains and loses make opposite statements about target=sw-KE, and no row decides between them."
        in found
    )


def test_a_claim_against_rows_that_it_does_not_cite_is_found_per_target(bench):
    bench.entry(row("sw-KE", 0.90, 0.50), row("vi-VN", 0.80, 0.50))
    other = "2026-01-20-test-00000003"
    bench.entry(row("cy-GB", 0.40, 0.50), row("fi-FI", 0.49, 0.50), entry=other)
    found = told(bench, claim("gains", scope="{method: similarity}"))
    assert found == [
        "gains says that this beats best_single_source, and does not cite what says the opposite, outside noise: "
        f"cy-GB −10.00 pp ({other}#r1)."
    ]
    assert told(bench, claim("gains", scope="{method: similarity, target: [sw-KE, vi-VN]}")) == []


def test_an_entry_that_is_newer_than_the_skill_makes_no_claim_of_it_wrong(bench):
    bench.entry(row("sw-KE", 0.90, 0.50))
    bench.entry(row("cy-GB", 0.40, 0.50), entry=E2)
    assert told(bench, claim("gains", scope="{method: similarity}")) == []


def test_a_repeat_of_a_cited_row_is_not_a_row_that_is_not_cited(bench):
    bench.entry(row("sw-KE", 0.90, 0.50), row("cy-GB", 0.40, 0.50))
    bench.entry(row("cy-GB", 0.40, 0.50), entry=E2)
    assert told(bench, claim("gains", scope="{method: similarity}")) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("It gains on all three targets.", True),
        ("It gains on both targets.", True),
        ("It always gains.", True),
        ("It gains on every language tried.", True),
        ("All in all it gains.", False),
        ("It gains on two targets of three.", False),
    ],
)
def test_all_is_held_to_every_row(bench, text, wrong):
    bench.entry(row("sw-KE", 0.90, 0.50), row("vi-VN", 0.80, 0.50), row("cy-GB", 0.50, 0.50))
    found = told(bench, claim("gains", scope="{method: similarity}", text=text))
    assert bool([what for what in found if f"but cy-GB a tie ({E1}#r3)" in what]) is wrong


@pytest.mark.parametrize(
    "text",
    [
        "Only Swahili gains.",
        "A merge gains only on sw-KE.",
        "Only for sw-KE it pays.",
        "Swahili alone gains.",
        "It gains nowhere but on sw-KE.",
        "No other language than Swahili gains.",
        "Swahili gains, and no other target does.",
        "Swahili gains, with that model alone, and nowhere else.",
    ],
)
def test_only_is_held_to_the_other_targets(bench, text):
    bench.entry(row("sw-KE", 0.90, 0.50), row("vi-VN", 0.51, 0.50), row("cy-GB", 0.40, 0.50))
    (found,) = told(bench, claim("gains", text=text))
    assert f"but so do others: vi-VN +1.00 pp ({E1}#r2)." in found
    assert told(bench, claim("gains", text="Only five sources gain, with that model alone.")) == []


def test_what_beats_the_best_zero_shot_model_cannot_fail_against_the_best_source(bench):
    bench.entry(row("sw-KE", 0.55, 0.50, kind="best_zero_shot"), row("cy-GB", 0.40, 0.50))
    scope, cites = "{mode: ExcTar}", (f'"{E1}#r1"', f'"{E1}#r2"')
    fails = claim("loses", "fails", scope=scope, evidence=cites[1])
    (found,) = told(bench, claim("gains", scope=scope, over="best_zero_shot", evidence=cites[0]), fails)
    assert found == (
        "gains contradicts loses: of mode=ExcTar, what beats best_zero_shot beats best_single_source too, "
        "which is no better."
    )
    apart = claim("gains", scope="{target: sw-KE}", over="best_zero_shot", evidence=cites[0])
    assert told(bench, apart, fails.replace(scope, "{target: cy-GB}")) == []
    assert (
        told(bench, claim("gains", "fails", scope=scope, over="best_zero_shot", evidence=cites[0]), fails)
        != []
    )


@pytest.mark.parametrize(("second", "apart"), [(0.51, True), (0.54, False)])
def test_two_sizes_of_one_thing_beyond_their_noise_are_a_contradiction(bench, second, apart):
    bench.entry(row("sw-KE", 0.55, 0.50))
    bench.entry(row("sw-KE", second, 0.50), entry=E2)
    size = "  value: {}\n  unit: pp\n"
    found = told(
        bench,
        claim("five", more=size.format(5)),
        claim("less", evidence=E2, more=size.format(round(100 * second - 50))),
    )
    assert (
        "less says 1 pp, and five says 5 of the same scope, further apart than their noise." in found
    ) is apart
    assert bool(found) is apart


@pytest.mark.parametrize(("sources", "pairs"), [("fr-FR de-DE", 1), ("ru-RU fi-FI", 0)])
def test_an_effect_is_held_to_the_gain_of_the_same_sources(sources, pairs):
    one = ResultRow("a/b", "sw-KE", "ExcTar", "ties", "accuracy", 0.5, k=2, sources=("de-DE", "fr-FR"))
    effect = replace(one, baseline_kind="source_mean", baseline=0.4)
    gain = replace(one, sources=tuple(sources.split()), baseline_kind="best_single_source", baseline=0.55)
    assert len(list(effects_without_gain([effect, gain]))) == pairs


@pytest.mark.parametrize(
    ("a", "b", "common"),
    [
        ({"k": ("3", "5")}, {"k": ("5", "7")}, {"k": ("5",)}),
        ({"k": ("3",)}, {"k": ("5",)}, None),
        ({"k": ("3",)}, {"mode": ("ExcTar",)}, {"k": ("3",), "mode": ("ExcTar",)}),
        ({"params": ("a=1",)}, {"params": ("b=2",)}, {"params": ("a=1", "b=2")}),
        ({"params": ("a=1",)}, {"params": ("a=2",)}, None),
        ({}, {}, {}),
    ],
)
def test_what_two_scopes_have_in_common(a, b, common):
    assert both(a, b) == common and (both(b, a) is None) is (common is None)


@pytest.mark.parametrize(
    ("text", "value", "said"),
    [
        (
            "It costs accuracy.",
            10,
            "says 'costs', but its predicate is beats: one of them has the wrong sign.",
        ),
        ("It loses.", 10, "says 'loses', but its predicate is beats: one of them has the wrong sign."),
        ("It gains where TIES loses.", 10, None),
    ],
)
def test_a_gain_that_says_it_loses_has_a_wrong_sign(bench, text, value, said):
    bench.entry(row("sw-KE", 0.60, 0.50))
    more = f"  value: {value}\n  unit: pp\n"
    assert told(bench, claim("gains", text=text, more=more)) == ([said] if said else [])
    withdrawn = claim("gains", text=text, more=more + "  superseded_by: later\n")
    assert told(bench, withdrawn, claim("later")) == []


# Configuration


RESEARCH = SKILL.replace('domain: "workflow"', 'domain: "research"').replace(
    "## Recommended Practice\n\nDo it.",
    "## Results Summary\n\nNone.\n\n## Recommended Practice\n\n{practice}\n\n## Failure Modes\n\nNone.\n\n"
    "## Configuration\n\n```yaml\n{config}\n```",
)


def configured(bench, practice: str, config: str, claims: str = "") -> list[str]:
    text = RESEARCH.format(name="a-skill", practice=practice, config=config)
    bench.skill(text=text, claims=claims)
    program = dict.fromkeys(("slerp", "ties", "fisher_simple", "fisher_dataset", "average", "a_new_one"), ())
    return of_other_rules(problem.what for problem in runner.problems(bench.load_space(), program))


@pytest.mark.parametrize(
    ("practice", "config", "said"),
    [
        ("Rank by REAL.", "similarity: URIEL", "similarity is URIEL, but Recommended Practice says REAL."),
        ("Rank by REAL, URIEL beside it.", "similarity: URIEL", None),
        ("Take the 5 best.", "k: 3", "k is 3, but Recommended Practice says 5."),
        ("Merge five sources.", "k: 3", "k is 3, but Recommended Practice says 5."),
        ("Merge five REAL sources.", "k: 5", None),
        ("Merge with SLERP.", "method: ties", "method is ties, but Recommended Practice says slerp."),
        ("Merge with TIES, SLERP beside it.", "method: ties", None),
        ("Leave SLERP out. Do it.", "method: ties", None),
        ("Merge by a-new-one.", "method: ties", "method is ties, but Recommended Practice says a_new_one."),
        ("Merge by a new one.", "method: a_new_one", None),
        ("Merge by Fisher.", "method: ties", "says fisher_dataset and fisher_simple."),
        ("Merge by Fisher.", "method: fisher_simple", None),
        ("It is better on average.", "method: ties", None),
        ("Take `average`.", "method: ties", "method is ties, but Recommended Practice says average."),
        (
            "Use the similarity-weighted merge.",
            "method: ties",
            "method is ties, but Recommended Practice says similarity.",
        ),
        (
            "TIES at density 0.9.",
            "method: ties\ndensity: 0.2",
            "density is 0.2, but Recommended Practice says 0.9.",
        ),
        ("TIES, density=0.20.", "method: ties\ndensity: 0.2", None),
        ("A drop rate 0.9.", "drop: 0.1", "drop is 0.1, but Recommended Practice says 0.9."),
        ("Merge at most three models.", "k: 7", "k is 7, but Recommended Practice says 3."),
        ("Merge at most three models.", "k: 2", None),
        ("Use IncTar.", "mode: ExcTar", "mode is ExcTar, but Recommended Practice says IncTar."),
        ("Do it.", "mode: ExcTar", None),
        ("Do it.", "baseline: source_mean", "judges a merge by source_mean, which is no alternative to it."),
        ("Do it.", "baseline: target_alone", None),
        ("Do it.", "mode: [", "this is not valid YAML"),
    ],
)
def test_a_configuration_is_held_to_the_practice(bench, practice, config, said):
    found = configured(bench, practice, config)
    assert (said is None and found == []) or (said is not None and said in found[0]), found


def test_a_preference_in_another_context_than_that_of_the_configuration_does_not_bind_it(bench):
    for target in ("sw-KE", "cy-GB", "vi-VN"):
        rows = (row(target, 0.60, 0.50, method="ties"), row(target, 0.50, 0.50, method="similarity"))
        bench.entry(*rows, entry=f"2026-01-20-{target.lower()}-0000000{len(target)}")
    prefers = """\
- id: ties-first
  text: "TIES is above similarity."
  scope: {context: massive/xlm-roberta-base}
  predicate: prefers
  prefer: {method: ties}
  over: {method: similarity}
  evidence: [2026-01-20-sw-ke-00000005, 2026-01-20-cy-gb-00000005, 2026-01-20-vi-vn-00000005]
  since: "2026-01-20"
"""
    for context, binds in (
        ("", True),
        ("context: massive/xlm-roberta-base\n", True),
        ("context: home/e5-small\n", False),
    ):
        found = configured(bench, "Do it.", f"{context}method: similarity", prefers)
        assert any("but ties-first prefers method=ties" in problem for problem in found) is binds, found


def test_methods_are_named_as_the_program_and_the_log_have_them(bench, mu):
    from merginguriel.knowledge.lint.rules.configuration import methods_mentioned
    from merginguriel.merging.registry import parameters

    names = {*parameters(), "ties_dare", "iterate_ties"}
    for text, meant in (
        ("TIES-DARE loses.", {"ties_dare"}),
        ("TIES, then ties dare", {"ties", "ties_dare"}),
        ("AdaMerging and AdaMerging++", {"adamerging", "adamerging++"}),
        ("Iterate ties, unities and tiesto", {"iterate_ties"}),
        ("DARE", {"dare_linear", "dare_ties", "ties_dare"}),
        ("a linear head, a single consensus model, a task", set()),
    ):
        assert methods_mentioned(text, names) == meant, text
    for name in names - {"average", "linear", "consensus", "localise"}:
        assert methods_mentioned(f"Take {name.upper()}.", names) == {name}
    # A method that the log alone has is known by it; the command knows those of the program.
    bench.skill(text=RESEARCH.format(name="a-skill", practice="Merge by Zipping.", config="method: ties"))
    bench.entry(row(method="ties"))
    assert mu("lint", "--workspace", bench.root).code == 0
    bench.entry(row(method="ties"), row("cy-GB", method="zipping"))
    assert "says zipping" in mu("lint", "--workspace", bench.root).out
    bench.skill(text=RESEARCH.format(name="a-skill", practice="Merge by SLERP.", config="method: ties"))
    assert "says slerp" in mu("lint", "--workspace", bench.root).out
    assert "says slerp" in mu("skills", "lint", "--workspace", bench.root).out


def test_a_configuration_may_not_lie_in_what_is_forbidden_or_dispreferred(bench):
    bench.entry(
        *(row(t, 0.2, 0.5, method="dare") for t in ("sw-KE", "cy-GB", "vi-VN")),
        *(row(t, 0.5, 0.4, similarity="REAL") for t in ("sw-KE", "cy-GB", "vi-VN")),
        *(row(t, 0.4, 0.4, similarity="URIEL") for t in ("sw-KE", "cy-GB", "vi-VN")),
    )
    veto = claim("no-dare", "forbids", scope="{method: dare}", text="Do not.")
    prefers = claim(
        "real", "prefers", scope="{mode: ExcTar}", prefer="{similarity: REAL}", over="{similarity: URIEL}"
    )
    assert configured(bench, "Do it.", "method: dare", veto) == ["is forbidden by no-dare: Do not."]
    assert configured(bench, "Do it.", "method: ties", veto) == []
    (found,) = configured(bench, "Do it.", "mode: ExcTar\nsimilarity: URIEL", prefers)
    assert found == "configures similarity=URIEL, but real prefers similarity=REAL: It is so."
    assert configured(bench, "Do it.", "mode: ExcTar\nsimilarity: REAL", prefers) == []
    assert configured(bench, "Do it.", "mode: IncTar\nsimilarity: URIEL", prefers) == []


# Rounds


def test_baselines_whose_runs_are_named_may_differ(bench):
    head = "| target | mode | method | sources | value | run |\n|---|---|---|---|---|---|\n"
    two = "| sw-KE | - | single | sw-KE | 0.8063 | {} |\n| sw-KE | - | single | sw-KE | 0.8285 | {} |"
    bench.entry(table=head + two.format("-", "-"))
    assert "has 2 accuracies, 2.22 pp apart" in told(bench)[0]
    bench.entry(table=head + two.format("a", "b"))
    assert told(bench) == []
    bench.entry(table=head + two.replace("0.8063", "0.828514").format("-", "-"))  # a third of an item
    assert told(bench) == []
