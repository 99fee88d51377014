"""What does a change of a skill mean, which evidence did it, and was its version raised?"""

from __future__ import annotations

import subprocess

import conftest
import pytest
from conftest import SKILL, Bench, git, row
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.knowledge.skills.diff import raised, section_texts, settings_changes

OLD, NEW = "2026-01-20-test-00000001", "2026-02-20-again-00000002"
WITH_CONFIGURATION = SKILL.format(name="a-skill").replace(
    "## References", "## Configuration\n\n```yaml\nk: 3\nsimilarity: REAL\n```\n\n## References"
)


def claim(
    id: str = "swahili-gains",
    ref: str = f"{OLD}#r1",
    target: str = "sw-KE",
    text: str = "It gains.",
    more: str = "",
) -> str:
    scope = f"{{context: massive/xlm-roberta-base, target: {target}, mode: ExcTar, method: similarity}}"
    return conftest.claim(id, scope=scope, evidence=ref, text=text, more=more)


def commit(bench: Bench, subject: str = "a change") -> None:
    git(bench.root, "add", "-A")
    git(bench.root, "commit", "-q", "-m", subject)


@pytest.fixture
def past(bench):
    """A workspace in git, with one claim that is within noise (+1 pp on 1,000 items)."""
    bench.entry(row(value=0.47, baseline=0.46), n=1000, entry=OLD)
    bench.skill(text=WITH_CONFIGURATION, claims=claim())
    git(bench.root, "init", "-q")
    commit(bench, "Say that Swahili gains")
    return bench


def version(bench: Bench, number: str) -> None:
    path = bench.root / "skills" / "a-skill" / "SKILL.md"
    path.write_text(path.read_text().replace('version: "1.0.0"', f'version: "{number}"'))


def changes(mu, bench: Bench, *arguments: str) -> dict[tuple[str, str], dict]:
    told = mu("skills", "diff", *(arguments or ("a-skill",)), "--json", "--workspace", bench.root)
    assert told.code == 0, told.err
    return {(change["kind"], change["what"]): change for change in told.json}


# mu skills diff


def test_a_skill_that_did_not_change_has_no_difference(mu, past):
    assert changes(mu, past) == {}


def test_a_claim_that_new_rows_bear_out_is_strengthened_and_the_row_is_named(mu, past):
    past.entry(row(value=0.54, baseline=0.46), n=30000, entry=NEW)
    past.skill(text=WITH_CONFIGURATION, claims=claim(ref=f"{OLD}#r1, {NEW}#r1"))
    found = changes(mu, past)
    assert list(found) == [("strengthened", "swahili-gains")]
    (change,) = found.values()
    assert "under noise → supported" in change["said"]
    assert change["evidence"] == [f"cites {NEW}#r1 (sw-KE similarity REAL k=5: 0.5400 over 0.4600, +8.00 pp)"]


def test_a_claim_is_weakened_by_an_entry_that_corrects_its_own_though_its_text_stays(mu, past):
    past.entry(row(value=0.45, baseline=0.46), entry=NEW, more=f'supersedes: "{OLD}"\n')
    found = changes(mu, past)
    change = found[("weakened", "swahili-gains")]
    assert "under noise → contested" in change["said"]
    assert f"{OLD}#r1 is superseded, was current, by {NEW}" in change["evidence"]
    assert any(f"not cited: {NEW}#r1" in line and "−1.00 pp" in line for line in change["evidence"])


def test_a_claim_that_is_superseded_names_what_did_it(mu, past):
    past.entry(row(value=0.40, baseline=0.46), entry=NEW)
    replaced = claim(more="  superseded_by: swahili-loses\n") + "\n" + claim(
        id="swahili-loses", ref=f"{NEW}#r1", text="It loses."
    ).replace("beats", "fails")  # fmt: skip
    past.skill(text=WITH_CONFIGURATION, claims=replaced)
    found = changes(mu, past)
    gone, come = found[("superseded", "swahili-gains")], found[("added", "swahili-loses")]
    assert gone["said"] == "by swahili-loses: It loses."
    assert gone["evidence"][0].startswith(f"cites {NEW}#r1 (sw-KE")
    assert come["said"].startswith("supported: It loses.") and NEW in come["evidence"][0]


def test_a_claim_that_is_deleted_is_retracted_with_what_it_was(mu, past):
    past.skill(text=WITH_CONFIGURATION)
    (past.root / "skills" / "a-skill" / "claims.yaml").unlink()
    assert changes(mu, past)[("retracted", "swahili-gains")]["said"] == "was under noise: It gains."


def test_other_words_for_the_same_are_reworded_and_not_more(mu, past):
    past.skill(text=WITH_CONFIGURATION, claims=claim(text="Swahili gains."))
    assert list(changes(mu, past)) == [("reworded", "swahili-gains")]


def test_recommendation_configuration_and_prose_are_told_apart(mu, past):
    text = (
        WITH_CONFIGURATION.replace("Do it.", "Do it twice.")
        .replace("k: 3", "k: 5")
        .replace("Text.", "Words.")
    )
    past.skill(text=text, claims=claim())
    found = changes(mu, past)
    assert set(found) == {
        ("recommendation", "Recommended Practice"),
        ("configuration", "Configuration"),
        ("section", "General Description"),
    }
    assert found[("configuration", "Configuration")]["evidence"] == ["k: 3 → 5"]
    assert found[("recommendation", "Recommended Practice")]["evidence"] == ["− Do it.", "+ Do it twice."]


def test_two_commits_are_compared_as_they_stood_in_the_log_of_their_day(mu, past):
    past.entry(row(value=0.52, baseline=0.46), n=3000, entry=NEW)
    past.skill(text=WITH_CONFIGURATION, claims=claim(ref=f"{NEW}#r1"))
    commit(past, "Measure it again")
    git(past.root, "branch", "later")
    past.skill(text=WITH_CONFIGURATION.replace("k: 3", "k: 4"), claims=claim(ref=f"{NEW}#r1"))
    found = changes(mu, past, "a-skill", "HEAD~1", "later")
    assert list(found) == [("strengthened", "swahili-gains")]
    evidence = found[("strengthened", "swahili-gains")]["evidence"]
    assert [line.partition(" (")[0] for line in evidence] == [f"cites {NEW}#r1", f"cites no more {OLD}#r1"]
    back = changes(mu, past, "a-skill", "later", "HEAD~1")
    assert list(back) == [("weakened", "swahili-gains")]


def test_two_skills_are_compared_without_git(mu, bench):
    bench.entry(row(), entry=OLD)
    bench.skill("one", text=SKILL.format(name="one"), claims=claim())
    bench.skill("two", text=SKILL.format(name="two").replace("Do it.", "Do not."))
    found = changes(mu, bench, "one", "two")
    assert found[("retracted", "swahili-gains")]["said"] == "not in two: It gains."
    assert found[("recommendation", "Recommended Practice")]["evidence"] == ["− Do it.", "+ Do not."]
    other = changes(mu, bench, "two", str(bench.root / "skills" / "one"))
    assert ("added", "swahili-gains") in other


def test_a_workspace_below_the_repository_is_compared_too(mu, tmp_path):
    root = tmp_path / "repository" / "work"
    (root / "experiment_log").mkdir(parents=True)
    (root / "mu.toml").write_text("")
    bench = Bench(root)
    bench.skill(text=WITH_CONFIGURATION)
    git(root.parent, "init", "-q")
    commit(bench)
    bench.skill(text=WITH_CONFIGURATION.replace("k: 3", "k: 5"))
    assert list(changes(mu, bench)) == [("configuration", "Configuration")]
    assert mu("lint", "--workspace", root).code == 1
    assert len(mu("skills", "history", "a-skill", "--json", "--workspace", root).json) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["a-skill", "nowhere"], 2, "is not a commit"),
        (["a-skill", "--", "-x"], 2, "is not a commit"),
        (["no-skill"], 1, "there was no skill no-skill"),
        (["no-skill", "a-skill"], 2, "unknown skill"),
    ],
)
def test_what_is_not_there_is_said(mu, past, arguments, code, said):
    told = mu("skills", "diff", "--workspace", past.root, *arguments)
    assert told.code == code and said in told.err and told.out == ""


def test_text_from_files_reaches_the_terminal_as_text(mu, past):
    past.skill(text=WITH_CONFIGURATION.replace("Do it.", "\x1b[31mDo it."), claims=claim())
    told = mu("skills", "diff", "a-skill", "--workspace", past.root)
    assert "\x1b" not in told.out and "\\x1b[31mDo it." in told.out


# mu skills history


def test_history_names_commit_version_and_what_changed_in_meaning(mu, past):
    past.skill(text=WITH_CONFIGURATION.replace("Text.", "Prose."), claims=claim())
    commit(past, "Mend a word")
    past.skill(text=WITH_CONFIGURATION.replace("k: 3", "k: 5"), claims=claim() + claim(id="another"))
    version(past, "1.1.0")
    commit(past, "Take five")
    past.skill(text="---\n")
    commit(past, "Break it")
    told = mu("skills", "history", "a-skill", "--json", "--workspace", past.root).json
    assert [(s["subject"], s["version"]) for s in told] == [
        ("Break it", ""),
        ("Take five", "1.1.0"),
        ("Mend a word", "1.0.0"),
        ("Say that Swahili gains", "1.0.0"),
    ]
    assert told[0]["changes"][0].startswith("cannot be read")
    assert "claim another added" in told[1]["changes"] and "Configuration changed" in told[1]["changes"]
    assert told[2]["changes"] == [] and told[3]["changes"] == ["first state: 1 claim"]


def test_history_begins_with_what_is_not_committed(mu, past):
    past.skill(text=WITH_CONFIGURATION.replace("Do it.", "Do more."), claims=claim())
    told = mu("skills", "history", "a-skill", "--workspace", past.root)
    assert told.out.splitlines()[0].startswith("-  -  1.0.0  not committed")
    assert "Recommended Practice changed" in told.out.splitlines()[1]


def test_history_and_diff_outside_git_say_so(mu, bench):
    for words in (["history", "a-skill"], ["diff", "a-skill"]):
        told = mu("skills", *words, "--workspace", bench.root)
        assert told.code == 1 and "not in a git repository" in told.err and "git init" in told.err


def test_history_of_a_skill_that_was_removed_is_still_told(mu, past):
    past.skill("other")
    git(past.root, "rm", "-q", "-r", "skills/a-skill")
    commit(past, "Remove it")
    told = mu("skills", "history", "a-skill", "--json", "--workspace", past.root).json
    assert [s["changes"] for s in told] == [["removed"], ["first state: 1 claim"]]
    assert mu("skills", "history", "never-there", "--workspace", past.root).code == 2


# lint demands a version raise


def versions(mu, bench: Bench, *more: str) -> list[str]:
    told = mu("lint", "--json", "--workspace", bench.root, *more)
    return [p["what"] for p in told.json if "in meaning" in p["what"]]


@pytest.mark.parametrize(
    ("text", "claims", "said"),
    [
        (WITH_CONFIGURATION, claim(text="It does gain."), "claim swahili-gains changed (text)"),
        (WITH_CONFIGURATION, claim(target="cy-GB"), "claim swahili-gains changed (scope)"),
        (WITH_CONFIGURATION, claim() + claim(id="more"), "claim more added"),
        (WITH_CONFIGURATION, "[]\n", "claim swahili-gains removed"),
        (WITH_CONFIGURATION.replace("Do it.", "Do not."), claim(), "Recommended Practice changed"),
        (WITH_CONFIGURATION.replace("k: 3", "k: 5"), claim(), "Configuration changed"),
        (WITH_CONFIGURATION + "\n## Failure Modes\n\nIt can fail.\n", claim(), "Failure Modes changed"),
    ],
)  # fmt: skip
def test_a_change_of_meaning_needs_a_higher_version(mu, past, text, claims, said):
    if "Failure" in text:  # in its place
        text = WITH_CONFIGURATION.replace(
            "## Configuration", "## Failure Modes\n\nIt can fail.\n\n## Configuration"
        )
    past.skill(text=text, claims=claims)
    found = versions(mu, past)
    assert len(found) == 1 and said in found[0]
    told = mu("skills", "lint", "a-skill", "--workspace", past.root)
    assert told.code == 1 and "skills/a-skill/SKILL.md:6: changed in meaning" in told.out
    version(past, "1.0.1")
    assert versions(mu, past) == []
    version(past, "1.0.1")


def test_a_lower_version_is_no_raise(mu, past):
    past.skill(text=WITH_CONFIGURATION.replace("k: 3", "k: 5"), claims=claim())
    version(past, "0.9.0")
    assert len(versions(mu, past)) == 1


def test_a_mended_word_of_prose_and_new_blanks_need_no_raise(mu, past):
    text = (
        WITH_CONFIGURATION.replace("Text.", "Other prose.")
        .replace("Do it.", "Do   it.\n")
        .replace("testing.", "trying.")
    )
    past.skill(text=text, claims=claim().replace("It gains.", "It  gains."))
    assert versions(mu, past) == []


def test_to_stop_claiming_is_a_change_of_meaning_too(mu, past):
    (past.root / "skills" / "a-skill" / "claims.yaml").unlink()
    past.skill(text='---\nname: a-skill\ndescription: "x"\n---\n\nText.\n')
    found = versions(mu, past)
    assert len(found) == 1 and "claim swahili-gains removed" in found[0]


def test_a_foreign_skill_may_change_as_it_likes(mu, past):
    past.skill("foreign", text='---\nname: foreign\ndescription: "x"\n---\n\n## Configuration\n\na\n')
    commit(past)
    past.skill("foreign", text='---\nname: foreign\ndescription: "x"\n---\n\n## Configuration\n\nb\n')
    assert versions(mu, past) == []


def test_against_a_branch_a_committed_change_is_found_until_the_version_is_raised(mu, past, monkeypatch):
    git(past.root, "checkout", "-q", "-b", "work")
    past.skill(text=WITH_CONFIGURATION.replace("k: 3", "k: 5"), claims=claim())
    commit(past)
    assert "since main" in versions(mu, past, "--since", "main")[0]
    monkeypatch.setenv("MU_LINT_SINCE", "main")
    assert len(versions(mu, past)) == 1
    # What main did meanwhile is not this branch's doing.
    git(past.root, "checkout", "-q", "main")
    past.skill(text=WITH_CONFIGURATION.replace("Do it.", "Do that."), claims=claim())
    version(past, "1.5.0")
    commit(past)
    git(past.root, "checkout", "-q", "work")
    version(past, "1.1.0")
    commit(past)
    assert versions(mu, past, "--since", "main") == []
    assert mu("lint", "--since", "nowhere", "--workspace", past.root).code == 2


def test_a_change_that_was_committed_without_a_raise_is_found_however_many_commits_ago(mu, past, monkeypatch):
    was = git(past.root, "rev-parse", "HEAD")[:12]
    past.skill(text=WITH_CONFIGURATION.replace("k: 3", "k: 5"), claims=claim())
    commit(past)
    [found] = versions(mu, past)
    assert f"since commit {was}" in found and "Configuration changed" in found
    past.skill(
        text=WITH_CONFIGURATION.replace("k: 3", "k: 5").replace("Text.", "More prose."), claims=claim()
    )
    commit(past)
    past.skill("another")
    commit(past)
    assert versions(mu, past) == [found]
    told = mu("skills", "lint", "a-skill", "--workspace", past.root)
    assert told.code == 1 and f"since commit {was}" in told.out
    version(past, "1.0.1")
    commit(past)
    assert versions(mu, past) == []
    past.skill(text=WITH_CONFIGURATION, claims=claim())  # what it meant at first, under its first version
    commit(past)
    assert len(versions(mu, past)) == 1  # whoever has 1.0.1, or the later 1.0.0, has another meaning
    version(past, "1.0.2")
    assert versions(mu, past) == []


def test_two_branches_that_raised_a_version_to_the_same_need_another_raise_when_merged(mu, past):
    with_k = WITH_CONFIGURATION.replace("k: 3", "k: 5")
    git(past.root, "checkout", "-q", "-b", "work")
    past.skill(text=with_k, claims=claim())
    version(past, "1.1.0")
    commit(past)
    git(past.root, "checkout", "-q", "main")
    past.skill(text=WITH_CONFIGURATION, claims=claim(text="It does gain."))
    version(past, "1.1.0")
    commit(past)
    assert versions(mu, past) == []
    git(past.root, "merge", "-q", "--no-edit", "work")
    found = versions(mu, past)
    assert len(found) == 1 and "its version is 1.1.0 and was 1.1.0" in found[0]
    version_file = past.root / "skills" / "a-skill" / "SKILL.md"
    version_file.write_text(version_file.read_text().replace('"1.1.0"', '"1.2.0"'))
    commit(past)
    assert versions(mu, past) == []


def test_a_merge_that_takes_one_side_whole_hides_nothing_of_the_other(mu, past):
    git(past.root, "checkout", "-q", "-b", "work")
    past.skill(text=WITH_CONFIGURATION.replace("k: 3", "k: 5"), claims=claim())
    version(past, "1.1.0")
    commit(past)
    git(past.root, "checkout", "-q", "main")
    past.skill(text=WITH_CONFIGURATION.replace("k: 3", "k: 7"), claims=claim())
    version(past, "1.1.0")
    commit(past)
    git(past.root, "merge", "-q", "--no-edit", "-X", "ours", "work")
    assert "k: 7" in (past.root / "skills/a-skill/SKILL.md").read_text()
    assert len(versions(mu, past)) == 1


def test_what_git_remembers_is_kept_and_only_new_commits_are_read(past, monkeypatch):
    from merginguriel.knowledge import git as asked
    from merginguriel.knowledge.skills import versions as kept

    folder = past.root / "skills"
    first = kept.history(folder)
    assert [version for _, version, _ in first["a-skill"]] == ["1.0.0"]
    version(past, "1.0.1")
    commit(past)
    real, commands = asked.ask, []

    def counted(folder, *arguments, **more):
        commands.append(arguments)
        return real(folder, *arguments, **more)

    monkeypatch.setattr(asked, "ask", counted)
    second = kept.history(folder)
    assert [version for _, version, _ in second["a-skill"]] == ["1.0.1", "1.0.0"]
    [log] = [one for one in commands if one[0] == "log"]
    assert any(".." in argument for argument in log)
    commands.clear()
    assert kept.history(folder) == second and [one[0] for one in commands] == ["rev-parse"]
    git(past.root, "commit", "-q", "--amend", "-m", "another")  # the commit that was read is no more
    assert [version for _, version, _ in kept.history(folder)["a-skill"]] == ["1.0.1", "1.0.0"]
    assert len({one for one, _, _ in kept.history(folder)["a-skill"]}) == 2
    kept.place(folder).write_text("{}")
    assert len(kept.history(folder)["a-skill"]) == 2


def test_lint_says_nothing_of_versions_without_git_or_before_the_first_commit(mu, bench, monkeypatch):
    assert mu("lint", "--workspace", bench.root).code == 0
    git(bench.root, "init", "-q")
    assert mu("lint", "--workspace", bench.root).code == 0
    commit(bench)
    bench.skill(text=SKILL.format(name="a-skill").replace("Do it.", "Do not."))
    assert len(versions(mu, bench)) == 1
    monkeypatch.setenv("PATH", "/nowhere")
    assert mu("lint", "--workspace", bench.root).code == 0


def test_a_repository_that_git_cannot_read_keeps_lint_silent(mu, bench):
    (bench.root / ".git").write_text("gitdir: /nowhere\n")
    assert mu("lint", "--workspace", bench.root).code == 0


def test_lint_of_one_skill_tells_of_that_one(mu, past):
    past.skill("broken", text="---\n")
    assert mu("skills", "lint", "a-skill", "--workspace", past.root).code == 0
    assert "broken" in mu("skills", "lint", "--workspace", past.root).out
    assert mu("skills", "lint", "no-skill", "--workspace", past.root).code == 2
    assert mu("skills", "lint", "../skills", "--workspace", past.root).code == 1


def test_a_hundred_changed_skills_are_compared_by_a_few_calls_of_git(mu, bench, monkeypatch):
    for i in range(100):
        bench.skill(f"skill-{i}")
    git(bench.root, "init", "-q")
    commit(bench)
    for i in range(100):
        bench.skill(f"skill-{i}", text=SKILL.format(name=f"skill-{i}").replace("Do it.", "Do not."))
    from merginguriel.knowledge.lint.rules import version as rule

    knowledge = bench.load()
    calls = []
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **more: calls.append(a) or real(*a, **more))
    assert len(rule.check(knowledge)) == 100
    assert 0 < len(calls) < 10


# parts


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=4), st.lists(st.integers(0, 99), min_size=1, max_size=4)
)
def test_a_version_is_raised_one_way_at_most_and_by_number(a, b):
    one, two = (".".join(map(str, parts)) for parts in (a, b))
    assert not (raised(one, two) and raised(two, one))
    assert raised(one, f"{one}.1") and not raised(one, one) and not raised(f"{one}.0", one)


def test_versions_are_compared_by_number_and_not_by_letter():
    assert raised("1.9.0", "1.10.0") and not raised("1.10.0", "1.9.9") and raised("1", "1.0.1")


def test_sections_keep_their_code_and_headings_in_code_are_no_sections():
    found = section_texts("# T\n\n## A\n\n```\n## no\n```\n\n## B\n\nb\n")
    assert found == {"": "# T", "A": "```\n## no\n```", "B": "b"}


def test_settings_that_are_no_yaml_are_compared_as_lines():
    assert settings_changes("```yaml\na: {b: 1}\n```", "```yaml\na: {b: 2}\nc: [1, 2]\n```") == [
        "a.b: 1 → 2",
        "c: not set → [1, 2]",
    ]
    assert settings_changes("```yaml\n: : :\n  x\n```", "```yaml\na: 1\n```") == []


def test_a_skill_that_was_never_committed_is_compared_with_nothing(mu, past):
    past.skill("fresh", claims=claim(id="brand-new"))
    told = mu("skills", "diff", "fresh", "--workspace", past.root)
    assert told.code == 0 and told.out.startswith("added  fresh") and "added  brand-new" in told.out
