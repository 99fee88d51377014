"""Does one entry reach every row that it contests, no other, and give them back when it is lifted?"""

from __future__ import annotations

import pickle

import pytest
from conftest import HEAD, claim, head, row

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.claims import row_status
from merginguriel.knowledge.claims.grading import grade
from merginguriel.knowledge.lint import runner
from merginguriel.knowledge.parse import parse_cache

E1 = "2026-01-10-first-00000001"
E2 = "2026-01-20-second-00000002"
E3 = "2026-01-30-third-00000003"
E4 = "2026-02-10-fourth-00000004"
CLAIM = claim(
    scope="{context: massive/xlm-roberta-base, target: sw-KE, method: similarity}",
    evidence=E1,
    since="2026-01-10",
)
MADE = head("measured", "code", "run")


def says(heading: str, *items: str, reason: str = "The first of K models was dropped.") -> str:
    return f"{row()}\n\n## {heading}\n\n{reason}\n\n" + "\n".join(f"- {item}" for item in items)


def made(text: str, measured: str = "-", commit: str = "-", run: str = "-") -> str:
    return f"{text} {measured} | {commit} | {run} |"


def statuses(bench, entry: str = E1, as_of: str | None = None) -> list[str]:
    return [row.status for row in bench.load(as_of=as_of).by_entry[entry].rows]


def problems(bench) -> list[str]:
    return [problem.what for problem in runner.problems(bench.load_space())]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("context=massive/xlm-roberta-base", "xxxx"),
        ("target=sw-KE", "xx.."),
        ("target=sw-KE,cy-GB", "xxx."),
        ("target=sw-KE k=3", ".x.."),
        ("target=sw-KE k=7", "...."),
        ("method=ties", "...x"),
        ("dates=..2025-10-31", "x.x."),
        ("dates=2025-10-02..2025-10-31", "..x."),
        ("dates=2025-11-01..", ".x.x"),
        ("dates=..2025-10-01,2026-01-01..", "x..x"),
        ("commits=0a1b2c3", "x..."),
        ("commits=0a1b2c3d4e5f,ffffffff", "xx.."),
        ("runs=run-1", "..x."),
        ("baseline_kind=best_single_source baseline=0.46", "xxx."),
        ("baseline=50%", "...x"),
        (f"rows={E1}#r2,{E1}#r4", ".x.x"),
        (f"entries={E1} mode=ExcTar", "xxxx"),
    ],
)
def test_a_selector_reaches_the_rows_that_meet_all_its_conditions(bench, selector, expected):
    table = "\n".join(
        [
            made(row("sw-KE"), "2025-10-01", "0a1b2c3d"),
            made(row("sw-KE", k=3), "2025-11-02", "ffffffff"),
            made(row("cy-GB"), "2025-10-15", "1111111", "run-1"),
            made(row("vi-VN", 0.6, 0.5, method="ties")),
        ]
    )
    bench.entry(table=MADE + table, entry=E1)
    bench.entry(says("Invalidates", selector), entry=E2)
    assert "".join(".x"[status == "invalidated"] for status in statuses(bench)) == expected
    assert statuses(bench, E2) == ["current"]  # its own rows are what it found instead
    assert ("selects no row of the log" in str(problems(bench))) is (expected == "....")


def test_rows_logged_later_are_reached_only_if_they_say_they_were_made_then(bench):
    bench.entry(row(), entry=E1)
    bench.entry(
        says("Invalidates", "dates=..2025-12-31", "commits=abcdef0", "context=massive/xlm-roberta-base"),
        entry=E2,
    )
    late = [made(row()), made(row(), "2025-11-01"), made(row(), "-", "abcdef0"), made(row(), "2026-01-25")]
    bench.entry(table=MADE + "\n".join(late), entry=E3)
    assert statuses(bench, E3) == ["current", "invalidated", "invalidated", "current"]
    assert statuses(bench) == ["invalidated"]


def test_a_mark_of_days_to_come_reaches_no_later_row_that_does_not_say_its_day(bench):
    bench.entry(row(), entry=E1)
    bench.entry(says("Invalidates", "dates=2026-01-01.."), entry=E2)
    bench.entry(table=MADE + "\n".join([made(row()), made(row(), "2026-01-25")]), entry=E3)
    assert statuses(bench, E3) == ["current", "invalidated"]
    assert statuses(bench) == ["invalidated"]


def test_an_entry_that_knows_of_the_mark_is_not_reached(bench):
    same_day = "2026-01-20-again-00000009"
    bench.entry(says("Invalidates", "target=sw-KE"), entry=E2)
    bench.entry(row(), entry=same_day)
    assert statuses(bench, same_day) == ["invalidated"]
    bench.entry(row(), entry=same_day, more=f'links: "{E2}"\n')
    assert statuses(bench, same_day) == ["current"]


def test_it_propagates_to_claims_grades_and_advice_and_a_lift_restores_them(bench, mu):
    bench.entry(row("sw-KE", 0.60, 0.50), entry=E1)
    bench.skill(claims=CLAIM)

    def now() -> tuple[str, str, str, list[str]]:
        known = bench.load()
        advice = mu("advise", "--target", "sw-KE", "--json", "--workspace", bench.root).json
        counted = [item["ref"] for item in advice["evidence"]]
        status, level = known.standings["a-claim"].status, grade(known.claims[0], known).level
        return status, level, advice["verdict"], counted

    sound = now()
    assert sound == ("supported", "moderate", "merge", [f"{E1}#r1"])
    text = bench.entry(table="x\n\n## Invalidates\n\nThe wrong base.\n\n- target=sw-KE", entry=E2)
    assert now() == ("contested", "very low", "unknown", [])
    assert f"{E2}: The wrong base." in bench.load().standings["a-claim"].reason
    assert any("rests on 1 of 1 rows that were invalidated" in what for what in problems(bench))
    before = text.read_text(encoding="utf-8")
    bench.entry(table=f"x\n\n## Lifts\n\nThe base was right.\n\n- {E2}", entry=E3)
    assert now() == sound and problems(bench) == []
    assert text.read_text(encoding="utf-8") == before  # nothing that has landed was edited


def test_as_of_a_day_sees_the_marks_and_lifts_of_that_day(bench):
    bench.entry(row(), entry=E1)
    bench.entry(says("Contests", "target=sw-KE"), entry=E2)
    bench.entry(says("Lifts", E2), entry=E3)
    seen = [statuses(bench, as_of=day) for day in ("2026-01-15", "2026-01-25", "2026-02-01")]
    assert seen == [["current"], ["contested"], ["current"]]


def test_a_lift_may_give_back_some_rows_only(bench):
    bench.entry(row("sw-KE"), row("cy-GB"), entry=E1)
    bench.entry(says("Invalidates", f"entries={E1}"), entry=E2)
    bench.entry(says("Lifts", f"{E2} target=cy-GB"), entry=E3)
    assert statuses(bench) == ["invalidated", "current"]


def test_a_mark_falls_with_an_entry_that_is_superseded(bench):
    bench.entry(row(), entry=E1)
    bench.entry(says("Invalidates", "target=sw-KE"), entry=E2)
    bench.entry(row("cy-GB"), entry=E3, more=f'supersedes: "{E2}"\n')
    assert statuses(bench) == ["current"]


def test_invalidated_outweighs_contested_and_a_written_status_stays(bench):
    table = head("status")
    rows = [row("sw-KE") + " contested |", row("cy-GB") + " invalidated |", row("vi-VN") + " - |"]
    bench.entry(table=table + "\n".join(rows), entry=E1)
    bench.entry(says("Contests", f"entries={E1}"), entry=E2)
    assert statuses(bench) == ["contested", "invalidated", "contested"]
    bench.entry(says("Invalidates", f"entries={E1}"), entry=E3)
    bench.entry(says("Lifts", E3), entry=E4)
    assert statuses(bench, as_of="2026-01-30") == ["invalidated"] * 3
    assert statuses(bench) == ["contested", "invalidated", "contested"]


@pytest.mark.parametrize(
    ("heading", "item", "said"),
    [
        ("Invalidates", "", "select every row"),
        ("Invalidates", "everything", "'everything' is not a selector"),
        ("Invalidates", "colour=red", "is not a selector"),
        ("Invalidates", "target=", "has no value"),
        ("Invalidates", "k=3 k=5", "is given twice"),
        ("Invalidates", "dates=2025-10-31", "FIRST..LAST"),
        ("Invalidates", "dates=..", "FIRST..LAST"),
        ("Invalidates", "dates=..2025-13-01", "FIRST..LAST"),
        ("Invalidates", "commits=main", "not 7 to 40 hex digits"),
        ("Invalidates", "commits=1a2b3c4..5d6e7f8", "git log --format=%h 1a2b3c4..5d6e7f8"),
        ("Invalidates", "rows=r1", "not <entry id>#r<n>"),
        ("Invalidates", "entries=yesterday", "not an entry's id"),
        ("Invalidates", "baseline_kind=best", "unknown baseline_kind"),
        ("Invalidates", "baseline=80.63", "fraction or percent"),
        ("Lifts", "target=sw-KE", "does not start with an entry id"),
        ("lifts", E1, "unknown heading"),
    ],
)
def test_what_selects_nothing_is_refused_with_its_line(bench, heading, item, said):
    bench.entry(says(heading, item), entry=E2)
    with pytest.raises(KnowledgeError) as told:
        bench.load_all()
    assert said in f"{told.value.what} {told.value.hint}"
    assert (told.value.where or "").partition(".md:")[2].isdigit()


@pytest.mark.parametrize(
    ("text", "said"), [("Because.", "selects no row"), ("- target=sw-KE", "gives no reason")]
)
def test_a_mark_needs_a_reason_and_rows(bench, text, said):
    bench.entry(table=f"{HEAD}{row()}\n\n## Contests\n\n{text}", entry=E2)
    with pytest.raises(KnowledgeError, match=said):
        bench.load_all()


def test_lint_names_a_lift_of_nothing(bench):
    bench.entry(row(), entry=E1)
    bench.entry(says("Lifts", E1), entry=E2)
    assert any("has no mark to lift" in what for what in problems(bench))


def test_what_is_kept_between_calls_keeps_the_marks(bench):
    bench.entry(row(), entry=E1)
    bench.entry(says("Contests", "dates=..2026-01-15"), entry=E2)
    known = bench.load()
    assert known.entries[1].marks[0].selectors[0].traced
    again = bench.load()
    assert again.entries == known.entries and statuses(bench) == ["contested"]
    data = pickle.dumps(known.entries, protocol=5)
    import io

    assert parse_cache.KnowledgeUnpickler(io.BytesIO(data)).load() == known.entries


def test_without_marks_entries_are_passed_through(bench):
    bench.entry(row(), entry=E1)
    entries = bench.load().entries
    assert row_status.marked(entries) == entries and row_status.marks_of(entries) == {}
