"""One call to one deployment: translate, send, read, translate back, under one span.

Nothing here chooses or retries. Everything that goes wrong leaves as a ProviderError.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Final

from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from meshgate_chassis.chat.sse import SseEvent
from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import Deployment
from meshgate_chassis.errors import MeshError
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.framing import CONTENT_TYPES, framer
from meshgate_router.providers.base import (
    ErrorKind,
    Exchange,
    Framing,
    Provider,
    ProviderError,
    StreamDecoder,
    UpstreamRequest,
    senseless,
)
from meshgate_router.providers.error_kinds import details_of, text_of
from meshgate_router.transport import CallTimeouts, Transport, UpstreamResponse

HEADERS_TOLD_MAX: Final = 64
HEADER_CHARACTERS_MAX: Final = 1_024
HEADERS_KEPT_BACK: Final = frozenset({"set-cookie", "set-cookie2"})
EVENT_BYTES_MAX: Final = 8 * 1024 * 1024
REQUEST_ID_HEADER: Final = "x-client-request-id"  # OpenAI's name for a caller's own id
REASON_ATTRIBUTE: Final = "meshgate.error_reason"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, and the headers it came with."""

    response: pb.ChatResponse
    headers: Mapping[str, str]


class OpenStream:
    """A streamed answer under way. Close it, in the task that opened it."""

    def __init__(
        self, response: UpstreamResponse, decoder: StreamDecoder, framing: Framing, span: Span
    ) -> None:
        self.headers = told_headers(response.headers)
        self._response = response
        self._decoder = decoder
        self._span = span
        self._span_open = ExitStack()
        self._events = framer(framing, EVENT_BYTES_MAX)
        self.framing = framing

    @property
    def usage(self) -> pb.Usage | None:
        """As far as the provider reported it."""
        return self._decoder.usage

    @property
    def finish_reason(self) -> str:
        """Of the first choice; "" if the provider gave none."""
        return self._decoder.finish_reason

    async def next_chunks(self) -> Sequence[pb.ChatChunk]:
        """All chunks that are waiting, at least one; none at the proper end of the answer.

        Raises ProviderError when the answer breaks off or makes no sense.
        """
        while not self._decoder.done:
            data = await self._response.read_some()
            chunks = self._decoded(self._complete_events(data))
            if chunks:
                return chunks
            if not data:
                if self._decoder.whole:
                    return ()
                raise ProviderError(
                    ErrorKind.UNAVAILABLE, "the provider's stream ended before its answer did", 502
                )
        return ()

    async def finish(self) -> None:
        """After the proper end: tells the span, and keeps the connection if it can be used again."""
        _tell_span(self._span, self.usage, self.finish_reason)
        await self._response.finish()

    def own_span(self, span_open: ExitStack) -> None:
        """From now on the span lasts until `close`."""
        self._span_open = span_open

    def close(self, error: ProviderError | None = None) -> None:
        """Ends the call; if the answer was not read to its end, the provider notices at once."""
        self._response.close()
        if error is not None:
            self._span.set_status(Status(StatusCode.ERROR))
            self._span.set_attribute(REASON_ATTRIBUTE, error.kind.value)
        self._span_open.close()

    def _complete_events(self, data: bytes) -> Sequence[SseEvent]:
        try:
            return self._events.feed(data) if data else self._events.finish()
        except MeshError as error:
            raise senseless(error.message) from error

    def _decoded(self, events: Sequence[SseEvent]) -> list[pb.ChatChunk]:
        chunks: list[pb.ChatChunk] = []
        for event in events:
            if self._decoder.done:
                break
            chunks.extend(self._decoder.feed(event))
        return chunks


class ProviderCaller:
    """Calls deployments of every provider in the table."""

    def __init__(
        self, providers: Mapping[str, Provider], transport: Transport, telemetry: Telemetry, clock: Clock
    ) -> None:
        self._providers = providers
        self._transport = transport
        self._telemetry = telemetry
        self._clock = clock

    def base(self, deployment: Deployment) -> str:
        """The address that calls of a deployment begin with; "" when nobody knows."""
        provider = self._providers.get(deployment.provider)
        return "" if provider is None else provider.base(deployment)

    async def create(
        self, chat: pb.ChatRequest, deployment: Deployment, timeouts: CallTimeouts, request_id: str = ""
    ) -> Answer:
        """The whole answer. The provider is told `request_id`. Raises ProviderError."""
        with self._span(deployment) as span:
            provider, exchange = self._exchange(chat, deployment, stream=False)
            response = await self._open(provider, exchange, timeouts, request_id)
            try:
                answer = provider.response(await response.read_all(), exchange)
            finally:
                response.close()
            usage = answer.usage if answer.HasField("usage") else None
            _tell_span(span, usage, answer.choices[0].finish_reason if answer.choices else "")
            return Answer(answer, told_headers(response.headers))

    async def open_stream(
        self, chat: pb.ChatRequest, deployment: Deployment, timeouts: CallTimeouts, request_id: str = ""
    ) -> tuple[OpenStream, Sequence[pb.ChatChunk]]:
        """A stream, once its first chunks are there: until then another deployment may be asked instead.

        Raises ProviderError.
        """
        with ExitStack() as span_open:
            span = span_open.enter_context(self._span(deployment))
            provider, exchange = self._exchange(chat, deployment, stream=True)
            start_s = self._clock.monotonic_s()
            response = await self._open(provider, exchange, timeouts, request_id)
            first_chunk_s = timeouts.first_byte_s - (self._clock.monotonic_s() - start_s)
            try:
                stream = OpenStream(response, provider.decoder(exchange), exchange.request.framing, span)
                chunks = await _first_chunks(stream, response, first_chunk_s)
            except BaseException:
                response.close()
                raise
            stream.own_span(span_open.pop_all())
            return stream, chunks
        raise AssertionError("an ExitStack of spans swallows nothing")

    def _exchange(
        self, chat: pb.ChatRequest, deployment: Deployment, *, stream: bool
    ) -> tuple[Provider, Exchange]:
        provider = self._providers.get(deployment.provider)
        if provider is None:
            message = f"the provider {deployment.provider!r} is not supported yet"
            raise ProviderError(ErrorKind.NOT_SUPPORTED, message, 400, sent=False)
        request = provider.request(chat, deployment, stream=stream)
        return provider, Exchange(request, self._clock.now_ns() // 1_000_000_000)

    async def _open(
        self, provider: Provider, exchange: Exchange, timeouts: CallTimeouts, request_id: str
    ) -> UpstreamResponse:
        """The response with status 200, open. Raises ProviderError for any other."""
        response = await self._transport.open(self._named(exchange.request, request_id), timeouts)
        if response.status == 200:
            return response
        try:
            body = await response.read_error()
        finally:
            response.close()
        if response.status < 400:
            raise senseless(f"it has status {response.status}")
        raise provider.error(response.status, response.headers, body)

    def _named(self, request: UpstreamRequest, request_id: str) -> UpstreamRequest:
        """With our id for the call, which providers can be asked about, and the trace it belongs to."""
        headers = dict(request.headers)
        if request_id:
            headers[REQUEST_ID_HEADER] = request_id
        self._telemetry.inject(headers)
        return replace(request, headers=headers)

    @contextmanager
    def _span(self, deployment: Deployment) -> Iterator[Span]:
        with self._telemetry.span(
            f"chat {deployment.upstream_model}",
            kind=SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": deployment.provider,
                "gen_ai.request.model": deployment.upstream_model,
                "meshgate.deployment_id": deployment.id,
                "meshgate.model_group": deployment.model_group,
            },
        ) as span:
            try:
                yield span
            except ProviderError as error:
                span.set_attribute(REASON_ATTRIBUTE, error.kind.value)
                raise


def told_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Response headers for the caller: bounded, and no cookies."""
    kept = [(name, value) for name, value in headers.items() if name not in HEADERS_KEPT_BACK]
    return {name: value[:HEADER_CHARACTERS_MAX] for name, value in kept[:HEADERS_TOLD_MAX]}


async def _first_chunks(
    stream: OpenStream, response: UpstreamResponse, limit_s: float
) -> Sequence[pb.ChatChunk]:
    content_type = response.headers.get("content-type", "")
    if content_type and not content_type.startswith(CONTENT_TYPES[stream.framing]):
        # Some servers answer with one JSON object, often an error under status 200.
        text = await response.read_error()
        told = f": {text_of(details_of(text), 'message')}" if b'"error"' in text else ""
        raise senseless(f"it is no stream of {stream.framing.value}{told}")
    try:
        # Comments that keep the connection alive are no answer: the limit is for the first chunk.
        async with asyncio.timeout(limit_s):
            chunks = await stream.next_chunks()
    except TimeoutError as error:
        raise ProviderError(ErrorKind.TIMEOUT, "the provider's stream did not begin in time", 408) from error
    if not chunks:
        raise senseless("the stream is empty")
    return chunks


def _tell_span(span: Span, usage: pb.Usage | None, finish_reason: str) -> None:
    if not span.is_recording():
        return
    if usage is not None:
        span.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
        span.set_attribute("gen_ai.usage.output_tokens", usage.completion_tokens)
    if finish_reason:
        span.set_attribute("gen_ai.response.finish_reasons", (finish_reason,))
