"""Reads a request's body, within a limit of bytes and of time."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Receive

from meshgate_chassis.chat.json import JsonObject, loads_object
from meshgate_chassis.errors import Code, MeshError


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """`timeout_s`: from the end of the head to the end of the body. `json_type_required`: see below."""

    size_bytes_max: int
    timeout_s: float = 60.0
    json_type_required: bool = True


async def read_json_object(
    receive: Receive, headers: Mapping[str, str], limits: BodyLimits
) -> JsonObject | None:
    """The body as a JSON object; None when the client went away before its end.

    Raises INVALID_ARGUMENT with CONTENT_TYPE_UNSUPPORTED, JSON_INVALID or BODY_TIMEOUT, and
    OUT_OF_RANGE/REQUEST_TOO_LARGE. A browser cannot send JSON to another site without asking first (CORS),
    so in open mode a body that calls itself anything else is refused; where a key is needed, no other site
    has one, and `curl -d` may call its JSON a form.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = not kind or kind == "application/json" or kind.endswith("+json")
    if limits.json_type_required and not is_json:
        raise _refused("CONTENT_TYPE_UNSUPPORTED", "content-type must be application/json")
    body = await read_body(receive, headers, limits)
    if body is None:
        return None
    if not body:
        raise _refused("JSON_INVALID", "the body is empty; a JSON object is needed")
    return loads_object(body)


async def read_body(receive: Receive, headers: Mapping[str, str], limits: BodyLimits) -> bytes | None:
    """The whole body; None when the client went away before its end."""
    announced = headers.get("content-length", "0")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limits.size_bytes_max:
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.timeout_s):
            return await _read(receive, limits)
    except TimeoutError:
        raise _refused("BODY_TIMEOUT", f"the body did not arrive within {limits.timeout_s:g} s") from None


async def _read(receive: Receive, limits: BodyLimits) -> bytes | None:
    pieces: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece: bytes = message.get("body", b"")
        size_bytes += len(piece)
        if size_bytes > limits.size_bytes_max:
            raise _too_large(limits)
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _refused(reason: str, message: str) -> MeshError:
    return MeshError(Code.INVALID_ARGUMENT, reason, message, domain="gateway.meshgate")


def _too_large(limits: BodyLimits) -> MeshError:
    return MeshError(
        Code.OUT_OF_RANGE,
        "REQUEST_TOO_LARGE",
        f"the body is larger than {limits.size_bytes_max} bytes",
        domain="gateway.meshgate",
    )
