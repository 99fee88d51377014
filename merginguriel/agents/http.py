"""MCP over HTTP: on this machine only, with a token, and not from web pages of other origins."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.transport_security import TransportSecuritySettings

from merginguriel.errors import UsageError

PATH = "/mcp"
SHORTEST = 16  # characters of a token
Asgi = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]],
    Awaitable[None],
]


def loopback(host: str) -> str:
    """Return `host` as a loopback address; raise UsageError for any other."""
    name = "127.0.0.1" if host == "localhost" else host
    try:
        if ipaddress.ip_address(name).is_loopback:
            return name
    except ValueError:
        pass
    raise UsageError(
        f"--host must be 127.0.0.1, ::1 or localhost, got {host!r}, which other machines may reach.",
        hint="From another machine, use a tunnel: ssh -L PORT:127.0.0.1:PORT HOST",
    )


def listening(host: str, port: int) -> socket.socket:
    """Return a bound socket; port 0: any free port. Raise UsageError if the port is in use."""
    address = loopback(host)
    result = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        result.bind((address, port))
    except OSError as error:
        result.close()
        raise UsageError(
            f"port {port} of {address} is in use.", hint="--port 0 uses any free port."
        ) from error
    return result


def url(bound: socket.socket) -> str:
    """Return the address of the server."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{PATH}"


def app(server: Server[Any], bound: socket.socket, token: str) -> Asgi:
    """Return the web application, which checks the token, then Host and Origin, then the protocol."""
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable():
        raise UsageError(f"the token must have {SHORTEST} or more printable ASCII characters.")
    port = bound.getsockname()[1]
    names = [f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")]
    rules = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=names,
        allowed_origins=[f"http://{name}" for name in names],
    )
    return guarded(server.streamable_http_app(streamable_http_path=PATH, transport_security=rules), token)


def guarded(inner: Asgi, token: str) -> Asgi:
    """Return `inner` for requests with `Authorization: Bearer TOKEN`, and status 401 without a reason for all others."""
    expected = f"Bearer {token}".encode("ascii")

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await inner(scope, receive, send)
            return
        tokens = [value for name, value in scope.get("headers", ()) if name == b"authorization"]
        if scope["type"] == "http" and len(tokens) == 1 and hmac.compare_digest(tokens[0], expected):
            await inner(scope, receive, send)
        elif scope["type"] == "http":
            headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": b""})

    return outer


def serve(application: Asgi, bound: socket.socket) -> None:
    """Serve until interrupted."""
    settings = uvicorn.Config(
        application, log_level="warning", access_log=False, ws="none", server_header=False
    )
    uvicorn.Server(settings).run(sockets=[bound])
