"""`mu mcp`: the Model Context Protocol server."""

from __future__ import annotations

import importlib.util
import os
import secrets
from pathlib import Path

import click

from merginguriel.errors import UsageError, missing_extra

from .common import say, space, workspace_option

TOKEN = "MU_MCP_TOKEN"


@click.command(short_help="Serve advice, search, log and runs to agents over MCP.")
@click.option(
    "--http", is_flag=True, help="Serve on HTTP, with a token, instead of standard input and output."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Loopback address.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any free port."
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"The token is the first line of this file. Default: ${TOKEN}, else a new one, printed on stderr.",
)
@click.option("--read-only", is_flag=True, help="Omit the tools that write to the workspace.")
@workspace_option
def mcp(
    http: bool, host: str, port: int, token_file: Path | None, read_only: bool, workspace_path: Path | None
) -> None:
    """Serve this workspace to an agent: tools for advice, search, log and runs, and skills as resources.

    \b
    mu mcp                                (the agent's program starts this; see docs/mcp.md)
    mu mcp --http --port 8765             (prints address and token)
    """
    # Matrices are small, and several questions may be answered at once.
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    where = space(workspace_path)
    if importlib.util.find_spec("mcp") is None:
        raise missing_extra("mcp", "mcp")
    import anyio

    from merginguriel.agents.server import build, serve_stdio

    server = build(where, read_only=read_only or where.shipped)
    if not http:
        say(f"serving {where.root} on standard input and output.")
        anyio.run(serve_stdio, server)
        return
    from merginguriel.agents import http as web

    token, is_new = chosen_token(token_file)
    with web.listening(host, port) as bound:
        application = web.app(server, bound, token)
        bound.listen()
        say(f"serving {where.root} at {web.url(bound)}")
        if is_new:
            say(f"token {token}")
        web.serve(application, bound)


def chosen_token(file: Path | None) -> tuple[str, bool]:
    """Return the token, and whether it is new; raise UsageError for a missing file or one that others may read."""
    if file is not None:
        if not file.is_file():
            raise UsageError(f"no file {file}.")
        if os.name == "posix" and file.stat().st_mode & 0o077:
            raise UsageError(f"others may read {file}.", hint=f"chmod 600 {file}")
        lines = file.read_text(encoding="utf-8").splitlines()
        return (lines[0].strip() if lines else ""), False
    token = os.environ.get(TOKEN, "")
    return (token, False) if token else (secrets.token_urlsafe(32), True)
