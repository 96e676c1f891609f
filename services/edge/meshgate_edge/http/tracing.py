"""The edge's own span: one SERVER span for each HTTP request, continuing the client's trace. Pure ASGI."""

from opentelemetry.trace import SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meshgate_chassis.telemetry import Telemetry

UNTRACED_PREFIXES = ("/health", "/metrics")


class TracingMiddleware:
    """Added only when tracing is on."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UNTRACED_PREFIXES):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method, path = scope["method"], scope["path"]
        attributes = {"http.request.method": method, "url.path": path, "url.scheme": scope["scheme"]}
        with self._telemetry.span(
            f"{method} {path}", kind=SpanKind.SERVER, attributes=attributes, headers=headers
        ) as span:
            if not span.is_recording():
                await self._app(scope, receive, send)
                return

            async def send_traced(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            await self._app(scope, receive, send_traced)
