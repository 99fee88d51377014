"""What does an agent see? The SDK's own client talks to `mu mcp`, a process of its own, on stdio and on HTTP."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from conftest import of_other_rules

pytest.importorskip("mcp")

import httpx2
import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_client import TOKEN, agent, agent_on, served, talk
from pydantic import BaseModel, ConfigDict


class Anything(BaseModel):
    """Any result, as it came."""

    model_config = ConfigDict(extra="allow")


@pytest.fixture
def place(tmp_path, mu):
    assert mu("init", tmp_path / "work").code == 0
    return tmp_path / "work"


@pytest.mark.slow
def test_an_agent_asks_searches_logs_what_came_out_and_sees_the_advice_change(place, mu):
    async def conversation():
        async with agent(place) as client:
            assert "skill://advise/SKILL.md" in client.instructions
            asked = await client.call_tool("advise", {"target": "sw-KE"})
            before = asked.structured_content
            assert not asked.is_error and before["verdict"] == "pilot"
            [arm] = before["next"]["expected"]
            method = arm["method"]
            found = await client.call_tool("search", {"query": f"{method} Swahili", "target": "sw-KE"})
            assert found.structured_content["result"]
            known = await client.call_tool("show", {"name": before["evidence"][0]["ref"]})
            assert known.structured_content["target"] == "sw-KE"
            rows = [
                {
                    "target": "sw-KE", "mode": "ExcTar", "method": method, "similarity": "REAL", "k": 5, "seed": seed,
                    "value": 0.55, "baseline_kind": "best_single_source", "baseline": 0.467,
                }
                for seed in (1, 2)
            ]  # fmt: skip
            added = await client.call_tool(
                "log_add",
                {
                    "title": "Measured again", "type": "Retrospective", "summary": "It gains after all.",
                    "n": 2974, "rows": rows, "sections": {"Findings": "Both seeds agree."},
                },
            )  # fmt: skip
            assert not added.is_error, added.content[0].text
            again = (await client.call_tool("advise", {"target": "sw-KE", "full": True})).structured_content
            assert again["gain"]["mean_pp"] > before["gain"]["mean_pp"]
            assert added.structured_content["id"] in str(again["evidence"])
            newest = await client.call_tool("search", {"query": "seeds agree", "kinds": ["entry"]})
            assert newest.structured_content["result"][0]["name"] == added.structured_content["id"]

    talk(conversation)
    linted = mu("lint", "--workspace", place, "--json").json
    assert of_other_rules(problem["what"] for problem in linted) == []


@pytest.mark.slow
def test_tools_answer_what_the_commands_print_in_fewer_words(place, mu):
    entry = mu("log", "list", "--json", "--workspace", place).json[0]["id"]

    def said(*command):
        return mu(*command, "--json", "--workspace", place).json

    async def conversation():
        async with agent(place) as client:

            async def told(tool, **given):
                return (await client.call_tool(tool, given)).structured_content

            for given, flags in (
                ({"target": "sw-KE", "budget": 9}, ["--target", "sw-KE", "--budget", "9"]),
                ({"target": "cy-GB", "as_of": "2026-01-20"}, ["--target", "cy-GB", "--as-of", "2026-01-20"]),
            ):
                every = said("advise", *flags, "--all")
                assert await told("advise", **given, full=True) == every
                short = await told("advise", **given)
                assert len(str(short)) < 4000 < len(str(every))
                assert (short["verdict"], short["summary"]) == (every["verdict"], every["summary"])
            hits = said("search", "ties", "Welsh", "--limit", "3")
            names = ("kind", "name", "status", "snippet")
            found = (await told("search", query="ties Welsh", limit=3))["result"]
            assert [[hit.get(name, "") for name in names] for hit in found] == [
                [hit[name] for name in names] for hit in hits
            ]
            assert (await told("show", name="dare-forbidden"))["status"] == "supported"
            skill = said("skills", "show", "merging-when-constructive")
            shown = await told("show", name="merging-when-constructive")
            assert shown["body"] == skill["body"] and shown["total"] == len(skill["claims"])
            assert (await told("show", name=entry))["title"] == said("log", "show", entry)["title"]
            assert await told("why", name="dare-forbidden") == said("why", "dare-forbidden")
            assert (await told("run_status"))["result"] == said("runs", "list")
            asked = said("log", "questions")
            assert (await told("questions"))["total"] == len(asked)
            assert (await told("lint"))["total"] == len(said("lint"))
            skills = (await told("catalogue"))["skills"]
            assert "- advise: " in skills and "- retrospective: " in skills

    talk(conversation)


@pytest.mark.slow
def test_a_sweep_is_shown_by_pages(place, mu):
    sweep = "2026-11-21-uriel-or-real-and-how-many-sources-sixteen-8406caf3"

    async def conversation():
        async with agent(place) as client:
            offset, refs, total = 0, [], 1
            while len(refs) < total:
                answer = await client.call_tool("show", {"name": sweep, "offset": offset, "limit": 100})
                assert len(answer.content[0].text) < 60_000
                page = answer.structured_content
                refs += [row["ref"] for row in page["rows"]]
                total, offset = page["total"], page.get("next_offset")
            assert offset is None and refs == [f"{sweep}#r{number}" for number in range(1, total + 1)]
            first = await client.call_tool("show", {"name": sweep})
            assert len(first.content[0].text) < 20_000

    talk(conversation)


@pytest.mark.slow
def test_errors_speak_of_tools_are_short_and_answers_fit_their_schemas(place):
    million = "x" * 1_000_000

    async def conversation():
        async with agent(place) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert all(tool.output_schema["type"] == "object" for tool in tools.values())
            for tool, given in (
                ("advise", {"target": million}), ("advise", {"target": "sw-KE", "method": million}), ("show", {"name": million}),
                ("advise", {"target": "sw-KE", "context": "no/such"}), ("show", {"name": "nothing"}), ("run_status", {"run": "nothing"}),
                ("log_add", {"title": million, "type": "Observation", "summary": "s"}), ("log_add", {"type": million}),
                ("log_add", {"title": "t", "type": "Plan", "summary": "s"}), ("log_add", {"title": "t", "type": "Observation", "summary": "s", "answers": ["x"]}),
                ("plan_check", {million: 1}), ("run_start", {"config": {"kind": million}}), ("search", {"query": "x", "limit": 0}),
            ):  # fmt: skip
                refused = await client.call_tool(tool, given)
                said = refused.content[0].text
                assert refused.is_error and len(said) < 2500, (tool, said[:200])
                assert "--" not in said and "mu " not in said and "schema entry" not in said, said[-900:]
                assert refused.structured_content["kind"] in ("invalid", "refused", "unavailable")
            with pytest.raises(MCPError) as unknown:
                await client.call_tool(million, {})
            assert len(str(unknown.value)) < 2500

    talk(conversation)


@pytest.mark.slow
def test_log_add_takes_what_the_command_takes_and_says_so(place, mu):
    known = mu("schema", "entry").json

    async def conversation():
        async with agent(place) as client:
            offered = {tool.name: tool for tool in (await client.list_tools()).tools}
            taken = dict(offered["log_add"].input_schema["properties"])
            assert taken.pop("anyway")["type"] == "boolean" and taken == known["properties"]
            assert offered["log_add"].input_schema["required"] == known["required"]
            for name, schema in offered["plan_check"].input_schema["properties"].items():
                assert schema == known["properties"][name]
            assert offered["plan_check"].annotations.read_only_hint

    talk(conversation)


@pytest.mark.slow
def test_what_is_wrong_comes_back_as_what_where_and_mend(place):
    async def conversation():
        async with agent(place) as client:
            for tool, given, word in (
                ("advise", {"target": "sw-KEE"}, "sw-KEE"),
                ("advise", {"target": "sw-KE", "k": "many"}, "k:"),
                ("advise", {"tarjet": "sw-KE"}, "tarjet"),
                ("show", {"name": "no-such-thing"}, "no-such-thing"),
                ("search", {"query": "***"}, "no word"),
                ("log_add", {"title": "t", "type": "Gossip", "summary": "s"}, "Gossip"),
                ("log_add", {"title": "t", "type": "Plan", "summary": "s", "expects": []}, "unknown key 'expects'"),
                ("log_add", {"title": "t", "type": "Plan", "summary": "s", "anyway": "yes"}, "true or false"),
                ("plan_check", {}, "no expectation"),
                ("plan_check", {"expected": [{"target": "sw-KE", "method": "ties", "low_pp": 3, "high_pp": 1}]}, "must not be above"),
                ("plan_check", {"type": "Observation", "expected": []}, "not a Plan"),
                ("run_start", {"config": {"kind": "merge", "colour": "red"}}, "colour"),
            ):  # fmt: skip
                refused = await client.call_tool(tool, given)
                assert refused.is_error and word in refused.structured_content["error"], refused
                assert {"error", "where", "hint", "kind"} <= refused.structured_content.keys()
            with pytest.raises(MCPError):
                await client.call_tool("no_such_tool", {})
            draft = await client.call_tool(
                "log_add", {"title": "Lost", "type": "Observation", "summary": "by 5%."}
            )
            assert draft.is_error and "5%" in draft.structured_content["error"]
            assert list((place / "experiment_log" / ".draft").glob("*.json"))  # never lost
            nowhere = "2026-01-01-nothing-0a1b2c3d"
            said = {"title": "An hour", "type": "Observation", "summary": "s"}
            for wrong in (
                {"links": [nowhere]},
                {"supersedes": [nowhere]},
                {"closes": [{"question": f"{nowhere}#q1", "text": "So."}]},
                {"sections": {"Findings": f"See {nowhere}."}},
                {"links": nowhere},
                {"link": [nowhere]},
                {"anyway": "yes", "tags": ["one"]},
            ):
                refused = await client.call_tool("log_add", {**said, **wrong})
                draft = Path(refused.structured_content["where"].partition(":")[0])
                assert refused.is_error and draft.parent == place / "experiment_log" / ".draft", refused
                assert "An hour" in draft.read_text() and (
                    nowhere in draft.read_text() or "one" in draft.read_text()
                )
            assert not list(place.glob("experiment_log/*/*-an-hour-*"))

    talk(conversation)


@pytest.mark.slow
def test_skills_are_served_as_the_extension_says(place):
    async def conversation():
        async with agent(place) as client:
            assert client.server_capabilities.extensions == {"io.modelcontextprotocol/skills": {}}
            listed = await ask(client, "skills/list", types.PaginatedRequestParams())
            assert listed["resultType"] == "complete" and {"ttlMs", "cacheScope"} <= listed.keys()
            folders = sorted(path.parent.name for path in place.glob("skills/*/SKILL.md"))
            assert [one["frontmatter"]["name"] for one in listed["skills"]] == folders
            for one in listed["skills"]:
                assert {file["uri"] for file in one["resources"]} >= {one["uri"]}
                for file in one["resources"]:
                    read = await client.read_resource(file["uri"])
                    data = read.contents[0].text.encode()
                    assert (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}") == (
                        file["size"],
                        file["digest"],
                    )
            got = await ask(client, "skills/get", Address(uri="skill://advise/SKILL.md"))
            assert got["skill"] == listed["skills"][folders.index("advise")]
            resources = (await client.list_resources()).resources
            assert {"skill://advise/SKILL.md"} <= {one.uri for one in resources}
            for wrong in (
                "skill://none/SKILL.md",
                "skill://advise/claims.yaml",
                "file:///etc/passwd",
                "skill://../SKILL.md",
            ):
                with pytest.raises(MCPError) as refused:
                    await ask(client, "skills/get", Address(uri=wrong))
                assert refused.value.error.code == types.INVALID_PARAMS

    talk(conversation)


class Address(types.RequestParams):
    uri: str


async def ask(client, method, params):
    request = types.Request[type(params), str](method=method, params=params)
    return (await client.session.send_request(request, Anything)).model_dump()


@pytest.mark.slow
def test_nothing_outside_the_workspace_is_read(place, tmp_path):
    (tmp_path / "secret.md").write_text("a secret word: xylophone\n")
    (place / "skills" / "advise" / "leak.md").symlink_to(tmp_path / "secret.md")

    async def conversation():
        async with agent(place) as client:
            for uri in (
                "skill://advise/leak.md",
                "skill://advise/../../mu.toml",
                "skill://advise/%2e%2e/%2e%2e/mu.toml",
                "skill://..%2F..%2Fsecret.md",
                f"file://{tmp_path}/secret.md",
            ):
                with pytest.raises(MCPError) as refused:
                    await client.read_resource(uri)
                assert "xylophone" not in str(refused.value)
            for tool, given in (("search", {"query": "xylophone"}), ("show", {"name": "advise"})):
                refused = await client.call_tool(tool, given)
                assert (
                    refused.is_error and "points out of the workspace" in refused.structured_content["error"]
                )
            (place / "skills" / "advise" / "leak.md").unlink()
            for name, value in (
                ("data", str(tmp_path)),
                ("data", "../"),
                ("base", "../model"),
                ("base", "~/model"),
            ):
                config = {
                    "kind": "nxn",
                    "sources": ["sv-SE"],
                    "task": "rooms",
                    "base": "e5-small",
                    name: value,
                }
                refused = await client.call_tool("run_start", {"config": config})
                assert refused.is_error and "points out" in refused.structured_content["error"], (name, value)
            assert not (place / "runs").exists()

    talk(conversation)


@pytest.mark.slow
def test_nothing_outside_the_workspace_is_written(place, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (place / "experiment_log").rename(elsewhere)
    (place / "experiment_log").symlink_to(elsewhere)
    before = set(elsewhere.rglob("*"))

    async def conversation():
        async with agent(place) as client:
            refused = await client.call_tool("log_add", {"title": "t", "type": "Observation", "summary": "s"})
            assert refused.is_error and "points out" in refused.structured_content["error"]

    talk(conversation)
    assert set(elsewhere.rglob("*")) == before


@pytest.mark.slow
def test_read_only_offers_nothing_that_writes(place):
    async def conversation():
        async with agent(place, "--read-only") as client:
            tools = (await client.list_tools()).tools
            assert {"advise", "plan_check"} <= {tool.name for tool in tools}
            assert all(tool.annotations.read_only_hint for tool in tools)
            with pytest.raises(MCPError):
                await client.call_tool("log_add", {"title": "t", "type": "Observation", "summary": "s"})

    talk(conversation)


# HTTP


@pytest.fixture
def web(place):
    with served(place) as address:
        yield address


@pytest.mark.slow
def test_over_http_the_same_is_answered_to_who_has_the_token(web):
    async def conversation():
        async with agent_on(web) as client:
            found = await client.call_tool("advise", {"target": "sw-KE"})
            assert found.structured_content["verdict"] == "pilot"
            assert (await client.read_resource("skill://advise/SKILL.md")).contents[0].text.startswith("---")

    talk(conversation)


@pytest.mark.slow
def test_without_the_token_or_from_a_foreign_page_nothing_is_answered(web):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    right = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json, text/event-stream"}
    wrong = [
        (401, {"Authorization": ""}),
        (401, {"Authorization": "Bearer wrong"}),
        (401, {"Authorization": TOKEN}),
        (401, {"Authorization": f"Bearer {TOKEN}x"}),
        (421, {"Host": "attacker.example"}),
        (421, {"Host": "127.0.0.1:1"}),
        (403, {"Origin": "http://attacker.example"}),
        (403, {"Origin": "null"}),
    ]
    with httpx2.Client(timeout=60) as client:
        for status, changed in wrong:
            answer = client.post(web, json=body, headers=right | changed)
            assert answer.status_code == status, changed
            assert "tools" not in answer.text
        assert client.get(web.replace("/mcp", "/"), headers={"Authorization": ""}).status_code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])
def test_an_address_that_others_may_reach_is_refused(place, mu, host):
    said = mu("mcp", "--http", "--host", host, "--workspace", place)
    assert said.code == 2 and "other machines may reach" in said.err


def test_a_token_that_is_short_or_that_others_may_read_is_refused(place, mu, monkeypatch, tmp_path):
    monkeypatch.setenv("MU_MCP_TOKEN", "short")
    assert mu("mcp", "--http", "--port", "0", "--workspace", place).code == 2
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o644)
    said = mu("mcp", "--http", "--port", "0", "--token-file", tmp_path / "token", "--workspace", place)
    assert said.code == 2 and "chmod 600" in said.err


@pytest.mark.slow
def test_an_agent_gets_the_answer_and_the_files_that_it_was_not_drawn_from(place):
    (place / "skills" / "other").mkdir()
    (place / "skills" / "other" / "SKILL.md").write_text(
        '---\nname: other\ndescription: "How to test."\nallowed-tools: [Bash, Read]\n---\nText.\n'
    )
    (place / "experiment_log" / "2026" / "copy of x.md").write_text("Text.\n")

    async def conversation():
        async with agent(place) as client:
            for tool, arguments in (
                ("advise", {"target": "sw-KE"}), ("search", {"query": "TIES"}), ("show", {"name": "other"}),
            ):  # fmt: skip
                told = await client.call_tool(tool, arguments)
                assert not told.is_error
                named = [one["where"] for one in told.structured_content["problems"]]
                assert len(named) == 2 and "skills/other/SKILL.md" in named[0] and "copy of x.md" in named[1]
                assert told.structured_content["problems_total"] == 2
                assert "mu " not in str([one["hint"] for one in told.structured_content["problems"]])

    talk(conversation)
