"""Do `agentskills validate` and we judge the same skills alike, and where not, for a reason that we give?"""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import skills_ref
from conftest import REPOSITORY, SKILL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.parse.skills import OWN, Skill, read_skill

NAME = "a-skill"
OURS = SKILL.format(name=NAME)
FOREIGN = f"""\
---
name: {NAME}
description: How to test. Use when testing.
license: Apache-2.0
metadata:
  author: somebody
  version: "1.0"
---

# Anything

Free text, and no section of ours.
"""
BASES = {"ours": OURS, "foreign": FOREIGN}

# What the validator accepts and we refuse: class → what our message says. docs/skills.md gives the reasons.
STRICTER = {
    "three dashes": "three dashes inside",
    "dashes not alone": "--- alone",
    "tab": "a tab inside",
    "lower-case file name": "named skill.md",
    "not one value": "must be one value",
    "empty field": "is empty|has no (version|created|updated|domain|tags|short-description)",
    "long field": "more than 500 characters",
    "unquoted": "without quotes",
    "several lines": "must be one line",
    "metadata": "metadata is missing or not a mapping",
    "merge key": "has the key <<",
    "version and dates": "metadata.(version|created|updated) says",
    "not YAML for all": "this is not valid YAML",
    "sections": "the section '## .*' is missing|sections are in the wrong order",
    "long body": "the body has more than",
    "null character": r"control character U\+0000",
}


def put(old: str, new: str, count: int = 1):
    """A trap: `old` replaced, at a line of both bases."""
    return lambda text: text.replace(old, new, count)


def field(key: str, line: str):
    """A trap: the line of a key of the front matter, whatever it says, replaced."""
    return lambda text: re.sub(rf"^{key}:.*$", lambda _: line, text, count=1, flags=re.MULTILINE)


def inner(key: str, line: str):
    """A trap: the line of a key of metadata replaced."""
    return lambda text: re.sub(rf"^  {key}:.*$", lambda _: line, text, count=1, flags=re.MULTILINE)


TRAPS = {
    "nothing": lambda text: text,
    "dashes in a plain description": field("description", "description: Before --- after."),
    "dashes in a quoted description": field("description", 'description: "Before --- after."'),
    "dashes in a comment": field("license", "# --- a comment"),
    "dashes in metadata": inner("version", '  version: "1---2"'),
    "dashes at the end of a value": field("license", "license: MIT---"),
    "opening with text": put("---\n", "--- # opening\n"),
    "opening with the first key": put("---\nname", "---name"),
    "four dashes": put("---\n", "----\n"),
    "opening with blanks": put("---\n", "---  \n"),
    "closing with text": put("\n---\n", "\n--- end\n"),
    "closing indented": put("\n---\n", "\n  ---\n"),
    "not closed": put("\n---\n", "\n"),
    "no front matter": lambda text: text.split("---\n", 2)[2],
    "blank line first": lambda text: "\n" + text,
    "nothing at all": lambda text: "",
    "only dashes": lambda text: "---\n---\n",
    "front matter alone": lambda text: "---\n" + text.split("---\n", 2)[1] + "---\n",
    "front matter without last line end": lambda text: "---\n" + text.split("---\n", 2)[1] + "---",
    "byte order mark": lambda text: "\ufeff" + text,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CR": lambda text: text.replace("\n", "\r"),
    "tab after a key": field("license", "license:\tMIT"),
    "tab as indentation": inner("version", '\tversion: "1.0"'),
    "tab in quotes": field("license", 'license: "MIT\tlicense"'),
    "flow list for license": field("license", "license: [MIT, Apache]"),
    "block list for license": field("license", "license:\n  - MIT\n  - Apache"),
    "mapping for license": field("license", "license:\n  name: MIT"),
    "flow list for tools": field("license", "allowed-tools: [Bash, Read]"),
    "block list for tools": field("license", "allowed-tools:\n  - Bash\n  - Read"),
    "empty key in a list": field("license", "license:\n  - : x"),
    "text for tools": field("license", "allowed-tools: Bash(git:*) Read"),
    "flow list in metadata": inner("version", "  version: [1, 0]"),
    "block list in metadata": inner("version", "  version:\n    - 1\n    - 0"),
    "nested metadata": inner("version", '  version:\n    major: "1"'),
    "metadata in braces": lambda text: re.sub(r"^metadata:\n(  .*\n)+", 'metadata: {version: "1"}\n', text, flags=re.M),
    "metadata in empty braces": lambda text: re.sub(r"^metadata:\n(  .*\n)+", "metadata: {}\n", text, flags=re.M),
    "metadata is text": lambda text: re.sub(r"^metadata:\n(  .*\n)+", "metadata: none\n", text, flags=re.M),
    "metadata is empty": lambda text: re.sub(r"^metadata:\n(  .*\n)+", "metadata:\n", text, flags=re.M),
    "metadata is a list": lambda text: re.sub(r"^metadata:\n(  .*\n)+", "metadata:\n  - a\n", text, flags=re.M),
    "no metadata": lambda text: re.sub(r"^metadata:\n(  .*\n)+", "", text, flags=re.M),
    "unquoted version": inner("version", "  version: 1.10"),
    "unquoted whole version": inner("version", "  version: 2"),
    "unquoted date": inner("version", '  version: "1.0"\n  released: 2026-01-20'),
    "unquoted time": inner("version", '  version: "1.0"\n  released: 2026-01-20T10:00:00Z'),
    "version in words": inner("version", '  version: "next"'),
    "empty version": inner("version", "  version:"),
    "empty quoted version": inner("version", '  version: ""'),
    "wrong date": inner("updated", '  updated: "20 January"'),
    "impossible date": inner("updated", '  updated: "2026-02-30"'),
    "metadata indented by four": lambda text: re.sub(r"^  (\w)", r"    \1", text, flags=re.M),
    "metadata indented unevenly": inner("version", '    version: "1.0"'),
    "number as metadata key": inner("version", '  version: "1.0"\n  7: "seven"'),
    "metadata twice": put("metadata:\n", 'metadata:\n  x: "1"\nmetadata:\n'),
    "key twice": field("license", "license: MIT\nlicense: MIT"),
    "metadata key twice": inner("version", '  version: "1.0"\n  version: "1.0"'),
    "name twice": put(f"name: {NAME}", f"name: {NAME}\nname: {NAME}"),
    "anchor": field("license", "license: &a MIT"),
    "anchor and alias": field("license", "license: &a MIT\ncompatibility: *a"),
    "merge key": inner("version", '  <<: "x"\n  version: "1.0"'),
    "quoted merge key": inner("version", '  "<<": "x"\n  version: "1.0"'),
    "tag": field("license", "license: !!str MIT"),
    "binary tag": field("license", "license: !!binary TUlU"),
    "directive": put("---\n", "%YAML 1.2\n---\n"),
    "document end": field("license", "license: MIT\n..."),
    "explicit key": field("license", "? license\n: MIT"),
    "complex key": field("license", "? [a, b]\n: MIT"),
    "literal description": field("description", "description: |\n  How to test.\n  Use when testing."),
    "folded description": field("description", "description: >-\n  How to test.\n  Use when testing."),
    "folded description with line end": field("description", "description: >\n  How to test."),
    "literal that keeps": field("description", "description: |+\n  How to test.\n\n"),
    "plain over two lines": field("description", "description: How to test.\n  Use when testing."),
    "quoted over two lines": field("description", 'description: "How to test.\n  Use when testing."'),
    "line end escaped": field("description", 'description: "How to\\ntest."'),
    "single quotes": field("description", "description: 'It''s a test.'"),
    "colon in plain description": field("description", "description: Test: how to."),
    "colon at the end": field("description", "description: how to test:"),
    "hash in plain description": field("description", "description: Test #1 of two"),
    "quote not closed": field("description", 'description: "How to test.'),
    "quote and more": field("description", 'description: "How" to test.'),
    "text after quotes": field("description", "description: 'a' b"),
    "at sign": field("description", "description: @test"),
    "percent": field("description", "description: %test"),
    "backtick": field("description", "description: `test`"),
    "brace": field("description", "description: {test}"),
    "bracket": field("description", "description: [test]"),
    "bar": field("description", "description: |"),
    "empty description": field("description", "description:"),
    "empty quoted description": field("description", 'description: ""'),
    "blank description": field("description", 'description: "   "'),
    "no description": field("description", "# none"),
    "description is a list": field("description", "description:\n  - How to test."),
    "description is null": field("description", "description: null"),
    "description is a tilde": field("description", "description: ~"),
    "description is yes": field("description", "description: yes"),
    "description is a number": field("description", "description: 42"),
    "description is a date": field("description", "description: 2026-01-20"),
    "description of 1,024": field("description", f'description: "{"x" * 1024}"'),
    "description of 1,025": field("description", f'description: "{"x" * 1025}"'),
    "description of 1,024 and blanks": field("description", f'description: "{"x" * 1024} "'),
    "description in Swahili, Japanese, emoji": field("description", 'description: "Jinsi ya kujaribu 試験 🧪"'),
    "control character": field("description", 'description: "How\x07 to test."'),
    "escaped control character": field("description", 'description: "How \\a to test."'),
    "line separator": field("description", 'description: "How\u2028to test."'),
    "next line character": field("description", 'description: "How\x85to test."'),
    "no-break space": field("description", 'description: "How\u00a0to test."'),
    "wrong escape": field("description", 'description: "How \\q to test."'),
    "terminal markup": field("description", 'description: "\\e[31mHow to test."'),
    "empty license": field("license", "license:"),
    "empty quoted license": field("license", 'license: ""'),
    "unquoted number as license": field("license", "license: 1.0"),
    "long license": field("license", f'license: "{"x" * 501}"'),
    "compatibility": field("license", 'compatibility: "Python 3.11"'),
    "compatibility of 500": field("license", f'compatibility: "{"x" * 500}"'),
    "compatibility of 501": field("license", f'compatibility: "{"x" * 501}"'),
    "compatibility is a list": field("license", "compatibility:\n  - Python"),
    "compatibility is empty": field("license", "compatibility:"),
    "unknown field": field("license", "licence: MIT"),
    "version beside metadata": field("license", 'version: "1.0"'),
    "field in capitals": field("license", "License: MIT"),
    "no name": field("name", "# none"),
    "empty name": field("name", "name:"),
    "quoted name": field("name", f'name: "{NAME}"'),
    "another name": field("name", "name: another"),
    "name with blanks": field("name", f"name:   {NAME}   "),
    "name in capitals": field("name", "name: A-Skill"),
    "name is a list": field("name", f"name: [{NAME}]"),
    "comment in front": put("---\n", "---\n# a comment\n"),
    "comment after a value": field("license", "license: MIT # a comment"),
    "blank lines in front": field("license", "\nlicense: MIT\n"),
    "front is a list": lambda text: "---\n- a\n- b\n---\n",
    "front is text": lambda text: "---\njust text\n---\n",
    "front is empty": lambda text: "---\n\n---\n\nText.\n",
    "not YAML": field("license", "license: MIT\n  - : x"),
    "body with dashes": lambda text: text + "\n---\n\nMore.\n",
    "body with front matter": lambda text: text + "\n---\nname: other\n---\n",
    "long body": lambda text: text + "line\n" * 600,
    "section missing": put("## References", "## Sources"),
    "sections turned": put("## General Description", "## References\n\n## General Description"),
    "null byte in body": lambda text: text + "\0",
}  # fmt: skip

# What concerns the folder: name → (folder's name, its files made of a text).
FOLDERS = {
    "another folder": ("another", lambda text: {"SKILL.md": text}),
    "folder in capitals": ("A-Skill", lambda text: {"SKILL.md": text.replace(f"name: {NAME}", "name: A-Skill")}),
    "unicode name": ("schlüssel-ñ", lambda text: {"SKILL.md": text.replace(f"name: {NAME}", "name: schlüssel-ñ")}),
    "decomposed name": ("schlu\u0308ssel", lambda text: {"SKILL.md": text.replace(f"name: {NAME}", "name: schlüssel")}),
    "Chinese name": ("技能", lambda text: {"SKILL.md": text.replace(f"name: {NAME}", "name: 技能")}),
    "name of 64": ("x" * 64, lambda text: {"SKILL.md": text.replace(f"name: {NAME}", f"name: {'x' * 64}")}),
    "name of 65": ("x" * 65, lambda text: {"SKILL.md": text.replace(f"name: {NAME}", f"name: {'x' * 65}")}),
    "two hyphens": ("a--b", lambda text: {"SKILL.md": text.replace(f"name: {NAME}", "name: a--b")}),
    "hyphen first": ("-a", lambda text: {"SKILL.md": text.replace(f"name: {NAME}", "name: -a")}),
    "hyphen last": ("a-", lambda text: {"SKILL.md": text.replace(f"name: {NAME}", "name: a-")}),
    "underscore": ("a_b", lambda text: {"SKILL.md": text.replace(f"name: {NAME}", "name: a_b")}),
    "point": ("a.b", lambda text: {"SKILL.md": text.replace(f"name: {NAME}", "name: a.b")}),
    "number as name": ("123", lambda text: {"SKILL.md": text.replace(f"name: {NAME}", "name: 123")}),
    "date as name": ("2026-01-20", lambda text: {"SKILL.md": text.replace(f"name: {NAME}", "name: 2026-01-20")}),
    "yes as name": ("yes", lambda text: {"SKILL.md": text.replace(f"name: {NAME}", "name: yes")}),
    "no file": (NAME, lambda text: {"README.md": text}),
    "lower-case file": (NAME, lambda text: {"skill.md": text}),
    "file without ending": (NAME, lambda text: {"SKILL": text}),
    "both files": (NAME, lambda text: {"SKILL.md": text, "skill.md": "---\n"}),
    "more files": (NAME, lambda text: {"SKILL.md": text, "references/more.md": "text"}),
    "not UTF-8": (NAME, lambda text: {"SKILL.md": text.encode("utf-16")}),
    "one byte wrong": (NAME, lambda text: {"SKILL.md": text.encode().replace(b"test", b"t\xffst", 1)}),
}  # fmt: skip


def variants() -> list[tuple[str, str, dict[str, str | bytes]]]:
    """(label, folder's name, files): every trap on both bases, then pairs of traps, always the same ones."""
    found = []
    for base, text in BASES.items():
        found += [(f"{base}: {name}", NAME, {"SKILL.md": trap(text)}) for name, trap in TRAPS.items()]
        found += [(f"{base}: {name}", folder, make(text)) for name, (folder, make) in FOLDERS.items()]
    draw = random.Random(5)
    for _ in range(100):
        base, (one, two) = draw.choice(list(BASES)), draw.sample(list(TRAPS), 2)
        found.append((f"{base}: {one}, {two}", NAME, {"SKILL.md": TRAPS[two](TRAPS[one](BASES[base]))}))
    return found


VARIANTS = variants()


def written(root: Path, name: str, files: dict[str, str | bytes]) -> Path:
    folder = root / name
    for file, content in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return folder


CRASHES = (UnicodeDecodeError, AttributeError)


def theirs(folder: Path) -> bool:
    """Does the reference accept it? Text that is not UTF-8, and control characters, it does not refuse: it crashes."""
    try:
        return skills_ref.validate(folder) == []
    except CRASHES:
        return False


def ours(folder: Path) -> Skill | KnowledgeError:
    try:
        return read_skill(folder)
    except KnowledgeError as error:
        return error


@pytest.mark.slow
def test_every_variant_is_judged_alike_or_differs_in_a_listed_class(tmp_path):
    assert len(VARIANTS) >= 200 and len({repr(v[1:]) for v in VARIANTS}) >= 200
    unexplained, seen, alike = [], Counter(), Counter()
    for i, (label, name, files) in enumerate(VARIANTS):
        folder = written(tmp_path / str(i), name, files)
        accepted, found = theirs(folder), ours(folder)
        if accepted == isinstance(found, Skill):
            alike[accepted] += 1
            if isinstance(found, Skill) and (found.name, found.description) != tuple(
                getattr(skills_ref.read_properties(folder), key) for key in ("name", "description")
            ):
                unexplained.append(f"{label}: read otherwise: {found.name!r}, {found.description!r}")
            continue
        if isinstance(found, Skill):
            unexplained.append(f"{label}: we accept, they say {skills_ref.validate(folder)}")
            continue
        classes = [name for name, said in STRICTER.items() if re.search(said, found.what)]
        said_to_be_ours = OWN in (found.hint or "") or classes in (["not YAML for all"], ["null character"])
        if len(classes) != 1 or not said_to_be_ours:
            unexplained.append(f"{label}: we say {found.render()!r}")
        seen.update(classes)
    assert unexplained == [], "\n".join(unexplained)
    assert set(seen) == set(STRICTER), "a class of which no variant is an example"
    assert alike[True] >= 30 and alike[False] >= 60, alike


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(list(BASES.values())),
    st.integers(0, 200),
    st.integers(0, 9),
    st.text(max_size=3)
    | st.sampled_from(
        [
            "---",
            '"',
            ": ",
            "\n",
            "{",
            " ",
            "- ",
            "'",
            "#",
            "|",
            "\n\n",
            "? ",
            "\t",
            "%",
            "&a ",
            "*a",
            "[",
            "]",
            "!",
        ]
    ),
)
def test_of_damaged_skills_we_accept_none_that_the_reference_refuses(tmp_path, text, at, cut, put):
    folder = written(tmp_path, NAME, {"SKILL.md": text[:at] + put + text[at + cut :]})
    found = ours(folder)
    if isinstance(found, Skill):
        assert theirs(folder)
        assert found.description == skills_ref.read_properties(folder).description


def test_every_class_of_differences_is_in_the_documentation_with_its_reason():
    text = (REPOSITORY / "docs" / "skills.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE)
    listed = {name.strip(): reason.strip() for name, reason in table}
    assert set(STRICTER) <= set(listed)
    assert all(len(listed[name]) > 20 for name in STRICTER)


def test_every_refusal_says_what_and_where(tmp_path):
    for i, (label, name, files) in enumerate(VARIANTS):
        found = ours(written(tmp_path / str(i), name, files))
        if isinstance(found, KnowledgeError):
            assert found.what and str(tmp_path / str(i)) in (found.where or ""), label


def test_the_command_of_the_reference_accepts_what_we_ship_and_what_we_scaffold(mu, bench):
    command = Path(sys.executable).with_name("agentskills")
    if not command.exists():
        pytest.skip("agentskills is not installed")
    assert mu("skills", "new", "fresh-topic", "--workspace", bench.root).code == 0
    for folder in (REPOSITORY / "skills" / "advise", bench.root / "skills" / "fresh-topic"):
        told = subprocess.run([command, "validate", folder], capture_output=True, text=True, check=False)
        assert told.returncode == 0 and "Valid skill" in told.stdout
    (bench.root / "skills" / "fresh-topic" / "SKILL.md").write_text("---\n", encoding="utf-8")
    told = subprocess.run(
        [command, "validate", bench.root / "skills" / "fresh-topic"], capture_output=True, check=False
    )
    assert told.returncode == 1


def test_a_foreign_skill_is_read_and_makes_no_claims(mu, bench):
    bench.skill(NAME, text=FOREIGN)
    skill = bench.load().skill(NAME)
    assert (
        skill.foreign
        and skill.claims == ()
        and skill.version == "1.0"
        and skill.line.startswith("How to test")
    )
    assert mu("lint", "--workspace", bench.root).code == 0
    told = mu("skills", "list", "--workspace", bench.root)
    assert told.code == 0 and "(foreign)" in told.out
    assert mu("skills", "show", NAME, "--workspace", bench.root).code == 0


def test_a_skill_with_claims_is_held_to_our_rules_even_without_our_metadata(bench):
    bench.skill(NAME, text=FOREIGN, claims="[]\n")
    with pytest.raises(KnowledgeError, match="metadata has no created") as caught:
        bench.load_all()
    assert OWN in (caught.value.hint or "")
