"""What no entry may contain is refused; a refused text is never lost; drafts go when their entry has landed."""

from __future__ import annotations

import json
import os

import pytest
from conftest import claim, row

from merginguriel.knowledge.lint.runner import problems
from merginguriel.knowledge.log import drafts

ENTRY = '---\ntitle: "{title}"\ntype: "Observation"\ndate: "2026-02-01"\nsummary: "{summary}"\n---\n\n## Findings\n\n{body}\n'


def text(title="A finding", summary="It holds.", body="Text."):
    return ENTRY.format(title=title, summary=summary, body=body)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (text(title="x" * 1_000_000), "the title has 1,000,000 characters"),
        (text(summary="x " * 500_000), "the summary has"),
        (text(body="a\0b"), "control character U+0000"),
        (text(title="a\0b"), "U+0000"),
        (text(body="a\x1bb"), "control character U+001B"),
        (text(summary="See results/nxn.csv for all."), "points to the file results/nxn.csv"),
        (text(summary="The table is in report.pdf."), "points to the file report.pdf"),
        (text(summary="/srv/results/nxn"), "points to the file /srv/results/nxn"),
        (text(summary="See file:///srv/nxn."), "points to the file file:///srv/nxn"),
    ],
)
def test_what_no_entry_may_contain_is_refused_and_kept(log, bench, entry, said):
    told = log("add", "-", stdin=entry)

    assert told.code == 1 and said in told.err and len(told.err) < 2000
    assert bench.load().entries == () and len(list(bench.root.glob("experiment_log/.draft/*.md"))) == 1


RESULT = "Text.\n\n## Results\n\n| target | mode | method | k | similarity | metric | value | n | context | baseline_kind | baseline |{more}\n|---|---|---|---|---|---|---|---|---|---|---|{rule}\n| vi-VN | ExcTar | ties | 5 | REAL | accuracy | {value} | 2974 | massive/xlm-roberta-base | {kind} | {baseline} |{cell}"


def result(value="0.5796", kind="best_single_source", baseline="0.5000", more="", cell=""):
    rule = "---|" * bool(more)
    return text(
        body=RESULT.format(value=value, kind=kind, baseline=baseline, more=more, rule=rule, cell=cell)
    )


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (result("0.5658"), "the accuracy 0.5658 is no number of items over n = 2,974"),
        (result("56.58%"), "The nearest are 0.565568 (1,682) and 0.565905 (1,683)"),
        (result(baseline="0.5821"), "the baseline 0.5821 is no number of items over n = 2,974"),
    ],
)
def test_an_accuracy_that_no_number_of_items_gives_is_refused_with_the_nearest(log, bench, entry, said):
    for command in (("add", "-"), ("add", "-", "--dry-run")):
        told = log(*command, stdin=entry)
        assert told.code == 1 and said in told.err
    assert bench.load().entries == ()


@pytest.mark.parametrize(
    "entry",
    [
        result("0.5796"),  # 1,724 items, cut and not rounded
        result("57.97%"),
        result(kind="source_mean", baseline="0.5821"),
        result("0.5658", more=" status |", cell=" contested |"),
    ],
)
def test_a_rounded_or_cut_accuracy_a_mean_and_a_contested_one_are_accepted(log, entry):
    told = log("add", "-", stdin=entry)
    assert told.code == 0, told.err


def test_an_impossible_accuracy_in_json_is_named_by_its_key(log):
    cells = {"target": "vi-VN", "mode": "ExcTar", "method": "ties", "value": 0.5658}
    head = {"title": "A", "type": "Observation", "summary": "B.", "n": 2974, "sections": {"Findings": "C."}}
    told = log("add", "-", stdin=json.dumps({**head, "rows": [{**cells, "value": 0.5796}, cells]}))
    assert told.code == 1 and "rows[1].value" in told.err and "no number of items over n = 2,974" in told.err


@pytest.mark.parametrize(
    "summary",
    [
        "On massive/xlm-roberta-base it holds.",
        "For and/or 3.5 of 4 models.",
        "As e.g. TIES.",
        "See https://example.org/a/b.",
    ],
)
def test_a_context_or_a_fraction_is_no_pointer(log, summary):
    assert log("add", "-", stdin=text(summary=summary)).code == 0


def blocked(root):
    (root / "experiment_log").rmdir()
    (root / "experiment_log").write_text("a file")


def closed(root):
    (root / "experiment_log").chmod(0o555)


@pytest.mark.parametrize("close", [blocked, closed])
@pytest.mark.parametrize("entry", [text(), text(body="It gains 5% more.")], ids=["valid", "refused"])
def test_a_workspace_that_cannot_be_written_keeps_the_text_elsewhere_and_names_the_file(
    log, bench, close, entry
):
    if close is closed and os.geteuid() == 0:
        pytest.skip("root may write everything")
    close(bench.root)

    told = log("add", "-", stdin=entry)

    assert told.code == 1
    place = told.err.rpartition("run: mu log add ")[2].strip()
    assert not place.startswith(str(bench.root))
    with open(place, encoding="utf-8") as file:  # noqa: PTH123
        assert file.read() == entry


def test_a_draft_is_removed_when_its_corrected_text_lands_from_elsewhere(log, bench):
    assert log("add", "-", stdin=text(body="It gains 5% more.")).code == 1
    log("add", "-", stdin=text(title="Another", body="It gains 5% more."))
    assert len(drafts.listed(bench.load_space())) == 2

    assert log("add", "-", stdin=text(body="It gains 5 pp more.")).code == 0

    assert [draft.title for draft in drafts.listed(bench.load_space())] == ["Another"]


def test_a_draft_in_json_is_removed_too(log, bench):
    given = {
        "title": "A finding",
        "type": "Observation",
        "summary": "It holds.",
        "sections": {"Findings": "5% more."},
    }
    given["sections"]["Findings"] = "It gains 5% more."
    assert log("add", "-", stdin=json.dumps(given, indent=2)).code == 1

    given["sections"]["Findings"] = "It gains 5 pp more."
    assert log("add", "-", stdin=json.dumps(given, indent=2)).code == 0

    assert drafts.listed(bench.load_space()) == []


def found(bench):
    return [problem.what for problem in problems(bench.load_space())]


CLAIM = claim(
    "merges-win", scope="{target: sw-KE, method: similarity}", evidence="2026-01-20-test-00000001#r1"
)


def test_lint_finds_a_claim_that_cites_only_corrected_rows(bench):
    bench.entry(row())
    bench.skill(claims=CLAIM)
    assert not any("corrected rows" in what for what in found(bench))

    bench.entry(
        row(value=0.45), entry="2026-01-21-test-00000002", more='supersedes: "2026-01-20-test-00000001"\n'
    )

    assert any("merges-win cites only corrected rows" in what for what in found(bench))


def test_lint_finds_a_best_source_that_drifts(bench):
    bench.entry(row(baseline=0.4670))
    bench.entry(row(k=3, baseline=0.4670), entry="2026-01-21-test-00000002")
    assert found(bench) == []

    bench.entry(row(k=7, baseline=0.4805), entry="2026-01-22-test-00000003")

    (what,) = found(bench)
    assert "the best single source of sw-KE has 2 accuracies, 1.35 pp apart" in what


def test_lint_finds_a_commit_that_is_called_broken_in_prose_alone(bench):
    bench.entry(row(), more='code: "1a2b3c4d"\n')
    said = "x\n\n## Findings\n\nCommit 1a2b3c4 has a bug: it drops the first model."
    bench.entry(table=said, entry="2026-01-21-test-00000002")

    (what,) = found(bench)
    assert "calls the commit 1a2b3c4 broken, and 1 current row" in what

    mark = "\n\n## Invalidates\n\nIt drops the first model.\n\n- commits=1a2b3c4"
    bench.entry(table=said + mark, entry="2026-01-21-test-00000002")
    assert found(bench) == []
