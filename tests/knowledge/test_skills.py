"""Is what we accept valid for every Agent Skills client, and what we refuse refused for a reason?"""

from __future__ import annotations

from pathlib import Path

import pytest
import skills_ref
from conftest import KNOWLEDGE, SKILL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.log.append import check_text
from merginguriel.knowledge.parse.skills import Skill, read_skill

SKILLS = KNOWLEDGE / "skills"
GOOD = SKILL.format(name="a-skill")


def write(folder: Path, text: str, name: str = "a-skill") -> Path:
    path = folder / name / "SKILL.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path) -> Skill | KnowledgeError:
    try:
        return read_skill(path.parent)
    except KnowledgeError as error:
        return error


def test_a_good_skill_is_read_as_the_reference_reads_it(tmp_path):
    path = write(tmp_path, GOOD)
    skill, theirs = read_skill(path.parent), skills_ref.read_properties(path.parent)
    assert skills_ref.validate(path.parent) == []
    assert (skill.name, skill.description, skill.metadata) == (
        theirs.name,
        theirs.description,
        theirs.metadata,
    )


DESCRIPTION = 'description: "How to test. Use when testing."'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (DESCRIPTION, 'description: "Before --- after."', "three dashes"),
        (DESCRIPTION, "description: |\n  one\n  two", "one line"),
        (DESCRIPTION, f'description: "{"x" * 1025}"', "1,024"),
        (DESCRIPTION, 'description: ""', "empty"),
        (DESCRIPTION, "description: 2026-01-20", "without quotes"),
        (DESCRIPTION, "description: [a, b]", "one value"),
        (DESCRIPTION, "", "no description"),
        ("name: a-skill", "name:\ta-skill", "a tab"),
        ("name: a-skill", "name: another", "its folder is"),
        ("name: a-skill", "", "no name"),
        ('license: "Apache-2.0"', 'licence: "Apache-2.0"', "unknown field"),
        ('license: "Apache-2.0"', "compatibility:\n  - a", "one value"),
        ('license: "Apache-2.0"', f'compatibility: "{"x" * 501}"', "500"),
        ('created: "2026-01-20"', "created: 2026-01-20", "without quotes"),
        ('version: "1.0.0"', "version: 1.0", "without quotes"),
        ('tags: "test"', "tags: [a, b]", "one value"),
        ('tags: "test"', "tags:\n    deep: x", "one value"),
        ('tags: "test"', "", "no tags"),
        ('version: "1.0.0"', 'version: "1.0.0"\n  version: "2"', "appears twice"),
        ("## References", "## Sources", "'## References' is missing"),
        ("## General Description", "## References\n\n## General Description", "the wrong order"),
        ("Text.", "line\n" * 600, "500 lines"),
    ],
)
def test_what_some_client_would_misread_is_refused_with_file_and_line(tmp_path, old, new, said):
    path = write(tmp_path, GOOD.replace(old, new, 1))
    error = read(path)
    assert isinstance(error, KnowledgeError) and said in error.what
    file, _, line = (error.where or "").rpartition(":")
    assert file == str(path) and int(line) >= 1


def test_metadata_in_braces_is_refused_as_the_reference_does(tmp_path):
    front = GOOD[: GOOD.index("metadata:")]
    pairs = ", ".join(
        f'{k}: "x"' for k in ("version", "created", "updated", "domain", "tags", "short-description")
    )
    path = write(tmp_path, f"{front}metadata: {{{pairs}}}\n---\n" + GOOD.split("---\n", 2)[2])
    assert skills_ref.validate(path.parent) != []
    assert isinstance(read(path), KnowledgeError)


NAMES = st.text(st.sampled_from("ab-É9_ "), max_size=6) | st.just("x" * 65)
LINES = st.sampled_from(
    [
        "",
        "# a comment",
        'license: "MIT"',
        "license: MIT",
        "license: 1.0",
        "allowed-tools: Bash(git:*) Read",
        'compatibility: "Python"',
        "compatibility: {a: b}",
        "other: x",
        "--- x",
        "---x",
        "license: &a MIT",
        "license: !!str MIT",
        "license: 'it''s ---'",
        'license: "a\\n---\\nb"',
        "license: >\n  folded\n  text",
        "\ufefflicense: MIT",
        "license:\tMIT",
        "  indented: x",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=NAMES,
    line=LINES,
    description=st.sampled_from(['"Fine."', "Fine.", "'It''s'", "a: b", "x --- y", "yes"]),
)
def test_what_we_accept_the_reference_accepts(tmp_path, name, line, description):
    folder = name.strip() or "a-skill"
    text = GOOD.replace("name: a-skill", f"name: {name}").replace(
        '"How to test. Use when testing."', description
    )
    path = write(tmp_path, text.replace('license: "Apache-2.0"', line), folder)
    if isinstance(read(path), Skill):
        assert skills_ref.validate(path.parent) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, GOOD.index("## General")),
    st.integers(0, 9),
    st.text(max_size=3)
    | st.sampled_from(["---", '"', ":", "\n", "{", " ", "- ", "'", "#", "|", "\n\n", "? ", "\t", "%"]),
)
def test_a_damaged_skill_is_refused_or_still_valid_for_every_client(tmp_path, at, cut, put):
    # One that is neither read nor refused with file and line raises here.
    path = write(tmp_path, GOOD[:at] + put + GOOD[at + cut :])
    found = read(path)
    if isinstance(found, Skill):
        assert skills_ref.validate(path.parent) == []
    else:
        assert (found.where or "").startswith(str(path))


def test_the_entry_that_the_retrospective_skill_shows_is_accepted(tmp_path):
    text = (SKILLS / "retrospective" / "SKILL.md").read_text(encoding="utf-8")
    shown = text.partition("```markdown\n")[2].partition("```")[0]
    entry = check_text(tmp_path, shown)
    assert len(entry.rows) == 1 and len(entry.questions) == 1
    header = next(line for line in shown.splitlines() if line.startswith("| target"))
    assert {"wins", "losses", "se"} <= {cell.strip() for cell in header.split("|")}


def test_the_poolings_that_a_skill_calls_built_in_are_the_ones_there_are():
    from merginguriel.models.classifier import POOLINGS, TOKENS

    text = (SKILLS / "embedding-pooling-and-heads" / "SKILL.md").read_text(encoding="utf-8")
    assert set(POOLINGS) - {TOKENS} == {"mean", "cls"} and "Built in are mean and first-token pooling" in text
    assert "--help" not in text
