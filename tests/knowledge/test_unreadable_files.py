"""One bad file never stops the rest: commands answer from what can be read and name the rest; `mu lint` refuses."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from conftest import row

FOREIGN = '---\nname: {name}\ndescription: "How to test."\n{more}---\n\n# Topic\n\nText of the body.\n'
OWN = (
    'metadata:\n  version: "1.0.0"\n  domain: "workflow"\n  tags:\n    - a\n    - b\n  created: 2026-01-20\n'
)
CLAIM = """\
- id: ties-wins
  text: TIES beats the best source for sw-KE.
  scope: {target: sw-KE, method: ties}
  predicate: beats
  over: best_single_source
  evidence: [2026-01-20-test-00000001#r1]
  since: 2026-01-20
"""


def skill(data: str | bytes = FOREIGN, more: str = "", claims: str | None = None):
    """Return a function that writes this SKILL.md into a workspace."""

    def write(root: Path) -> None:
        folder = root / "skills" / "other"
        folder.mkdir()
        text = data.format(name="other", more=more) if isinstance(data, str) else data
        (folder / "SKILL.md").write_bytes(text if isinstance(text, bytes) else text.encode())
        if claims is not None:
            (folder / "claims.yaml").write_text(claims)

    return write


def entry(make, name: str = "2026-01-21-other-00000002.md"):
    """Return a function that makes something at this name in the log."""
    return lambda root: make(root / "experiment_log" / "2026" / name)


def at_skill(make):
    """Return a function that makes something in the place of a SKILL.md."""

    def write(root: Path) -> None:
        (root / "skills" / "other").mkdir()
        make(root / "skills" / "other" / "SKILL.md")

    return write


def listening(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket has at most 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def closed(path: Path) -> None:
    path.write_text("---\n")
    path.chmod(0)


# What others write: the skill is read all the same.
READ = {
    "tags as a list": skill(more=OWN),
    "nested metadata": skill(more="metadata:\n  author:\n    name: A\n    team: [x, y]\n"),
    "metadata in JSON": skill(more='metadata: {"tool": {"bins": ["a"]}, "emoji": "x"}\n'),
    "fields of one client": skill(more="version: 2.0.0\nargument-hint: [file]\nhooks:\n  Stop:\n    - run: a\n"),
    "allowed tools as a list": skill(more="allowed-tools: [Bash, Read]\n"),
    "a colon without quotes": skill("---\nname: {name}\ndescription: Use when: a user asks\n{more}---\nText of the body.\n"),
    "a date without quotes": skill(more="metadata:\n  domain: workflow\n  updated: 2026-01-20\n"),
    "a byte order mark": skill(b"\xef\xbb\xbf" + FOREIGN.format(name="other", more="").encode()),
    "a SKILL.md with NUL in its text": skill(FOREIGN.replace("# Topic", "# T\0pic")),
    "a tab": skill(more="license:\tMIT\n"),
    "the name of another folder": skill(FOREIGN.replace("{name}", "Company Portrait")),
    "a description of 2,000 characters": skill(FOREIGN.replace("How to test.", "How to test. " * 160)),
    "a claim that is none": skill(claims=CLAIM + "- id: broken\n  text: x\n"),
    "claims that are no YAML": skill(claims=CLAIM + "- id: [\n"),
    "claims in a pipe": lambda root: (skill()(root), os.mkfifo(root / "skills" / "other" / "claims.yaml")),
}  # fmt: skip
# What cannot be read is left out.
LEFT_OUT = {
    "latin-1": skill(FOREIGN.format(name="other", more="").replace("Text", "T\xe9xt").encode("latin-1")),
    "an empty SKILL.md": skill(""),
    "no description": skill("---\nname: {name}\n{more}---\nText.\n"),
    "no front matter": skill("# Topic\n\nText.\n"),
    "a SKILL.md that is a pipe": at_skill(os.mkfifo),
    "a SKILL.md that is a folder": at_skill(Path.mkdir),
    "a SKILL.md that links to nothing": at_skill(lambda path: path.symlink_to("nowhere")),
    "a SKILL.md of 5 MB": at_skill(lambda path: path.write_text(FOREIGN + "x" * 5_000_000)),
    "a stray copy in the log": entry(lambda path: path.write_text("Text."), "copy of x.md"),
    "an empty entry": entry(Path.touch),
    "an entry in latin-1": entry(lambda path: path.write_bytes(b"---\ntitle: \xe9\n---\n")),
    "an entry that is a pipe": entry(os.mkfifo),
    "an entry that is a socket": entry(listening),
    "an entry that is a folder": entry(Path.mkdir),
    "an entry that links to nothing": entry(lambda path: path.symlink_to("nowhere")),
    "an entry that links to itself": entry(lambda path: path.symlink_to(path.name)),
    "an entry of 5 MB": entry(lambda path: path.write_text("---\n" + "a b\n" * 1_300_000)),
    "an entry with NUL": entry(lambda path: path.write_bytes(b'---\ntitle: "a\0b"\n---\n')),
    "an entry with NUL in its text": entry(
        lambda path: path.write_text(
            '---\ntitle: "a"\ntype: "Observation"\ndate: "2026-01-21"\nsummary: "b"\n---\n\na\0b\n'
        )
    ),
    "an entry whose name is no UTF-8": entry(Path.touch, os.fsdecode(b"caf\xe9.md")),
    "an entry without permission": entry(closed),
    "a year without permission": lambda root: (root / "experiment_log" / "2025").mkdir(mode=0),
}  # fmt: skip
ASKED = (
    ("advise", "--target", "sw-KE"),
    ("skills", "list"),
    ("skills", "catalogue"),
    ("why", "a-skill"),
    ("log", "list"),
    ("log", "plans"),
    ("log", "questions"),
    ("log", "search", "test"),
    ("search", "test"),
)
SILENT = ("search",)  # commands of the index, which mark what cannot be read among their hits


def needs_permissions(name: str) -> None:
    if name.endswith("without permission") and os.geteuid() == 0:
        pytest.skip("root may read everything")


@pytest.mark.parametrize("name", [*READ, *LEFT_OUT])
def test_commands_answer_from_the_rest_and_lint_refuses(mu, bench, name):
    needs_permissions(name)
    bench.entry(row())
    ({**READ, **LEFT_OUT}[name])(bench.root)

    for words in ASKED:
        said = mu(*words, "--workspace", bench.root)
        assert said.code == (4 if words[0] == "advise" else 0) or said.code == 0, (words, said.err)
        if not set(SILENT) & set(words):
            assert ": mu lint\n" in said.err and "problem" in said.err, words
    told = mu("lint", "--workspace", bench.root)
    assert told.code == 1 and "problem" in told.err
    assert ("skills/other" in told.out) == (name in READ or "skill" in told.out)


@pytest.mark.parametrize("name", READ)
def test_what_others_write_is_read(bench, name):
    READ[name](bench.root)

    skill = bench.load().skill("other")

    assert "Text of the body." in skill.body and skill.description
    assert [claim.id for claim in skill.claims] == (
        ["ties-wins"] if "claim" in name and "pipe" not in name else []
    )


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_cannot_be_read_is_left_out_and_named_with_its_file(bench, name):
    needs_permissions(name)
    before = bench.load()
    bench.entry(row())
    LEFT_OUT[name](bench.root)

    knowledge = bench.load()

    assert [skill.name for skill in knowledge.skills] == [skill.name for skill in before.skills]
    assert [len(entry.rows) for entry in knowledge.entries] == [1]
    assert len(knowledge.problems) == 1
    assert str(bench.root) in knowledge.problems[0].where


def test_a_value_of_another_client_is_text(bench):
    READ["nested metadata"](bench.root)

    assert bench.load().skill("other").metadata == {"author.name": "A", "author.team": "x, y"}


def test_problems_are_known_again_from_the_cache(bench):
    bench.entry(row())
    READ["tags as a list"](bench.root)
    first = bench.load()

    again = bench.load()

    assert first.problems == again.problems != () and first.hash == again.hash
