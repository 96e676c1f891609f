"""Asks a process whether it is ready: over HTTP, or by the standard health service of gRPC."""

import asyncio
import contextlib
from pathlib import Path

from meshgate_cli.plan import Probe

ATTEMPT_TIMEOUT_S = 2.0
STATUS_LINE_BYTES_MAX = 1_024


async def is_ready(probe: Probe) -> bool:
    """One attempt; False for every kind of not yet."""
    if probe.path is not None:
        return await _http_ok(probe.target, probe.path)
    return await _grpc_serving(probe.target)


async def _http_ok(target: str, path: str) -> bool:
    host, _, port = target.rpartition(":")
    try:
        async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n".encode())
                status_line = await reader.readline()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
    return status_line[:STATUS_LINE_BYTES_MAX].split(b" ")[1:2] == [b"200"]


async def _grpc_serving(target: str) -> bool:
    if not Path(target.removeprefix("unix:")).exists():  # noqa: ASYNC240 - a local look, microseconds
        return False  # before its socket is there, a process needs no question
    from meshgate_chassis.rpc import check_health  # here: it loads while the services start

    return await check_health(target, tls=None, server_name="", timeout_s=ATTEMPT_TIMEOUT_S)
