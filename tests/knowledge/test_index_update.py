"""Does an index to which entries were added one by one say the same as one that was built from all of them?"""

from __future__ import annotations

import random
import sqlite3

import pytest
from conftest import EXPLORE, HEAD, Bench, row

from merginguriel import workspace
from merginguriel.knowledge.search import index

CLAIM = """\
- id: claim-{number}
  text: "It is so."
  scope: {{{scope}}}
  predicate: {predicate}
  {over}
  evidence: [{evidence}]
  since: "2026-01-10"
"""
SCOPES = (
    "target: sw-KE, method: ties",
    "target: [sw-KE, cy-GB]",
    "method: similarity",
    "context: massive/xlm-roberta-base",
    "target: cy-GB, method: [ties, similarity]",
)
WORTH = "SELECT kind, name, type, date, status, reason, trust FROM docs ORDER BY kind, name"


def name(number: int) -> str:
    return f"2026-01-{number + 10:02}-entry-{number:08x}"


def state(bench: Bench, connection: sqlite3.Connection) -> list[tuple]:
    index.follow(connection, bench.load_space())
    return connection.execute(WORTH).fetchall()


def added(bench: Bench, number: int, drawn: random.Random, marks: bool) -> None:
    lines = [
        row(drawn.choice(("sw-KE", "cy-GB", "vi-VN")), drawn.uniform(0.4, 0.6), 0.5, method=drawn.choice(("ties", "similarity")),
            similarity=drawn.choice(("REAL", "URIEL")))
        for _ in range(drawn.randint(0, 3))
    ]  # fmt: skip
    table = HEAD + "\n".join(lines) if lines else "x"
    if marks:
        table += f"\n\n## Contests\n\nA doubt.\n\n- {drawn.choice(('target=cy-GB', 'dates=..2026-01-14', 'method=ties'))}"
    old = name(drawn.randrange(number)) if number else ""
    more = "" if not old else drawn.choice(("", f'supersedes: "{old}"\n', f'links: "{old}"\n'))
    bench.entry(table=table, entry=name(number), more=more)


@pytest.mark.parametrize("seed", range(24 if EXPLORE else 4))
def test_step_by_step_it_says_what_it_says_of_all_at_once(bench, seed, monkeypatch):
    drawn = random.Random(seed)
    for skill in range(2):
        texts = []
        for number in range(4):
            preferred = drawn.random() < 0.3
            over = (
                "prefer: {similarity: REAL}\n  over: {similarity: URIEL}"
                if preferred
                else "over: best_single_source"
            )
            cited = {name(drawn.randrange(12)), f"{name(drawn.randrange(12))}#r1"}
            texts.append(
                CLAIM.format(
                    number=f"{skill}-{number}", scope=drawn.choice(SCOPES), over=over, evidence=", ".join(f'"{c}"' for c in cited),
                    predicate="prefers" if preferred else drawn.choice(("beats", "fails")),
                )
            )  # fmt: skip
        bench.skill(f"skill-{skill}", claims="".join(texts))
    steps = []
    real = index._step
    monkeypatch.setattr(index, "_step", lambda *given: steps.append(real(*given)) or steps[-1])
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for number in range(12):
        added(bench, number, drawn, marks=number in (3, 8) and seed % 2 == 0)
        whole = sqlite3.connect(":memory:", isolation_level=None)
        before = len(steps)
        assert state(bench, connection) == state(bench, whole)
        del steps[before + (number > 0) :]  # those of the whole index
    # Only what marks rows of others, or supersedes what does, is looked at with all there is.
    assert sum(steps) >= (len(steps) if seed % 2 else 6)


def test_one_more_entry_reads_no_other(bench, monkeypatch):
    bench.skill("a-skill", claims=CLAIM.format(number=1, scope=SCOPES[0], predicate="beats",
                                               over="over: best_single_source", evidence=name(1)))  # fmt: skip
    for number in range(6):
        bench.entry(row(method="ties"), entry=name(number))
    connection = sqlite3.connect(":memory:", isolation_level=None)
    index.follow(connection, bench.load_space())
    ask = "SELECT status FROM docs WHERE kind = 'claim'"
    was = connection.execute(ask).fetchall()

    def never(space: workspace.Workspace):
        raise AssertionError("everything was read again")

    monkeypatch.setattr(index, "load_readable", never)
    bench.entry(row(value=0.1, baseline=0.9, method="ties"), entry=name(7), more=f'supersedes: "{name(1)}"\n')
    index.follow(connection, bench.load_space())
    assert was == [("under noise",)] and connection.execute(ask).fetchall() == [("contested",)]
    [old] = connection.execute("SELECT status, reason FROM docs WHERE name = ?", (name(1),)).fetchall()
    assert old == ("superseded", f"superseded by {name(7)}")


def test_a_file_that_is_no_entry_is_taken_in_with_all_there_is(bench):
    bench.entry(row(), entry=name(1))
    connection = sqlite3.connect(":memory:", isolation_level=None)
    index.follow(connection, bench.load_space())
    bench.entry(table=f"{HEAD}| sw-KE | 5 |", entry=name(2))
    bench.entry(row(), entry=name(3))
    found = {name: status for _, name, _, _, status, _, _ in state(bench, connection)}
    assert (found[name(2)], found[name(3)]) == ("unreadable", "current")
