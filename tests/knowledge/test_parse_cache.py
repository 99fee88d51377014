"""Is kept knowledge what would be parsed, and is nothing stale or strange taken?"""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from conftest import KNOWLEDGE, copy_knowledge

from merginguriel.knowledge import base
from merginguriel.knowledge.parse import parse_cache
from merginguriel.workspace import find


@pytest.fixture
def space(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return find(explicit=copy_knowledge(tmp_path / "space"))


def cached(space):
    return parse_cache.place(space.root)


def test_what_is_kept_is_what_was_parsed(space):
    parsed = base.load(space)
    assert cached(space).is_file()
    again = base.load(space)
    assert (again.skills, again.entries, again.hash) == (parsed.skills, parsed.entries, parsed.hash)
    assert again.standings == parsed.standings


def test_nothing_heavy_is_imported_for_it(space):
    base.load(space)
    code = (
        "import sys; from pathlib import Path; from merginguriel.knowledge import base;"
        "from merginguriel.workspace import find; base.load(find(explicit=Path(sys.argv[1])));"
        "print({'yaml', 'frontmatter'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code, space.root], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_any_change_of_a_text_is_seen(space):
    before = base.load(space)
    table = next(path for path in space.log.glob("*/*.csv"))
    entry = next(e for e in before.entries if table in e.files)
    table.write_text(table.read_text().replace("0.", "0.0", 1))
    broken = base.load(space)
    assert "sha256" in broken.problems[0].what and entry.id not in broken.by_entry
    shutil.copy(KNOWLEDGE / table.relative_to(space.root), table)
    assert base.load(space).hash == before.hash
    entry.path.unlink()
    assert entry.id not in base.load(space).by_entry
    skill = before.skills[0].path
    skill.write_text(skill.read_text() + "\nOne more line.\n")
    assert base.load(space).skills[0].body.endswith("One more line.")


@pytest.mark.slow
def test_a_damaged_or_hostile_cache_is_parsed_anew_and_runs_nothing(space, tmp_path):
    parsed = base.load(space)
    mark = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return (Path.touch, (mark,))

    for content in (b"", b"no pickle", cached(space).read_bytes()[:-40], pickle.dumps(Hostile())):
        cached(space).write_bytes(content)
        assert base.load(space).entries == parsed.entries
        assert not mark.exists()


def test_of_another_day_nothing_is_taken_from_it(space):
    everything = base.load(space)
    assert len(base.load(space, as_of="2026-01-20").entries) < len(everything.entries)


def test_where_nothing_can_be_kept_it_is_parsed(space, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(space.root / "mu.toml"))
    assert base.load(space).entries


def test_the_oldest_of_many_workspaces_gives_way(space, tmp_path):
    for number in range(parse_cache.WORKSPACES + 3):
        parse_cache.remember(tmp_path / str(number), "key", ())
    assert len(list(cached(space).parent.glob("*.pickle"))) == parse_cache.WORKSPACES


def test_every_class_that_may_be_unpickled_exists():
    for module, names in parse_cache.ALLOWED.items():
        if module != "pathlib._local":  # of Python 3.13
            for name in names:
                assert isinstance(getattr(import_module(module), name), type)
