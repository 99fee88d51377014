"""Is what the knowledge says found, the surest first, as the files are now, and labelled with how it stands?"""

from __future__ import annotations

import multiprocessing
import shutil
import sqlite3

import conftest
import pytest
from conftest import row
from hypothesis import example, given
from hypothesis import strategies as st

from merginguriel.errors import UsageError
from merginguriel.knowledge.lint import runner
from merginguriel.knowledge.search import index
from merginguriel.knowledge.search.query import search, terms
from merginguriel.workspace import find


def claim(id, text, **more):
    scope = "{context: massive/xlm-roberta-base, target: sw-KE, method: ties}"
    return conftest.claim(id, text=text, scope=scope, **more)


def names(found):
    return [hit.name for hit in found]


def test_words_are_found_in_their_other_forms_and_marked_in_a_snippet(bench):
    bench.entry(row(), entry="2026-01-20-one-00000001", title="Merged with patience")
    [hit] = search(bench.load_space(), "merging", kinds=["entry"])
    assert hit.name == "2026-01-20-one-00000001"
    assert [hit.snippet[a:b] for a, b in hit.marks] == ["Merged"]
    assert hit.path == "experiment_log/2026/2026-01-20-one-00000001.md"


def test_a_document_with_all_words_comes_before_one_with_some(bench):
    bench.entry(row(), entry="2026-01-20-some-00000001", title="Zebra zebra zebra zebra")
    bench.entry(row(), entry="2026-01-20-all-00000002", title="Zebra walks past the giraffe")
    assert names(search(bench.load_space(), "giraffe zebra", kinds=["entry"])) == [
        "2026-01-20-all-00000002",
        "2026-01-20-some-00000001",
    ]


def test_what_was_superseded_says_so_and_comes_last(bench):
    bench.entry(row(), entry="2026-01-20-old-00000001", title="Quagga trial, quagga")
    bench.entry(
        row(), entry="2026-01-21-new-00000002", title="Quagga trial",
        more='supersedes: "2026-01-20-old-00000001"\n',
    )  # fmt: skip
    bench.skill(
        "s-one",
        claims=claim("gone", "Quagga wins.", more="  superseded_by: stays\n") + claim("stays", "Quagga."),
    )
    found = {hit.name: hit for hit in search(bench.load_space(), "quagga")}
    assert names(search(bench.load_space(), "quagga", kinds=["entry"]))[-1] == "2026-01-20-old-00000001"
    assert found["2026-01-20-old-00000001"].status == "superseded"
    assert "2026-01-21-new-00000002" in found["2026-01-20-old-00000001"].reason
    assert found["gone"].status == "superseded" and "stays" in found["gone"].reason
    assert found["2026-01-21-new-00000002"].status == "current"


def test_a_supported_claim_comes_before_one_that_is_contested(bench):
    bench.entry(row(value=0.6, method="ties"), entry="2026-01-20-test-00000001")
    bench.skill(
        "s-one",
        claims=claim("unborne", "Okapi rules.", evidence="2026-01-20-none-00000009")
        + claim("borne", "Okapi rules."),
    )
    found = search(bench.load_space(), "okapi", kinds=["claim"])
    assert [(hit.name, hit.status) for hit in found] == [("borne", "supported"), ("unborne", "contested")]


def test_the_newer_of_two_alike_comes_first(bench):
    bench.entry(row(), entry="2024-01-20-old-00000001", title="Tapir")
    bench.entry(row(), entry="2026-01-20-new-00000002", title="Tapir")
    assert names(search(bench.load_space(), "tapir")) == [
        "2026-01-20-new-00000002",
        "2024-01-20-old-00000001",
    ]


def test_a_target_leaves_out_what_speaks_of_others_and_keeps_what_is_open(bench):
    bench.entry(row("sw-KE"), entry="2026-01-20-here-00000001", title="Lemur")
    bench.entry(row("cy-GB"), entry="2026-01-20-there-00000002", title="Lemur")
    bench.entry(entry="2026-01-20-open-00000003", table="", title="Lemur lemur lemur")
    found = names(search(bench.load_space(), "lemur", target="sw-KE"))
    assert found == ["2026-01-20-here-00000001", "2026-01-20-open-00000003"]
    assert names(search(bench.load_space(), "lemur", target="sw-KE", method="ties")) == [
        "2026-01-20-open-00000003"
    ]


def test_the_index_follows_every_change(bench):
    space = bench.load_space()
    path = bench.entry(row(), entry="2026-01-20-one-00000001", title="Wombat")
    assert names(search(space, "wombat")) == ["2026-01-20-one-00000001"]
    path.write_text(path.read_text().replace("Wombat", "Numbat"))  # as long as before, within the same moment
    assert names(search(space, "wombat")) == []
    assert names(search(space, "numbat")) == ["2026-01-20-one-00000001"]
    moved = path.with_name("2026-01-20-two-00000002.md")
    path.rename(moved)
    assert names(search(space, "numbat")) == ["2026-01-20-two-00000002"]
    moved.unlink()
    assert names(search(space, "numbat")) == []


def test_a_correction_labels_an_entry_that_was_indexed_long_ago(bench, monkeypatch):
    monkeypatch.setattr(
        "merginguriel.knowledge.parse.file_stamps.UNSETTLED", -1e12
    )  # every file counts as old
    bench.entry(row(), entry="2026-01-20-old-00000001", title="Dugong")
    space = bench.load_space()
    assert search(space, "dugong")[0].status == "current"
    bench.entry(row(), entry="2026-01-21-new-00000002", more='supersedes: "2026-01-20-old-00000001"\n')
    assert search(space, "dugong")[0].status == "superseded"


def test_nothing_is_read_when_nothing_changed(bench, monkeypatch):
    monkeypatch.setattr("merginguriel.knowledge.parse.file_stamps.UNSETTLED", -1e12)
    bench.entry(row(), entry="2026-01-20-one-00000001", title="Ibex")
    space = bench.load_space()
    before = search(space, "ibex")
    monkeypatch.setattr(index, "load_readable", lambda *_: pytest.fail("it was read again"))
    monkeypatch.setattr(index, "_digest", lambda *_: pytest.fail("it was read again"))
    assert search(space, "ibex") == before


def test_the_index_lies_in_the_cache_and_may_be_deleted_or_damaged(bench):
    space = bench.load_space()
    bench.entry(row(), entry="2026-01-20-one-00000001", title="Saiga")
    before = set(bench.root.rglob("*"))
    expected = search(space, "saiga")
    assert set(bench.root.rglob("*")) == before
    place = index.place(space.root)
    place.unlink()
    assert search(space, "saiga") == expected
    place.write_bytes(b"no database " * 1000)
    assert search(space, "saiga") == expected
    place.unlink()
    with sqlite3.connect(place) as other:
        other.execute("CREATE TABLE meta (something TEXT)")
    assert search(space, "saiga") == expected


def test_without_a_place_for_the_index_it_is_made_in_memory(bench, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    bench.entry(row(), entry="2026-01-20-one-00000001", title="Kudu")
    assert names(search(bench.load_space(), "kudu")) == ["2026-01-20-one-00000001"]


def ask(root, start, answers):
    start.wait()
    answers.put(names(search(find(explicit=root), "gnu", limit=100)))


def test_processes_that_begin_at_once_make_one_whole_index(bench):
    for number in range(40):
        bench.entry(row(), entry=f"2026-01-20-one-{number:08x}", title="Gnu")
    spawned = multiprocessing.get_context("fork")
    start, answers = spawned.Event(), spawned.Queue()
    asking = [spawned.Process(target=ask, args=(bench.root, start, answers)) for _ in range(4)]
    for process in asking:
        process.start()
    start.set()
    found = [answers.get(timeout=60) for _ in asking]
    for process in asking:
        process.join()
    assert all(one == found[0] and len(one) == 40 for one in found)


def test_an_entry_that_cannot_be_read_hides_no_other_and_is_found_as_it_is(bench):
    bench.entry(row(), entry="2026-01-20-one-00000001", title="Yak")
    bench.entry(entry="2026-01-20-two-00000002", table="| yak |\n|---|\n| broken |\n")
    found = {hit.name: hit.status for hit in search(bench.load_space(), "yak")}
    assert found == {"2026-01-20-one-00000001": "current", "2026-01-20-two-00000002": "unreadable"}


def test_a_pasted_error_finds_its_words_whatever_characters_it_has(bench):
    bench.entry(row(), entry="2026-01-20-one-00000001", title="RuntimeError: size of tensor must match")
    for number in range(8):
        bench.entry(row(), entry=f"2026-01-20-other-{number:08x}", title="The call of the line in the file")
    error = 'Traceback (most recent call last):\n  File "x.py", line 3, in <module>\n    f(a["b"] AND NOT (c OR* d:e^f))\n'
    error += "RuntimeError: The size of tensor a (60) must match the size of tensor b (58)\n"
    assert names(search(bench.load_space(), error))[0] == "2026-01-20-one-00000001"


TROUBLE = """\
---
title: "A head of another size"
type: "Troubleshooting"
date: "2024-01-20"
summary: "S."
---

## Error pattern

- `mu: /home/ann/models/sv-SE/model.safetensors:3 the head has 60 rows, 58 labels are named`

## Symptom

S.

## Cause

C.

## Mend

Train [red]both[/red] on one list of labels \x1b[31m.
"""
# The same trouble on another machine, and another trouble of which more words stand in the log.
PASTED = (
    "Running ...\n  mu: D:\\runs\\7\\de-DE.bin:41 the  head has 1,024 rows, 0x3f labels are named\nexit 1\n"
)
OTHER = "Running ...\n  mu: the oven of /home/ann/models/sv-SE has 60 rows\nexit 1\n"


def test_a_known_error_comes_first_with_its_mend_whatever_paths_and_numbers_it_has(bench, mu):
    bench.entry(
        row(), entry="2026-01-20-loud-00000001", title="the head has rows, labels are named running exit"
    )
    path = bench.root / "experiment_log" / "2024" / "2024-01-20-trouble-00000002.md"
    path.parent.mkdir()
    path.write_text(TROUBLE)
    first, second = search(bench.load_space(), PASTED)
    assert (first.name, second.name) == ("2024-01-20-trouble-00000002", "2026-01-20-loud-00000001")
    assert first.solution.startswith("Train [red]both") and second.solution == "" and first.score == 0.85
    said = mu("log", "search", PASTED, "--workspace", bench.root).out
    assert "solution: Train [red]both[/red] on one list of labels" in said and "\x1b" not in said
    # One line of it is enough, though it does not look like an error; another error is another.
    assert search(bench.load_space(), PASTED.splitlines()[1])[0].solution
    assert not any(hit.solution for hit in search(bench.load_space(), PASTED, kinds=["claim", "skill"]))
    assert not any(hit.solution for hit in search(bench.load_space(), OTHER))


def test_a_trouble_that_was_superseded_mends_nothing_any_more(bench):
    path = bench.root / "experiment_log" / "2024" / "2024-01-20-trouble-00000002.md"
    path.parent.mkdir()
    path.write_text(TROUBLE)
    assert search(bench.load_space(), PASTED)[0].solution
    bench.entry(table="", entry="2026-01-21-new-00000003", more='supersedes: "2024-01-20-trouble-00000002"\n')
    (old,) = search(bench.load_space(), PASTED)
    assert (old.solution, old.status) == ("", "superseded")


def test_a_query_without_a_word_is_refused(bench):
    with pytest.raises(UsageError):
        search(bench.load_space(), ' "*" -- ')


@given(st.text(max_size=80))
@example('"')
@example("NEAR(a b, 2)")
@example("title:x AND -y* ^z {a b}: c\x00d")
def test_no_character_of_a_query_is_an_operator(query):
    with sqlite3.connect(":memory:") as made:
        made.execute("CREATE VIRTUAL TABLE words USING fts5 (body, tokenize = 'porter unicode61')")
        for joined in (" AND ", " OR "):
            asked = terms(query)
            if asked:
                made.execute("SELECT * FROM words WHERE words MATCH ?", (joined.join(asked),)).fetchall()


@pytest.mark.parametrize(
    "text",
    ["\x1b[31mred\x1b[0m", "\x1b]8;;http://x\x07link\x1b]8;;\x07", "\u202egnp.exe", "\x9b2J", "\x02\x03"],
)
def test_what_a_terminal_would_obey_is_shown_and_not_obeyed(bench, mu, text):
    path = bench.entry(row(), entry="2026-01-20-one-00000001", title="Panda")
    path.write_text(
        path.read_text().replace("## Results", f"## Findings\n\nA panda {text} [red]bold[/red]\n\n## Results")
    )
    bench.skill("s-one", claims=claim("odd", "A panda [red]bold[/red]."))
    for command in (["search"], ["log", "search"], ["skills", "search"], ["search", "--json"]):
        said = mu(*command, "panda", "--workspace", bench.root)
        assert said.code == 0 and said.out
        assert all(line.isprintable() for line in said.out.split("\n"))
    shown = mu("log", "search", "panda", "bold", "--workspace", bench.root).out
    assert "[red]«bold»[/red]" in shown or "[red]" in shown


def test_the_three_commands_are_one_search_and_agree(bench, mu):
    bench.entry(row(), entry="2026-01-20-one-00000001", title="Civet")
    bench.skill("s-one", claims=claim("civets", "Civet."))
    found = {
        command: [
            hit["name"] for hit in mu(*command.split(), "civet", "--json", "--workspace", bench.root).json
        ]
        for command in ("search", "log search", "skills search")
    }
    assert sorted(found["search"]) == sorted(found["log search"] + found["skills search"])
    assert found["log search"] == ["2026-01-20-one-00000001"] and found["skills search"] == ["civets"]


def test_nothing_found_is_said_and_no_error(bench, mu):
    said = mu("search", "unheardof", "--workspace", bench.root)
    assert (said.code, said.out, said.err) == (0, "", "nothing found. --rerank searches by meaning too.\n")


# mu lint, kept


def test_lint_that_finds_nothing_new_prints_the_same_without_reading(bench, mu, monkeypatch):
    monkeypatch.setattr("merginguriel.knowledge.parse.file_stamps.UNSETTLED", -1e12)
    bench.entry("| broken |")
    first = mu("lint", "--workspace", bench.root)
    calls = []
    monkeypatch.setattr(runner, "problems", lambda space, program: calls.append(space) or [])
    again = mu("lint", "--workspace", bench.root)
    assert (first.code, first.out) == (again.code, again.out) == (1, first.out)
    assert not calls
    assert mu("lint", "--full", "--workspace", bench.root).code == 0 and calls


@pytest.mark.parametrize("change", ["add", "run"])
def test_lint_looks_again_where_an_entry_or_a_run_is_new(bench, monkeypatch, change):
    monkeypatch.setattr("merginguriel.knowledge.parse.file_stamps.UNSETTLED", -1e12)
    path = bench.entry(row())
    (bench.root / "runs" / "one").mkdir(parents=True)
    space = bench.load_space()
    runner.cached_problems(space)
    calls = []
    monkeypatch.setattr(runner, "problems", lambda space, program: calls.append(space) or [])
    runner.cached_problems(space)
    assert not calls
    if change == "add":
        shutil.copy(path, path.with_name("2026-01-20-test-00000002.md"))
    else:
        (bench.root / "runs" / "one" / "result.json").write_text("{}")
    runner.cached_problems(space)
    assert calls


def test_lint_keeps_nothing_of_files_that_were_written_just_now(bench):
    bench.entry(row())
    runner.cached_problems(bench.load_space())
    assert not runner.place(bench.root).exists()
