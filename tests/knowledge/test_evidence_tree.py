"""Can a reader walk from a sentence to the file that it rests on, and is a broken link told?"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from conftest import HEAD, SKILL, claim, head, row

from merginguriel.files import sha256
from merginguriel.knowledge.lint import runner
from merginguriel.knowledge.log.draft_text import rows_csv

E1 = "2026-01-20-test-00000001"
E2 = "2026-01-21-test-00000002"
CLAIM = claim(scope="{context: massive/xlm-roberta-base, target: sw-KE}")


def made(bench, *, run: str = "merge-sw-KE-1", value: float = 0.6) -> None:
    """An entry with a row of a run, the claim that cites it, the sentence that cites the claim, and the run itself."""
    top = head("run")
    bench.entry(table=f"{top}{row('sw-KE', value, 0.5)} {run} |")
    bench.skill(text=SKILL.format(name="a-skill").replace("Text.", "It pays [a-claim]."), claims=CLAIM)


def run_of(bench, value: float = 0.6, *, finished: bool = True) -> None:
    known = bench.load()
    folder = bench.root / "runs" / "merge-sw-KE-1"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("kind: merge\n")
    (folder / "provenance.yaml").write_text(
        'time: "2026-01-20T10:00:00Z"\ncode: 0.1.0 1f2e3d4c5b6a\nseed: 0\n'
    )
    if not finished:
        return
    (folder / "rows.csv").write_text(rows_csv([replace(known.rows[0], value=value)]))
    (folder / "result.json").write_text(json.dumps({"run": "merge-sw-KE-1", "data": "d1f2"}))


def problems(bench) -> list[str]:
    return [f"{p.where.rpartition('/')[2]}: {p.what}" for p in runner.problems(bench.load_space())]


def test_the_chain_ends_at_the_digest_of_a_file(bench, mu):
    made(bench)
    run_of(bench)
    told = mu("why", "a-claim", "--json", "--workspace", bench.root)
    claim = told.json
    (entry,) = claim["rests_on"]
    (measured,) = entry["rests_on"]
    (run,) = measured["rests_on"]
    artefacts = {node["name"]: node["sha256"] for node in run["rests_on"]}
    kinds = [node["kind"] for node in (claim, entry, measured, run, run["rests_on"][0])]
    assert kinds == ["claim", "entry", "row", "run", "artefact"]
    assert claim["status"] == "supported" and claim["grade"]["level"] == "moderate"
    assert (
        claim["said_in"][0].endswith("SKILL.md:16: It pays.")
        and "pooled difference below" in claim["would_change"]
    )
    assert run["code"] == "0.1.0 1f2e3d4c5b6a" and run["data"] == "d1f2"
    assert artefacts["rows.csv"] == sha256(bench.root / "runs" / "merge-sw-KE-1" / "rows.csv")
    assert problems(bench) == []
    shown = mu("why", "a-claim", "--workspace", bench.root).out
    for part in ("a-claim  It is so.", "[supported] +10.00 pp", "− replication: not repeated", f"└─ {E1}",
                 "#r1  sw-KE ExcTar similarity REAL 5", "merge-sw-KE-1  finished", "rows.csv  sha256"):  # fmt: skip
        assert part in shown, shown


def test_a_run_that_is_elsewhere_is_no_error_and_is_said(bench, mu):
    made(bench)
    assert "merge-sw-KE-1  its folder is not on this machine" in mu("why", E1, "--workspace", bench.root).out
    assert problems(bench) == []
    run_of(bench, finished=False)
    assert "merge-sw-KE-1  has no result" in mu("why", E1, "--workspace", bench.root).out
    (problem,) = problems(bench)
    assert f"{E1}#r1 names the run merge-sw-KE-1, which is here and has no result." in problem


def test_a_row_that_its_run_did_not_measure_is_a_broken_link(bench):
    made(bench)
    run_of(bench, 0.59)
    (problem,) = problems(bench)
    assert (
        f"{E1}#r1 says sw-KE similarity 0.6000 of the run merge-sw-KE-1, which measured no such thing"
        in problem
    )


@pytest.mark.parametrize("name", ["../secret", "..", "a/b", "/etc"])
def test_a_run_id_never_leads_out_of_the_workspace(bench, mu, name):
    made(bench, run=name)
    (bench.root / "runs").mkdir()
    told = mu("why", E1, "--workspace", bench.root)
    assert f"{name}  its folder is not on this machine" in told.out and problems(bench) == []


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("a-claim", "a-claim  It is so."),
        ("a-skill", "a-skill  a skill for tests"),
        (E1, f"{E1}  A test"),
        ("2026-01-20-te", f"{E1}  A test"),
        (f"{E1}#r1", f"{E1}#r1  sw-KE ExcTar similarity REAL 5: 60.00% against"),
    ],
)
def test_it_starts_anywhere(bench, mu, name, first):
    made(bench)
    told = mu("why", name, "--workspace", bench.root)
    assert told.code == 0 and told.out.startswith(first)


@pytest.mark.parametrize(("name", "said"), [("a-clam", "Did you mean a-claim"), (f"{E1}#r7", "has no row 'r7'"), ("2025-", "no entry id"), ("", "unknown claim")])  # fmt: skip
def test_an_unknown_name_is_answered_with_its_neighbours(bench, mu, name, said):
    made(bench)
    told = mu("why", name, "--workspace", bench.root)
    assert told.code == 2 and said in told.err


def test_each_status_says_what_would_change_it(bench, mu):
    def would(value: float, more: str = "") -> str:
        made(bench, value=value)
        bench.skill(claims=CLAIM + more)
        return mu("why", "a-claim", "--json", "--workspace", bench.root).json["would_change"]

    assert would(0.6).startswith("rows that bring the pooled difference below 2.5")
    # By hand: se of 51% and 50% on 2,974 items is 1.297 pp; (1.96 · 1.297 / 1)² = 6.5.
    assert "0.51 pp or less (now 1.30): 6.5 times the items" in would(0.51)
    assert would(0.4).startswith("only a correction")
    assert would(0.499).startswith("an entry that lifts or corrects")
    assert would(0.6, "  superseded_by: a-claim\n") == "nothing; see mu why a-claim"


def test_a_mark_is_shown_at_the_row_that_it_reaches_and_not_before_its_day(bench, mu):
    made(bench)
    bench.entry(table="x\n\n## Invalidates\n\nThe wrong base.\n\n- target=sw-KE", entry=E2)
    told = mu("why", "a-claim", "--workspace", bench.root).out
    assert "[invalidated]" in told and f"by {E2}: The wrong base." in told
    assert "invalidated" not in mu("why", "a-claim", "--as-of", "2026-01-20", "--workspace", bench.root).out


def test_text_of_files_never_reaches_the_terminal_raw(bench, mu):
    made(bench)
    bench.entry(row("sw-KE", 0.6, 0.5), title="\x9b31mred")
    assert "\x9b" not in mu("why", "a-claim", "--workspace", bench.root).out


def test_long_entries_are_cut_and_all_shows_the_rest(bench, mu):
    bench.entry(*(row("sw-KE", 0.6 + i / 1e4, 0.5) for i in range(30)))
    told = mu("why", E1, "--workspace", bench.root).out
    assert "… and 18 more rows (--all)" in told and "#r12 " in told and "#r13 " not in told
    assert "#r30 " in mu("why", E1, "--all", "--workspace", bench.root).out


# Links


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("See [the table](results/a.csv).", "links to results/a.csv, which does not exist"),
        ("![Figure](a%20b.png)", "links to a b.png"),
        ("[x](gone.md#part)", "links to gone.md"),
        ("It pays [no-such-claim].", "[no-such-claim] is not a claim"),
        (f"As {E2} says.", f"names {E2}, which is not in the log"),
        (f"As {E1}#r9 says.", f"names {E1}#r9, which is not in the log"),
        ("See [the page](https://example.org/a.csv), [above](#top) and [mail](mailto:a@b.c).", None),
        ("See [this](SKILL.md) and [the log](../../experiment_log/).", None),
        (f"As {E1} and {E1}#r1 say [a-claim] [1] [x].", None),
        ("`[x](gone.md)` is how a link is written.", None),
        ("```\n[x](gone.md)\n```", None),
    ],
)
def test_a_pointer_that_leads_nowhere_is_found(bench, text, said):
    made(bench)
    bench.skill(text=SKILL.format(name="a-skill").replace("Text.", text))
    found = problems(bench)
    assert (found == []) if said is None else (len(found) == 1 and said in found[0]), found


@pytest.mark.parametrize(
    ("title", "text", "wrong"),
    [
        ("Data", "- `results/run.json`", True),
        ("Data", "- results/run.json and matrix.csv", True),
        ("Files", "- /data/models/x.safetensors", True),
        ("Data", f"- {E1}.md", False),
        ("Data", "- https://example.org/results/run.json, arXiv:2306.01708", False),
        ("Data", "Nothing was kept; accuracy and/or loss were not recorded.", True),
        ("Findings", "- `1_Pooling/config.json` says so", False),
    ],
)
def test_paths_under_data_and_references_have_to_exist(bench, title, text, wrong):
    bench.entry(table=f"{HEAD}{row()}\n\n## {title}\n\n{text}")
    assert bool(problems(bench)) is wrong, problems(bench)


# What was withdrawn


@pytest.mark.parametrize(
    ("sentence", "wrong"),
    [
        ("Three URIEL sources gain 11.26 pp for Swahili.", True),
        ("With three URIEL sources we gain +11.3 pp for sw-KE.", True),
        ("For sw-KE, +11.3% was the headline.", True),
        ("That three URIEL sources gain 11.26 pp for Swahili was withdrawn.", False),
        ("Three URIEL sources do not gain 11.26 pp for Swahili.", False),
        ("“Three URIEL sources gain 11.26 pp for Swahili” is an old headline.", False),
        ("Three URIEL sources gain 11.26 pp for Welsh.", False),
        ("Swahili has two sources.", False),
    ],
)
def test_what_was_withdrawn_is_not_stated_again(bench, sentence, wrong):
    bench.entry(row("sw-KE", 0.6, 0.5))
    old = (
        CLAIM.replace("a-claim", "old").replace("It is so.", "Three URIEL sources gain 11.26 pp for Swahili.")
        + "  value: 11.26\n  unit: pp\n  superseded_by: a-claim\n"
    )
    bench.skill(claims=CLAIM + old)
    (bench.root / "README.md").write_text(f"# Ours\n\nText. {sentence}\n", encoding="utf-8")
    found = [what for what in problems(bench) if "repeats old, which" in what]
    assert bool(found) is wrong, problems(bench)
    assert all(what.startswith("README.md:3") for what in found)


def test_a_sentence_that_cites_a_claim_within_noise_keeps_its_voice_down(bench):
    bench.entry(row("sw-KE", 0.51, 0.50))
    for text, said in (("It must be done [a-claim].", "says 'must', but a-claim is under noise"), ("It may help [a-claim].", None)):  # fmt: skip
        bench.skill(text=SKILL.format(name="a-skill").replace("Text.", text), claims=CLAIM)
        found = problems(bench)
        assert (said is None and found == []) or (said is not None and said in found[0]), found
