"""Calls and tokens of an agent's loop over MCP: from a question to the advice that its result changed.

    python benchmarks/agent_loop.py

The server is a process of its own. Tokens are characters / 4, of each call's arguments and of the text of its answer;
the list of tools, which a client reads once, is counted apart. The measurement between Plan and Retrospective is
given, not run. Exit code 1 above the bars.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

ROOT = Path(__file__).resolve().parents[1]
CALLS, TOKENS = 10, 5000
MU = [sys.executable, "-m", "merginguriel.cli.main"]


def tokens(text: str) -> int:
    """Return the number of tokens of a text, at 4 characters each."""
    return -(-len(text) // 4)


async def loop(root: Path) -> list[tuple[str, int, int]]:
    """Go through the loop once and return (tool, tokens in, tokens out) of each call."""
    made: list[tuple[str, int, int]] = []
    environment = {"PYTHONPATH": str(ROOT), **os.environ}
    start = StdioServerParameters(
        command=MU[0], args=[*MU[1:], "mcp", "--workspace", str(root)], env=environment
    )
    async with Client(stdio_client(start)) as client:
        listed = [tool.model_dump_json(exclude_none=True) for tool in (await client.list_tools()).tools]
        print(
            f"instructions {tokens(client.instructions or '')}, list of {len(listed)} tools {tokens(''.join(listed))} tokens"
        )

        async def call(tool: str, arguments: dict[str, Any]) -> Any:
            answer = await client.call_tool(tool, arguments)
            said = "".join(getattr(part, "text", "") for part in answer.content)
            made.append((tool, tokens(json.dumps(arguments)), tokens(said)))
            if answer.is_error:
                raise SystemExit(f"{tool}: {said}")
            return answer.structured_content

        await call("search", {"query": "which method and sources for Swahili", "target": "sw-KE"})
        advice = await call("advise", {"target": "sw-KE"})
        expected = advice["next"]["expected"]
        checked = await call("plan_check", {"expected": expected})
        assert checked["lands"], checked
        plan = {
            "title": "Pilot for Swahili",
            "summary": "The pilot that the advice asks for.",
            "type": "Plan",
        }
        landed = await call("log_add", {**plan, "expected": expected})
        report = landed["next"]["arguments"]
        for row in report["rows"]:
            row |= {"value": 0.481, "baseline": 0.467}
        report |= {"title": "Pilot for Swahili, measured", "summary": "Both arms gain 1.4 pp.", "n": 2974}
        report["sections"] = {"Findings": "Both arms are above the best single source, within noise."}
        done = await call("log_add", report)
        assert done["scores"] and done["changed"], done
        assert (await call("lint", {}))["total"] == 0
    return made


def main() -> int:
    """Print the table; return 1 above the bars."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "work"
        subprocess.run([*MU, "init", str(root)], check=True, capture_output=True)
        made = anyio.run(loop, root)
    for tool, given, answered in made:
        print(f"{tool:12} {given:6} in {answered:6} out")
    total = sum(given + answered for _, given, answered in made)
    print(f"{len(made)} calls, {total:,} tokens (at most {CALLS} and {TOKENS:,})")
    return int(len(made) > CALLS or total > TOKENS)


if __name__ == "__main__":
    raise SystemExit(main())
