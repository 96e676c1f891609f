"""Asks a process whether it is ready: over HTTP, or by connecting to its socket."""

import asyncio
import contextlib

from meshgate_cli.plan import Probe

ATTEMPT_TIMEOUT_S = 2.0
STATUS_LINE_BYTES_MAX = 1_024


async def is_ready(probe: Probe) -> bool:
    """One attempt; False for every kind of not yet."""
    if probe.path is not None:
        return await _http_ok(probe.target, probe.path)
    return await _listens(probe.target)


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


async def _listens(target: str) -> bool:
    """A service listens last, when all that it needs is there; whether it serves is what the edge asks of
    each before it is ready. To ask here as well would load grpcio: a third of a second of a core."""
    path = target.removeprefix("unix:")
    try:
        async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
            _, writer = await asyncio.open_unix_connection(path)
    except (OSError, TimeoutError):
        return False  # not there yet, or left behind by a process that was killed
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
