"""`mu log` beyond reading one entry: JSON in, drafts, the editor, filters, export, plans, questions, what was tried."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from conftest import row

E1 = "2026-01-20-test-00000001"
GIVEN = {
    "title": "TIES again",
    "type": "Retrospective",
    "date": "2026-01-22",
    "summary": "S.",
    "n": 2974,
    "sections": {"Findings": "F."},
    "rows": [{"target": "sw-KE", "mode": "ExcTar", "method": "ties", "value": 0.43}],
}
PLAN = {
    "title": "A plan",
    "type": "Plan",
    "date": "2026-01-19",
    "summary": "S.",
    "expected": [
        {"target": "sw-KE", "method": "ties", "k": 5, "low_pp": 1, "high_pp": None, "p_positive": 0.9}
    ],
}


@pytest.fixture
def log(mu, bench, monkeypatch):
    """`mu log …` in the bench; `said`: what stands on standard input."""

    def call(*words, said=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(said))
        return mu("log", *words, "--workspace", bench.root)

    return call


@pytest.fixture
def editor(monkeypatch, tmp_path):
    """Makes $EDITOR a program that replaces one text by another, and ends with an exit code."""

    def make(old, new, code=0):
        script = tmp_path / "editor.py"
        script.write_text(
            "import sys, pathlib\np = pathlib.Path(sys.argv[1])\n"
            f"p.write_text(p.read_text().replace({old!r}, {new!r}))\nsys.exit({code})\n"
        )
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")

    return make


# JSON


def test_an_entry_comes_in_as_json_and_out_as_the_same(log):
    told = log("add", "-", "--json", said=json.dumps(GIVEN))
    assert told.code == 0 and told.json["title"] == "TIES again"
    (found,) = told.json["rows"]
    assert (found["value"], found["n"], found["context"]) == (0.43, 2974, "massive/xlm-roberta-base")


def test_a_plan_as_json_states_what_can_be_scored(log):
    told = log("add", "-", "--json", said=json.dumps(PLAN))
    (one,) = told.json["expected"]
    assert (one["low_pp"], one["high_pp"], one["p_positive"], one["over"]) == (
        1.0,
        None,
        0.9,
        "best_single_source",
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rows": [{"target": "sw-KE"}]}, "item 1 of 'rows' of the entry has no mode"),
        ({"titel": "T"}, "unknown key 'titel'"),
        ({"type": "Idea"}, "none of Plan"),
        ({"tags": "a"}, "must be array"),
        ({"n": True}, "must be integer or string"),
    ],
)
def test_json_of_another_form_is_refused_with_the_key(log, change, says):
    told = log("add", "-", "--json", said=json.dumps({**GIVEN, **change}))
    assert told.code == 2 and says in told.json["error"] and "mu schema entry" in told.json["mend"]


def test_the_schema_and_the_check_agree_with_an_independent_validator(mu):
    jsonschema = pytest.importorskip("jsonschema")
    from merginguriel.errors import UsageError
    from merginguriel.knowledge.entryjson import entry_text

    schema = mu("schema", "entry").json
    jsonschema.Draft202012Validator.check_schema(schema)
    settled = [{"question": f"{E1}#q1", "text": "So."}]
    for change in (
        {}, PLAN, {"closes": settled}, {"closes": [{"question": "x"}]}, {"rows": [3]}, {"rows": {}}, {"n": "5"},
        {"n": 5.5}, {"sections": {"A": 1}}, {"sections": []}, {"title": None}, {"expected": [{"target": "sw-KE"}]}, {"x": 1},
    ):  # fmt: skip
        given = {**GIVEN, **change}
        valid = jsonschema.Draft202012Validator(schema).is_valid(given)
        try:
            entry_text(json.dumps(given), today="2026-01-22", context="a/b")
            ours = True
        except UsageError:
            ours = False
        assert ours == valid, change


def test_a_question_with_a_line_break_stays_one_item(log):
    told = log("add", "-", "--json", said=json.dumps({**GIVEN, "questions": ["Why?\n\n## Results"]}))
    assert [q["text"] for q in told.json["questions"]] == ["Why? ## Results"]


# drafts and the editor


def test_a_refused_entry_is_listed_mended_and_lands_from_its_draft(log, bench, editor):
    wrong = {**GIVEN, "rows": [{**GIVEN["rows"][0], "value": 43}]}
    assert log("add", "-", said=json.dumps(wrong)).code == 1
    (draft,) = log("drafts", "--json").json
    assert draft["title"] == "TIES again" and "43" in draft["problem"]
    assert draft["id"] in log("drafts").out
    editor("| 43 ", "| 0.43 ")
    told = log("add", "--draft", draft["id"][:4], "--edit", "--yes", "--json")
    assert told.code == 0 and told.json["rows"][0]["value"] == 0.43
    assert log("drafts", "--json").json == []


def test_what_was_edited_lands_only_once_it_is_confirmed(log, bench, editor):
    editor("F.", "F, and more.")
    words = (
        "add",
        "--title",
        "T",
        "--type",
        "Observation",
        "--summary",
        "S.",
        "--section",
        "Findings: F.",
        "--edit",
    )
    told = log(*words)
    assert told.code == 1 and "+F, and more." in told.err and "--yes" in told.err
    (draft,) = log("drafts", "--json").json
    assert "F, and more." in Path(draft["path"]).read_text()
    assert log(*words, "--yes").code == 0 and "F, and more." in log("export").out


def test_what_was_written_before_the_editor_failed_is_kept(log, editor):
    editor('title: ""', 'title: "T"', code=3)
    told = log("add")
    assert told.code == 1 and "exit code 3" in told.err
    assert [draft["title"] for draft in log("drafts", "--json").json] == ["T"]


@pytest.mark.parametrize(
    "said",
    ['{"title": "an hour of work", "summary": "s", }', json.dumps({**GIVEN, "rows": [{"target": "sw-KE"}]})],
)
def test_json_that_is_no_entry_is_kept_and_lands_once_mended(log, bench, said):
    assert log("add", "-", "--dry-run", said=said).code == 2 and log("drafts", "--json").json == []
    for _ in range(2):
        told = log("add", "-", said=said)
        (draft,) = log("drafts", "--json").json
        assert told.code == 2 and draft["path"] in told.err
    kept = Path(draft["path"])
    assert kept.suffix == ".json" and kept.read_text() == said and draft["problem"] in told.err
    kept.write_text(json.dumps(GIVEN))
    assert log("add", "--draft", draft["id"]).code == 0 and not kept.exists()


@pytest.mark.parametrize(
    ("flags", "mends"),
    [
        (["--summary", "S.", "--links", "2026-01-20-nothere"], [("2026-01-20-nothere", E1)]),
        (
            ["--row", "target=sw-KE mode=ExcTar method=ties value=0.43"],
            [('type: "Ob', 'summary: "S."\ntype: "Ob')],
        ),
        (["--summary", "S.", "--row", "target sw-KE"], [("## Results:", "## Leftover")]),
    ],
    ids=["unknown link", "no summary", "unreadable row"],
)
def test_flags_that_make_no_entry_are_kept_and_land_once_mended(log, bench, flags, mends):
    bench.entry(row())
    given = ["--title", "T", "--type", "Observation", "--section", "Findings: an hour of text", *flags]
    assert log("add", *given, "--dry-run").code and log("drafts", "--json").json == []
    told = log("add", *given)
    (draft,) = log("drafts", "--json").json
    kept = Path(draft["path"])
    text = kept.read_text()
    assert told.code and str(kept) in told.err and "an hour of text" in text
    assert all(word in text for word in flags[-1].replace("=", " ").split())
    for old, new in mends:
        assert old in text
        text = text.replace(old, new)
    if "--links" not in flags:  # of those, lint tells
        assert log("add", "--draft", draft["id"]).code  # as it is, it does not land
    kept.write_text(text)
    assert log("add", "--draft", draft["id"]).code == 0 and not kept.exists()


def test_a_draft_is_discarded_by_its_name_only(log):
    log("add", "-", said=json.dumps({**GIVEN, "rows": [{**GIVEN["rows"][0], "value": 43}]}))
    (draft,) = log("drafts", "--json").json
    assert log("drafts", "--discard", "zz").code == 2
    assert log("drafts", "--discard", draft["id"]).out.strip() == draft["id"]
    assert log("drafts", "--json").json == [] and "There is no draft" in log("drafts").err


def test_flags_beside_a_file_are_refused_and_not_ignored(log):
    told = log("add", "-", "--title", "Other", said=json.dumps(GIVEN))
    assert told.code == 2 and "flags cannot change it" in told.err


@pytest.mark.parametrize("kind", ["Plan", "Observation", "Retrospective", "Troubleshooting"])
def test_every_type_has_a_form_whose_headings_are_read(log, editor, kind):
    editor('title: ""', 'title: "T"')
    told = log("add", "--type", kind, "--yes", "--json")
    # An empty form is no entry; what is missing is named, never a heading that is not read.
    assert told.code == 1 and "is not read" not in told.out


# filters, export


@pytest.fixture
def three(bench):
    bench.entry(row(method="ties"), title="TIES one", more='tags: "early, odd"\n')
    bench.entry(row("cy-GB"), entry="2026-01-21-b-00000002", title="Welsh ```")
    bench.entry(
        entry="2026-01-22-c-00000003",
        title="\\x1b[31mred",
        table="## Findings\n\n```\n## code\n```\n\n### Deep\n",
    )
    claim = "- id: welsh-gains\n  text: T.\n  scope: {target: cy-GB}\n  predicate: beats\n  over: best_single_source\n"
    bench.skill(claims=f'{claim}  evidence: [2026-01-21-b-00000002#r1]\n  since: "2026-01-21"\n')
    return bench


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--since", "2026-01-21"], "bc"),
        (["--until", "2026-01-20"], "a"),
        (["--since", "2026-01-21", "--until", "2026-01-21"], "b"),
        (["--tag", "odd"], "a"),
        (["--claim", "welsh-gains"], "b"),
        (["--text", "ties ONE"], "a"),
        (["--target", "cy-GB"], "b"),
        (["--target", "cy-GB", "--method", "ties"], ""),
        (["--type", "Plan"], ""),
    ],
)
def test_filters_choose_the_same_entries_for_list_and_export(log, three, words, wanted):
    ids = {"a": E1, "b": "2026-01-21-b-00000002", "c": "2026-01-22-c-00000003"}
    assert [e["id"] for e in log("list", *words, "--json").json] == [ids[one] for one in wanted]
    assert log("export", *words, "--json").json["entries"] == [ids[one] for one in wanted]


def test_a_claim_that_is_not_there_is_named_with_the_nearest(log, three):
    told = log("list", "--claim", "welsh-gain")
    assert told.code == 2 and "welsh-gains" in told.err


def test_the_export_is_one_file_in_order_with_headings_one_level_down(log, three, tmp_path):
    told = log("export", "--out", tmp_path / "log.md")
    assert told.out.strip() == str(tmp_path / "log.md")
    text = (tmp_path / "log.md").read_text()
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert [head[3:13] for head in heads if head != "## code"] == ["2026-01-20", "2026-01-21", "2026-01-22"]
    assert "\n### Results\n" in text and "\n#### Deep" in text and "\n## code\n" in text


def test_control_characters_of_an_entry_never_reach_the_terminal(log, three):
    three.entry(row(), entry="2026-01-23-d-00000004", title="T", table="## Findings\n\n\x1b[2Jgone\n")
    for words in (("export",), ("list",), ("list", "--text", "gone"), ("show", "2026-01-23-d")):
        assert "\x1b" not in log(*words).out


# plans, questions, tried


def test_a_plan_waits_is_answered_from_flags_and_scored(log):
    assert log("add", "-", said=json.dumps(PLAN)).code == 0
    (waiting,) = log("plans", "--today", "2026-01-29", "--json").json
    assert (waiting["state"], waiting["age_days"]) == ("open", 10) and "sw-KE" in waiting["waits_for"][0]
    assert "No plan" in log("calibration").err
    told = log(
        "add", "--title", "T", "--type", "Retrospective", "--summary", "S.", "--n", 2974, "--date", "2026-01-20",
        "--answers", "2026-01-19", "--row", "target=sw-KE mode=ExcTar method=ties k=5 value=0.48 "
        "baseline_kind=best_single_source baseline=0.46",
    )  # fmt: skip
    assert told.code == 0
    assert log("plans", "--json").json == []
    told = log("calibration", "--json").json
    assert told["summary"]["inside"] == 1 and told["expectations"][0]["actual_pp"] == 2.0
    assert "held" in log("calibration").out and "1 of 1 intervals held" in log("calibration").out


def test_a_plan_from_flags_is_refused_with_what_was_measured_and_its_json_lists_it(log, bench):
    bench.entry(row(method="ties"))
    words = ("add", "--title", "P", "--type", "Plan", "--summary", "S.", "--expect",
             "target=sw-KE method=ties similarity=REAL k=5 low_pp=1 high_pp=2")  # fmt: skip
    told = log(*words, "--json")
    assert told.code == 1 and told.json["matches"][0]["row"]["ref"] == f"{E1}#r1"
    assert log(*words, "--dry-run").code == 1 and log(*words, "--anyway").code == 0


def test_a_question_is_closed_by_a_flag_and_leaves_the_list(log, bench):
    bench.entry(table="## Open questions\n\n- [open] Why?\n")
    assert log("questions", "--json").json[0]["question"] == f"{E1}#q1"
    words = ("add", "--title", "T", "--type", "Observation", "--summary", "S.", "--closes")
    assert log(*words, "2026-01-20#q2: So.").code == 1
    assert log(*words, "2026-01-20#q1: So.").code == 0
    assert log("questions", "--json").json == []
    assert "closed by" in log("questions", "--all").out and "So." in log("questions", "--all").out


def test_what_was_tried_is_told_without_a_plan(log, bench):
    bench.entry(row(method="ties"))
    told = log("tried", "--target", "sw-KE", "--method", "ties", "--k", 3, "--json").json
    assert [(m["degree"], m["why"]) for m in told["matches"]] == [("close", "number of sources 5")]
    assert "Nothing like it" in log("tried", "--target", "fi-FI", "--method", "ties").err


def test_an_entry_from_a_run_says_what_came_out_and_answers_the_plan_that_waited(log, bench):
    pytest.importorskip("torch")  # what reads runs comes with the lab
    plan = log("add", "-", "--json", said=json.dumps(PLAN)).json
    folder = bench.root / "runs" / "merge-sw-KE-ties-00000001"
    folder.mkdir(parents=True)
    (folder / "rows.csv").write_text(
        "context,target,mode,method,k,metric,value,n,baseline_kind,baseline,run\n"
        f"massive/xlm-roberta-base,sw-KE,ExcTar,ties,5,accuracy,0.48,2974,best_single_source,0.46,{folder.name}\n"
        f"massive/xlm-roberta-base,sw-KE,ExcTar,ties,5,accuracy,0.48,2974,source_mean,0.45,{folder.name}\n"
    )
    (folder / "provenance.yaml").write_text("code: 0.1.0 1f2e3d4c5b6a+\n")
    told = log("add", "--from-run", folder.name, "--json").json
    assert {row["code"] for row in told["rows"]} == {"1f2e3d4c5b6a+"}
    assert (told["title"], told["type"], told["answers"]) == ("ties for sw-KE", "Retrospective", [plan["id"]])
    assert "+2.00 pp" in told["summary"] and "best single source 46.00%" in told["summary"]
    assert [row["baseline_kind"] for row in told["rows"]] == ["best_single_source", "source_mean"]
    assert "## Findings" in log("export").out.replace("###", "##") and log("plans", "--json").json == []
    assert log("add", "--from-run", folder.name).code == 2  # its rows are in the log already
