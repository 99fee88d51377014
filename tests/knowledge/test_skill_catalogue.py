"""Does the catalogue fit, tell grade and freshness truly, and show text as text?"""

from __future__ import annotations

import random
from datetime import date

import pytest
from conftest import SKILL, row
from hypothesis import given
from hypothesis import strategies as st
from test_skill_changes import NEW, OLD, claim

from merginguriel.knowledge.skills.catalogue import LIMIT, catalogue, fit, freshness, shorten, skill_grade

WORDS = [
    "merge",
    "source",
    "target",
    "language",
    "similarity",
    "weight",
    "accuracy",
    "noise",
    "Swahili",
    "typology",
    "transfer",
    "pilot",
]


def described(name: str, description: str, short: str) -> str:
    text = SKILL.format(name=name).replace("How to test. Use when testing.", description)
    return text.replace("a skill for tests", short)


@pytest.mark.parametrize("length", [10, 40, 63])
def test_a_hundred_skills_with_long_descriptions_fit_and_all_are_named(mu, bench, length):
    draw = random.Random(length)
    names = []
    for i in range(100):
        name = f"skill-{i}" + "x" * (length - len(f"skill-{i}"))
        description = " ".join(draw.choices(WORDS, k=140))[:1000].rstrip()
        names.append(name)
        bench.skill(name, text=described(name, description, " ".join(draw.choices(WORDS, k=12))))
    told = mu("skills", "catalogue", "--workspace", bench.root)
    assert told.code == 0 and len(told.out) <= LIMIT
    lines = [line for line in told.out.splitlines() if line.startswith("- ")]
    assert len(lines) == 101  # and the one that every bench has
    assert all(any(line.startswith(f"- {name}: - ") for line in lines) for name in names)
    # Cut between words: what stands before the mark is a word of the text.
    cut = [line.removesuffix("…").split()[-1] for line in lines[1:] if line.endswith("…")]
    assert len(cut) >= 90 or length > 40
    assert all(word in WORDS for word in cut)
    # The full text is one command away, and in --json.
    assert "mu skills show NAME" in told.out
    assert all(len(skill["description"]) > 900 for skill in mu("skills", "catalogue", "--json", "--workspace", bench.root).json[1:])  # fmt: skip


def test_so_many_skills_that_their_names_do_not_fit_are_counted(bench):
    for i in range(150):
        name = f"skill-{i}" + "x" * (64 - len(f"skill-{i}"))
        bench.skill(name)
    told = catalogue(bench.load())
    named = sum(line.startswith("- skill-") for line in told.splitlines())
    assert len(told) <= LIMIT and 80 < named < 150
    assert told.endswith(f"- … and {150 - named} more: `mu skills list`\n")


def test_a_few_skills_are_told_in_full(bench):
    assert "How to test. Use when testing." in catalogue(bench.load())


def test_markup_and_control_characters_of_a_description_are_shown_as_text(bench):
    bench.skill(text=described("a-skill", "[link](x) *b* `c` <d> \\e[31m | e", "s"))
    told = catalogue(bench.load())
    assert "\\[link\\](x) \\*b\\* \\`c\\` \\<d\\> \\\\x1b\\[31m \\| e" in told and "\x1b" not in told


@given(st.text(st.sampled_from("ab c,é…"), max_size=60), st.integers(0, 70))
def test_a_shortened_text_fits_and_ends_with_a_whole_word(text, width):
    found = shorten(text, width)
    assert len(found) <= width or found == text == ""
    if found and found != text:
        kept = found.removesuffix("…").rstrip()
        assert found.endswith("…") and text.startswith(kept) and text[len(kept) :][:1] in (" ", ",", "…")


@given(
    st.lists(st.tuples(st.text("ab", min_size=1, max_size=20), st.text("cd ", max_size=90)), max_size=30),
    st.integers(100, 900),
)
def test_lines_fit_whatever_their_lengths(parts, room):
    told = fit([start for start, _ in parts], [(text, text[:20]) for _, text in parts], room)
    assert len(told) <= room


# grade


def test_a_grade_follows_the_claims_that_still_count(bench):
    bench.entry(row("sw-KE", 0.56, 0.46), row("cy-GB", 0.47, 0.46), row("vi-VN", 0.36, 0.46), entry=OLD)
    good, noise, bad = claim("good"), claim("noise", f"{OLD}#r2", "cy-GB"), claim("bad", f"{OLD}#r3", "vi-VN")
    gone = claim("gone", f"{OLD}#r3", "vi-VN", more="  superseded_by: good\n")
    lost = claim("lost", "2026-01-01-nowhere-00000009")
    for letter, claims in {
        "B": good + gone,
        "D": good + noise + bad,
        "-": "[]\n",
    }.items():
        bench.skill(claims=claims)
        knowledge = bench.load()
        assert skill_grade(knowledge.skills[0], knowledge)[0] == letter
    bench.skill(claims=good + lost)
    knowledge = bench.load()
    assert skill_grade(knowledge.skills[0], knowledge) == ("D", "1 supported, 1 contested")


# freshness


def test_freshness_counts_days_and_tells_which_claim_younger_evidence_moved(mu, bench):
    bench.entry(row(value=0.56, baseline=0.46), entry=OLD)
    bench.skill(claims=claim() + claim("other", f"{OLD}#r1"))
    now = freshness(bench.load(), date(2026, 1, 30))["a-skill"]
    assert (now.days, now.moved, now.text) == (10, (), "10d")
    # Younger evidence that changes nothing leaves it fresh.
    bench.entry(row("cy-GB", 0.47, 0.46), entry="2026-02-01-else-00000003")
    assert freshness(bench.load())["a-skill"].moved == ()
    bench.entry(row(value=0.30, baseline=0.46), entry=NEW, more=f'supersedes: "{OLD}"\n')
    now = freshness(bench.load(), date(2026, 3, 1))["a-skill"]
    assert now.moved[0] == ("swahili-gains", "supported", "contested") and now.text == "40d*"
    told = mu("skills", "list", "--json", "--workspace", bench.root).json[0]
    assert told["freshness"]["moved"][0] == {
        "claim": "swahili-gains",
        "then": "supported",
        "now": "contested",
    }
    assert told["grade"] == "D"
    assert "*" in mu("skills", "list", "--workspace", bench.root).out.split("  ")[3]


def test_shipped_skills_are_graded_and_none_has_fallen_behind_its_evidence(study):
    knowledge = study.load()
    assert len(knowledge.skills) >= 12
    assert all(fresh.moved == () for fresh in freshness(knowledge).values())
    assert all(skill_grade(skill, knowledge)[0] in "ABCD" for skill in knowledge.skills)
