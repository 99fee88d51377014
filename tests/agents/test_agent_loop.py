"""An agent's loop over MCP, from a question to the advice that its result changed, stays small."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import REPOSITORY

pytest.importorskip("mcp")


@pytest.mark.slow
def test_the_whole_loop_takes_at_most_ten_calls_and_five_thousand_tokens():
    script = REPOSITORY / "benchmarks" / "agent_loop.py"
    run = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[-1].endswith("tokens (at most 10 and 5,000)")
