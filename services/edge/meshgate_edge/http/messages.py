"""The smallest pieces of ASGI: a request's headers in, whole answers out."""

from collections.abc import Iterable
from typing import Final

from starlette.types import Scope, Send

from meshgate_chassis.chat.json import dumps
from meshgate_chassis.errors import MeshError
from meshgate_edge.http.errors import render_error

Header = tuple[bytes, bytes]

CALL_ID_HEADER: Final = b"x-litellm-call-id"
VERSION_HEADER: Final = b"x-litellm-version"


def headers_of(scope: Scope) -> dict[str, str]:
    """A request's headers by lower-case name; of a repeated one the last."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def send_json(send: Send, status: int, body: bytes, headers: Iterable[Header] = ()) -> None:
    """One whole JSON answer."""
    length = str(len(body)).encode()
    fixed = ((b"content-type", b"application/json"), (b"content-length", length))
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_error(send: Send, error: MeshError, headers: Iterable[Header] = ()) -> None:
    """An error as a whole answer in OpenAI's format."""
    rendered = render_error(error)
    await send_json(send, rendered.status, dumps(rendered.body), (*headers, *rendered.headers))
