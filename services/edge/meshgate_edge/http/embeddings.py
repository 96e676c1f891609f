"""POST /v1/embeddings: JSON -> EmbeddingsCall -> pipeline -> JSON. A client that goes away cancels it."""

from dataclasses import dataclass

from starlette.types import Receive, Send

from meshgate_chassis.chat.json import dumps
from meshgate_edge.embeddings_pipeline import EmbeddingsCall, EmbeddingsPipeline
from meshgate_edge.http.call_endpoint import CallParts, Received
from meshgate_edge.http.call_headers import call_headers
from meshgate_edge.http.disconnect import UntilDisconnect
from meshgate_edge.http.embeddings_json import asked_from_json, body_of
from meshgate_edge.http.messages import send_json
from meshgate_edge.http.sse import cost_of


@dataclass(frozen=True, slots=True)
class FormattedCall:
    """A call, and how the numbers of its answer are to be written: "float" or "base64"."""

    call: EmbeddingsCall
    encoding_format: str


class EmbeddingsHandler:
    """Calls for embeddings."""

    def __init__(self, pipeline: EmbeddingsPipeline, parts: CallParts) -> None:
        self._pipeline = pipeline
        self._tasks = parts.tasks
        self._version = parts.version

    def call_of(self, received: Received) -> FormattedCall:
        """Raises INVALID_ARGUMENT."""
        asked = asked_from_json(received.members)
        call = EmbeddingsCall(
            received.call_id,
            received.principal,
            asked.request,
            received.options,
            received.client_address,
            received.given,
        )
        return FormattedCall(call, asked.encoding_format)

    async def answer(self, formatted: FormattedCall, receive: Receive, send: Send) -> None:
        """Raises MeshError only as long as nothing was sent."""
        async with UntilDisconnect(receive, self._tasks) as client:
            embedded = await self._pipeline.create(formatted.call)
        if client.disconnected:
            return
        body = body_of(embedded.response, formatted.encoding_format, cost_of(embedded.info))
        await send_json(send, 200, dumps(body), call_headers(embedded.info, self._version))
