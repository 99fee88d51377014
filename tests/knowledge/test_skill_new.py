"""Is a scaffolded skill valid for every client and for lint, and is nothing overwritten or opened unasked?"""

from __future__ import annotations

import sys

import pytest
import skills_ref
from conftest import SKILL, of_other_rules

from merginguriel.knowledge.parse.claims import parse_claims
from merginguriel.knowledge.parse.skills import SECTIONS, read_skill


@pytest.mark.parametrize("template", ["research", "workflow", "a-skill"])
@pytest.mark.parametrize("name", ["new-topic", "x", "n" * 64, "schlüssel", "2026-01-20", "yes", "技能"])
def test_a_new_skill_is_valid_for_every_client_and_for_lint(mu, bench, template, name):
    told = mu("skills", "new", name, "--from", template, "--workspace", bench.root)
    assert told.code == 0 and told.out == f"skills/{name}\n"
    folder = bench.root / "skills" / name
    assert skills_ref.validate(folder) == []
    assert skills_ref.read_properties(folder).description == read_skill(folder).description
    assert mu("lint", "--workspace", bench.root).out == ""
    assert read_skill(folder).version == "1.0.0" and not read_skill(folder).foreign


def test_a_research_skill_has_every_section_and_a_workflow_the_needed_ones(mu, bench):
    for template in ("research", "workflow"):
        mu("skills", "new", template, "--from", template, "--workspace", bench.root)
    assert all(f"## {title}\n" in read_skill(bench.root / "skills" / "research").body for title in SECTIONS)
    workflow = read_skill(bench.root / "skills" / "workflow")
    assert workflow.metadata["domain"] == "workflow" and "## Results Summary" not in workflow.body


def test_the_example_of_a_claim_is_one_when_its_marks_are_taken_away(mu, bench):
    mu("skills", "new", "new-topic", "--workspace", bench.root)
    path = bench.root / "skills" / "new-topic" / "claims.yaml"
    text = path.read_text()
    assert read_skill(path.parent).claims == ()
    lines = [line[2:] for line in text.splitlines() if line.startswith(("# - ", "#   "))]
    (claim,) = parse_claims("\n".join(lines), path, "new-topic")
    assert claim.predicate == "beats" and claim.evidence


def test_a_skill_as_template_gives_its_sections_and_not_its_claims_or_dates(mu, study, tmp_path):
    from merginguriel.workspace import seed

    root = tmp_path / "own"
    seed(root)
    told = mu("skills", "new", "copied", "--from", "source-compatibility", "--workspace", root)
    assert told.code == 0
    made, old = read_skill(root / "skills" / "copied"), read_skill(root / "skills" / "source-compatibility")
    assert made.body == old.body and made.claims == () and made.metadata["domain"] == old.metadata["domain"]
    assert made.version == "1.0.0" and made.updated >= old.updated
    found = mu("lint", "--workspace", root, "--json").json
    assert of_other_rules(problem["what"] for problem in found) == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["Upper"], 2, "not a valid skill name"),
        (["a--b"], 2, "not a valid skill name"),
        (["../out"], 2, "not a valid skill name"),
        ([""], 2, "not a valid skill name"),
        (["a-skill"], 1, "already there"),
        (["fresh", "--from", "nothing"], 2, "not a template or a skill"),
        (["fresh", "--description", "x" * 1025], 1, "1,024"),
        (["fresh", "--description", "Before --- after"], 1, "three dashes"),
        (["fresh", "--description", "one\ntwo"], 1, "one line"),
    ],
)
def test_what_cannot_be_a_skill_is_refused_and_leaves_nothing(mu, bench, arguments, code, said):
    told = mu("skills", "new", "--workspace", bench.root, "--", *arguments) if "--" in arguments else mu(
        "skills", "new", *arguments, "--workspace", bench.root
    )  # fmt: skip
    assert told.code == code and said in told.err and told.out == ""
    assert [path.name for path in (bench.root / "skills").iterdir()] == ["a-skill"]
    assert (bench.root / "skills" / "a-skill" / "SKILL.md").read_text() == SKILL.format(name="a-skill")


def test_quotes_and_backslashes_in_a_description_come_back_as_given(mu, bench):
    said = 'He said "merge", then \\ and # and : and {x} [y] ünï'
    assert mu("skills", "new", "quoted", "--description", said, "--workspace", bench.root).code == 0
    folder = bench.root / "skills" / "quoted"
    assert read_skill(folder).description == said == skills_ref.read_properties(folder).description


def test_an_editor_is_opened_only_when_asked_for(mu, bench, tmp_path, monkeypatch):
    script = tmp_path / "edit.py"
    script.write_text("import sys\nopen(sys.argv[1], 'a').write('edited\\n')\n")
    monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")
    assert mu("skills", "new", "plain", "--workspace", bench.root).code == 0
    assert mu("skills", "new", "opened", "--edit", "--workspace", bench.root).code == 0
    assert "edited" not in (bench.root / "skills" / "plain" / "SKILL.md").read_text()
    assert (bench.root / "skills" / "opened" / "SKILL.md").read_text().endswith("edited\n")


def test_outside_a_workspace_nothing_is_written(mu, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = mu("skills", "new", "fresh")
    assert told.code == 2 and "no workspace to write into" in told.err and list(tmp_path.iterdir()) == []


def test_an_editor_that_cannot_be_started_is_said_before_anything_is_made(mu, bench, monkeypatch):
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "nosuchprog --wait")
    told = mu("skills", "new", "x", "--edit", "--workspace", bench.root)
    assert told.code == 2 and "the editor 'nosuchprog --wait' cannot be started" in told.err
    assert not (bench.root / "skills" / "x").exists()
