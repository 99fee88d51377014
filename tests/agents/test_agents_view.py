"""Does an agent that plans, asks and reports see what was tried, and the advice and the calibration change?"""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import of_other_rules

pytest.importorskip("mcp")

from mcp_client import agent, agent_on, served, talk

# What the log has measured once, at +1.62 pp within noise; and what it has not.
TRIED = {"target": "sw-KE", "method": "similarity", "similarity": "REAL", "k": 5, "low_pp": 0, "high_pp": 4, "p_positive": 0.8}  # fmt: skip
NEW = {"target": "sw-KE", "method": "slerp", "similarity": "REAL", "k": 2, "p_positive": 0.5}
PLAN = {
    "title": "REAL with five sources, other seeds",
    "type": "Plan",
    "summary": "One measurement within noise does not settle it; two more seeds may.",
    "expected": [TRIED],
    "sections": {"What is new": "Models of two more seeds."},
}


@pytest.fixture
def place(tmp_path, mu):
    assert mu("init", tmp_path / "work").code == 0
    return tmp_path / "work"


async def ask(client, tool, given):
    said = await client.call_tool(tool, given)
    assert not said.is_error, said.content[0].text
    return said.structured_content


@pytest.mark.slow
def test_an_agent_plans_is_told_what_was_tried_reports_and_sees_what_changed(place, mu):
    async def conversation():
        async with agent(place) as client:
            before = await ask(client, "advise", {"target": "sw-KE"})
            assert before["verdict"] == "pilot"

            # It was tried: the plan is told so, with the row, and refused, and kept.
            told = await ask(client, "plan_check", {"expected": [TRIED]})
            assert not told["lands"] and told["waiting"] == []
            assert ("same", 1.62) in [(one["degree"], one["difference_pp"]) for one in told["tried"]]
            assert told["advice"][0]["verdict"] == "pilot"
            tried = {name: TRIED[name] for name in ("target", "method", "similarity", "k")}
            assert told["expected"][0]["gain"] == (await ask(client, "advise", tried))["gain"]
            assert (await ask(client, "plan_check", {"expected": [NEW]}))["lands"]
            refused = await client.call_tool("log_add", PLAN)
            assert refused.is_error
            assert refused.structured_content["matches"] == told["tried"]
            draft = Path(refused.structured_content["where"])
            assert draft.parent == place / "experiment_log" / ".draft"
            assert "Models of two more seeds." in draft.read_text()

            # Something is new about it, so it lands, and whoever plans the same is told that it waits.
            plan = (await ask(client, "log_add", {**PLAN, "anyway": True}))["id"]
            waiting = await ask(client, "plan_check", {"expected": [TRIED]})
            assert waiting["waiting"] == [plan]
            assert waiting["calibration"]["stated"] == told["calibration"]["stated"] + 1
            assert waiting["calibration"]["measured"] == told["calibration"]["measured"]
            assert (await ask(client, "advise", {"target": "sw-KE"}))["gain"] == before["gain"]

            # What came out.
            question = told["questions"][0]["question"]
            found = {
                "title": "REAL with five sources, two seeds", "type": "Retrospective", "summary": "It gains on both.",
                "n": 2974, "answers": [plan], "closes": [{"question": question, "text": "These models say so."}],
                "rows": [
                    {
                        "target": "sw-KE", "mode": "ExcTar", "method": "similarity", "similarity": "REAL", "k": 5, "seed": seed,
                        "value": value, "baseline_kind": "best_single_source", "baseline": 0.467,
                    }
                    for seed, value in ((1, 0.497), (2, 0.503))
                ],
            }  # fmt: skip
            landed = await ask(client, "log_add", found)
            assert landed["scores"][0]["actual_pp"] == pytest.approx(3.3) and landed["scores"][0]["inside"]
            (changed,) = landed["changed"]
            assert changed["before"]["gain"] == before["gain"] != changed["after"]["gain"]

            # The same questions have other answers now.
            after = await ask(client, "advise", {"target": "sw-KE", "full": True})
            assert after["gain"]["mean_pp"] > before["gain"]["mean_pp"] + 0.5
            assert landed["id"] in str(after["evidence"])
            again = await ask(client, "plan_check", {"expected": [TRIED]})
            assert again["waiting"] == []
            assert question not in {one["question"] for one in again["questions"]}
            assert landed["id"] in str(again["tried"])
            scored, hoped = again["calibration"], told["calibration"]
            assert (scored["measured"], scored["inside"]) == (hoped["measured"] + 1, hoped["inside"] + 1)
            assert scored["brier"] == pytest.approx(0.04)

    talk(conversation)
    said = mu("log", "calibration", "--json", "--workspace", place).json["expectations"]
    (own,) = [one for one in said if "-real-with-five-sources-other-" in one["plan"]]
    assert own["actual_pp"] == pytest.approx(3.3) and own["inside"] and not own["restated"]
    linted = mu("lint", "--workspace", place, "--json").json
    assert of_other_rules(problem["what"] for problem in linted) == []


@pytest.mark.slow
def test_the_pilot_that_the_advice_asks_for_is_accepted_although_it_was_tried(place, mu):
    async def conversation():
        async with agent(place) as client:
            ordered = (await ask(client, "advise", {"target": "sw-KE"}))["next"]["expected"]
            row = ordered[0]
            flags = [f"--{name}={row[name]}" for name in ("target", "method", "similarity", "k")]
            tried = mu("log", "tried", *flags, "--workspace", place).out
            assert "same: " in tried and " sw-KE ExcTar adamerging " in tried
            assert " pp against the best single source" in tried
            checked = await ask(client, "plan_check", {"expected": ordered})
            assert checked["lands"] and checked["tried"][0]["baseline_kind"] == "best_single_source"
            plan = {"title": "The pilot", "type": "Plan", "summary": "As advised."}
            landed = await ask(client, "log_add", {**plan, "expected": ordered})
            report = landed["next"]["arguments"]
            assert report["answers"] == [landed["id"]] and report["rows"][0]["baseline"] is None

    talk(conversation)


@pytest.mark.slow
def test_over_http_a_plan_lands_and_waits(place):
    async def conversation(address):
        async with agent_on(address) as client:
            assert (await ask(client, "plan_check", {"expected": [NEW]}))["lands"]
            plan = await ask(client, "log_add", {**PLAN, "expected": [NEW]})
            assert (await ask(client, "plan_check", {"expected": [NEW]}))["waiting"] == [plan["id"]]
            tried = await client.call_tool("log_add", PLAN)
            assert tried.is_error and tried.structured_content["matches"]

    with served(place) as address:
        talk(conversation, address)
