"""Around management and reports: limits their bodies, which FastAPI reads without one, and lets the books
catch up with what was answered before it was posted. Pure ASGI.
"""

from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meshgate_chassis.errors import MeshError
from meshgate_edge.http.body import BodyLimits, read_body
from meshgate_edge.http.messages import headers_of, send_error

MANAGEMENT_PREFIXES = (
    *("/key/", "/user/", "/team/", "/customer/", "/end_user/", "/budget", "/organization/", "/tag/", "/v2/"),
    *("/cache/", "/credentials", "/spend/", "/global/"),
)


class ManagementBodies:
    """Reads the whole body within its limits, and hands it on once `caught_up` returns."""

    def __init__(self, app: ASGIApp, limits: BodyLimits, caught_up: Callable[[], Awaitable[None]]) -> None:
        self._app = app
        self._limits = limits
        self._caught_up = caught_up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(MANAGEMENT_PREFIXES):
            await self._app(scope, receive, send)
            return
        try:
            body = await read_body(receive, headers_of(scope), self._limits)
        except MeshError as error:
            await send_error(send, error)
            return
        if body is not None:
            await self._caught_up()
            await self._app(scope, _replayed(body, receive), send)


def _replayed(body: bytes, receive: Receive) -> Receive:
    told = False

    async def receive_again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
