"""POST /v1/embeddings: bytes -> EmbeddingsCall -> pipeline -> JSON. The rules of http_chat.py hold, too."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from meshgate_chassis.chat.json import dumps
from meshgate_chassis.deadline import deadline_scope
from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.authentication import Authenticator
from meshgate_edge.call import CallInfo
from meshgate_edge.embeddings_json import asked_from_json, body_of
from meshgate_edge.embeddings_pipeline import EmbeddingsCall, EmbeddingsPipeline
from meshgate_edge.http_body import BodyLimits, read_json_object
from meshgate_edge.http_call_headers import call_headers, error_headers
from meshgate_edge.http_chat import InFlight
from meshgate_edge.http_disconnect import UntilDisconnect
from meshgate_edge.http_messages import headers_of, send_error, send_json
from meshgate_edge.http_sse import cost_of
from meshgate_edge.observer import CallObserver
from meshgate_edge.options import split_options


@dataclass(frozen=True, slots=True)
class EmbeddingsParts:
    """As http_chat.ChatParts."""

    pipeline: EmbeddingsPipeline
    authenticator: Authenticator
    observer: CallObserver
    in_flight: InFlight
    tasks: TaskOwner
    new_call_id: Callable[[], str]
    version: str
    body_limits: BodyLimits
    request_timeout_s: float = 600.0


class EmbeddingsEndpoint:
    """An ASGI application for its paths."""

    def __init__(self, parts: EmbeddingsParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = self._parts
        call_id = parts.new_call_id()
        parts.in_flight.inc()
        try:
            with deadline_scope(parts.request_timeout_s):
                await self._answer(scope, receive, send, call_id)
        except MeshError as error:
            await send_error(send, error, error_headers(call_id, parts.version))
        finally:
            parts.in_flight.dec()

    async def _answer(self, scope: Scope, receive: Receive, send: Send, call_id: str) -> None:
        try:
            asked = await self._asked(scope, receive, call_id)
        except MeshError as error:
            self._parts.observer.finished(CallInfo(call_id, model="", outcome="denied"), error)
            raise
        if asked is None:
            return  # the client went away while it sent its request
        call, encoding_format = asked
        async with UntilDisconnect(receive, self._parts.tasks) as client:
            embedded = await self._parts.pipeline.create(call)
        if client.disconnected:
            return
        body = body_of(embedded.response, encoding_format, cost_of(embedded.info))
        await send_json(send, 200, dumps(body), call_headers(embedded.info, self._parts.version))

    async def _asked(self, scope: Scope, receive: Receive, call_id: str) -> tuple[EmbeddingsCall, str] | None:
        headers = headers_of(scope)
        principal = self._parts.authenticator.authenticate(headers)
        body = await read_json_object(receive, headers, self._parts.body_limits)
        if body is None:
            return None
        model = scope.get("path_params", {}).get("model")
        if model:
            body["model"] = model
        members, options = split_options(body, headers)
        asked = asked_from_json(members)
        client = scope.get("client")
        address = "" if client is None else str(client[0])
        return EmbeddingsCall(call_id, principal, asked.request, options, address), asked.encoding_format
