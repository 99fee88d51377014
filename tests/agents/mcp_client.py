"""Client of `mu mcp` with the SDK, on stdio and on HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import httpx2
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

TOKEN = "a-token-for-tests-0123456789"


@asynccontextmanager
async def agent(root, *options):
    """A client of `mu mcp` on stdio."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if name in ("PYTHONPATH", "PATH", "XDG_CACHE_HOME", "HOME")
    }
    words = ["-m", "merginguriel.cli.main", "mcp", "--workspace", str(root), *options]
    with Path(os.devnull).open("w") as nowhere:
        started = stdio_client(
            StdioServerParameters(command=sys.executable, args=words, env=ours), errlog=nowhere
        )
        async with Client(started) as client:
            yield client


def talk(conversation, *arguments):
    async def limited():
        with anyio.fail_after(300):
            await conversation(*arguments)

    anyio.run(limited)


@contextmanager
def served(place):
    """The address of `mu mcp --http` on a free port."""
    words = ["-m", "merginguriel.cli.main", "mcp", "--http", "--port", "0", "--workspace", str(place)]
    ours = {**os.environ, "MU_MCP_TOKEN": TOKEN}
    server = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True, env=ours)
    result = server.stderr.readline()
    assert " at http://127.0.0.1:" in result, result
    yield result.rpartition(" ")[2].strip()
    server.terminate()
    rest = server.stderr.read()
    assert server.wait(120) is not None and "Traceback" not in rest and TOKEN not in result + rest


@asynccontextmanager
async def agent_on(address):
    """A client of the server at this address, with the token."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as carrier,
        Client(streamable_http_client(address, http_client=carrier)) as client,
    ):
        yield client
