"""`mu log` beyond reading one entry: JSON in, filters, export, plans, questions, what was tried."""

from __future__ import annotations

import json

import pytest
from conftest import row

from merginguriel.text.evidence import without_items

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


def test_items_are_base64_for_programs_and_not_shown():
    body = "| target | items | n |\n|---|---|---|\n| a\\|b | 0f:AA==:BB== | 3 |\n\ntext | with | bars\n"
    assert without_items(body) == "| target | n |\n|---|---|\n| a\\|b | 3 |\n\ntext | with | bars\n"
    assert without_items(bare := "| target | n |\n|---|---|\n| a | 3 |") == bare


# JSON


def test_an_entry_comes_in_as_json_and_out_as_the_same(log):
    result = log("add", "-", "--json", stdin=json.dumps(GIVEN))
    assert result.code == 0 and result.json["title"] == "TIES again"
    (found,) = result.json["rows"]
    assert (found["value"], found["n"], found["context"]) == (0.43, 2974, "massive/xlm-roberta-base")


def test_a_plan_as_json_states_what_can_be_scored(log):
    result = log("add", "-", "--json", stdin=json.dumps(PLAN))
    (one,) = result.json["expected"]
    assert (one["low_pp"], one["high_pp"], one["p_positive"], one["over"]) == (
        1.0,
        None,
        0.9,
        "best_single_source",
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rows": [GIVEN["rows"][0], {"target": "sw-KE"}]}, "rows[1].mode: this key is required."),
        ({"titel": "T"}, "titel: unknown key 'titel'.\n    Did you mean title?"),
        ({"rows": [{**GIVEN["rows"][0], "vlaue": 1}]}, "rows[0].vlaue: unknown key 'vlaue'."),
        (
            {"type": "Idea"},
            "type: must be 'Plan', 'Observation', 'Retrospective' or 'Troubleshooting', got \"Idea\".",
        ),
        ({"tags": "a"}, 'tags: must be a valid list, got "a".'),
        ({"tags": ["a", 3]}, "tags[1]: must be a valid string, got 3."),
        ({"n": True}, "n: must be a valid integer or a valid string, got true."),
    ],
)
def test_json_of_another_form_is_refused_with_the_key(log, change, says):
    result = log("add", "-", "--json", stdin=json.dumps({**GIVEN, **change}))
    assert result.code == 2 and f": {says}" in result.err and "mu schema entry" in result.json["hint"]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"rows": [GIVEN["rows"][0], {**GIVEN["rows"][0], "value": 43}]}, "rows[1].value"),
        ({"rows": [{**GIVEN["rows"][0], "target": "xx-YY"}]}, "rows[0].target"),
        ({"rows": [{**GIVEN["rows"][0], "sources": "de-DE xx-YY"}]}, "rows[0].sources"),
        ({"rows": [{**GIVEN["rows"][0], "k": 2, "sources": "de-DE"}]}, "rows[0]"),
        (
            {"expected": [{"target": "sw-KE", "method": "ties", "low_pp": 1, "over": "luck"}]},
            "expected[0].over",
        ),
        ({"expected": [{"target": "sw-KE", "method": "ties", "low_pp": 3, "high_pp": 1}]}, "expected[0]"),
        ({"summary": "It lost by 5%."}, "summary"),
        ({"date": "2026-02-30"}, "date"),
        ({"sections": {"Findings": "F.\n\nIt lost by 5%."}}, 'sections["Findings"]'),
        ({"questions": ["Why?"], "closes": [{"question": "x", "text": "So."}]}, "closes[0]"),
    ],
)
def test_what_is_wrong_in_an_entry_is_told_by_the_key_of_its_json(log, change, key):
    ran = json.dumps({**GIVEN, **change})
    dry = log("add", "-", "--json", "--dry-run", stdin=ran)
    assert dry.code == 1 and dry.json["where"] == key
    result = log("add", "-", "--json", stdin=ran)
    (draft,) = log("drafts", "--json").json
    assert result.code == 1 and result.json["where"] == f"{draft['path']}: {key}"
    assert draft["path"].endswith(".json") and draft["title"] == "TIES again" and draft["problem"]


def test_the_schema_lists_the_values_of_closed_vocabularies_and_others_are_refused(log, mu):
    schema = mu("schema", "entry").json
    cells = schema["$defs"]["Row"]["properties"] | {"over": schema["$defs"]["Expected"]["properties"]["over"]}
    closed = {name for name, cell in cells.items() if "enum" in cell}
    assert closed == {"mode", "metric", "saw", "baseline_kind", "over", "status"}
    expected = {"target": "sw-KE", "method": "ties", "low_pp": 1}
    against = {"baseline": 0.42, "baseline_kind": "best_single_source"}
    for name in closed:
        change = (
            {"expected": [{**expected, name: "luck"}]}
            if name == "over"
            else {"rows": [{**GIVEN["rows"][0], **against, name: "luck"}]}
        )
        told = log("add", "-", "--json", "--dry-run", stdin=json.dumps({**GIVEN, **change}))
        assert told.code == 1 and told.json["where"].endswith(f"[0].{name}") and "luck" in told.err


def test_lists_and_mappings_of_a_row_are_read_as_such(log):
    listed = {"sources": ["de-DE", "it-IT"], "weights": [0.75, 0.25], "params": {"density": 0.2}, "k": 2}
    text = {"sources": "de-DE it-IT", "weights": "0.75 0.25", "params": "density=0.2", "k": 2}
    rows = [
        log(
            "add",
            "-",
            "--json",
            "--dry-run",
            stdin=json.dumps({**GIVEN, "rows": [{**GIVEN["rows"][0], **cells}]}),
        ).json["rows"][0]
        for cells in (listed, text)
    ]
    for one in rows:
        one.pop("ref")
    assert (
        rows[0] == rows[1]
        and rows[0]["sources"] == ["de-DE", "it-IT"]
        and rows[0]["params"] == {"density": "0.2"}
    )


def test_the_schema_and_the_check_agree_with_an_independent_validator(mu):
    jsonschema = pytest.importorskip("jsonschema")
    from merginguriel.errors import UsageError
    from merginguriel.knowledge.log.entry_json import read

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
            read(json.dumps(given), today="2026-01-22", context="a/b")
            ours = True
        except UsageError:
            ours = False
        assert ours == valid, change


def test_a_question_with_a_line_break_stays_one_item(log):
    result = log("add", "-", "--json", stdin=json.dumps({**GIVEN, "questions": ["Why?\n\n## Results"]}))
    assert [q["text"] for q in result.json["questions"]] == ["Why? ## Results"]


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
    result = log("list", "--claim", "welsh-gain")
    assert result.code == 2 and "welsh-gains" in result.err


def test_the_export_is_one_file_in_order_with_headings_one_level_down(log, three, tmp_path):
    result = log("export", "--out", tmp_path / "log.md")
    assert result.out.strip() == str(tmp_path / "log.md")
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
    assert log("add", "-", stdin=json.dumps(PLAN)).code == 0
    (waiting,) = log("plans", "--today", "2026-01-29", "--json").json
    assert (waiting["state"], waiting["age_days"]) == ("open", 10) and "sw-KE" in waiting["waits_for"][0]
    assert "No plan" in log("calibration").err
    result = log(
        "add", "--title", "T", "--type", "Retrospective", "--summary", "S.", "--n", 2974, "--date", "2026-01-20",
        "--answers", "2026-01-19", "--row", "target=sw-KE mode=ExcTar method=ties k=5 value=0.48 "
        "baseline_kind=best_single_source baseline=0.46",
    )  # fmt: skip
    assert result.code == 0
    assert log("plans", "--json").json == []
    result = log("calibration", "--json").json
    assert result["summary"]["inside"] == 1 and result["expectations"][0]["actual_pp"] == 2.0
    assert "held" in log("calibration").out and "1 of 1 intervals held" in log("calibration").out


def test_a_plan_from_flags_is_refused_with_what_was_measured_and_its_json_lists_it(log, bench):
    bench.entry(row(method="ties"))
    words = ("add", "--title", "P", "--type", "Plan", "--summary", "S.", "--expect",
             "target=sw-KE method=ties similarity=REAL k=4 low_pp=1 high_pp=2")  # fmt: skip
    result = log(*words, "--json")
    assert result.code == 1 and result.json["matches"][0]["row"]["ref"] == f"{E1}#r1"
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
    result = log("tried", "--target", "sw-KE", "--method", "ties", "--k", 3, "--json").json
    assert [(m["degree"], m["why"]) for m in result["matches"]] == [("close", "number of sources 5")]
    assert "nothing like it" in log("tried", "--target", "fi-FI", "--method", "ties").err


def test_an_entry_from_a_run_says_what_came_out_and_answers_the_plan_that_waited(log, bench):
    pytest.importorskip("torch")  # what reads runs comes with the lab
    plan = log("add", "-", "--json", stdin=json.dumps(PLAN)).json
    folder = bench.root / "runs" / "merge-sw-KE-ties-00000001"
    folder.mkdir(parents=True)
    (folder / "rows.csv").write_text(
        "context,target,mode,method,k,metric,value,n,baseline_kind,baseline,run\n"
        f"massive/xlm-roberta-base,sw-KE,ExcTar,ties,5,accuracy,0.48,2974,best_single_source,0.46,{folder.name}\n"
        f"massive/xlm-roberta-base,sw-KE,ExcTar,ties,5,accuracy,0.48,2974,source_mean,0.45,{folder.name}\n"
    )
    (folder / "provenance.yaml").write_text("code: 0.1.0 1f2e3d4c5b6a+\n")
    (folder / "events.jsonl").touch()
    result = log("add", "--from-run", folder.name, "--json").json
    assert {row["code"] for row in result["rows"]} == {"1f2e3d4c5b6a+"}
    assert (result["title"], result["type"], result["answers"]) == (
        "ties for sw-KE",
        "Retrospective",
        [plan["id"]],
    )
    assert "+2.00 pp" in result["summary"] and "best single source 46.00%" in result["summary"]
    assert [row["baseline_kind"] for row in result["rows"]] == ["best_single_source", "source_mean"]
    assert "## Findings" in log("export").out.replace("###", "##") and log("plans", "--json").json == []
    assert log("add", "--from-run", folder.name).code == 2  # its rows are in the log already
