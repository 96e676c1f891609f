"""One call to one deployment: translate, send, read, translate back, under one span.

Nothing here chooses or retries. Everything that goes wrong leaves as a ProviderError.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from opentelemetry.trace import Span, SpanKind

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import Deployment
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.open_stream import REASON_ATTRIBUTE, OpenStream, tell_span, told_headers
from meshgate_router.providers.base import (
    EmbeddingsAnswer,
    EmbeddingsProvider,
    EmbeddingsRequest,
    ErrorKind,
    Exchange,
    Provider,
    ProviderError,
    UpstreamRequest,
    senseless,
)
from meshgate_router.transport import CallTimeouts, Transport, UpstreamResponse

REQUEST_ID_HEADER: Final = "x-client-request-id"  # OpenAI's name for a caller's own id


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, and the headers it came with."""

    response: pb.ChatResponse
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors, and the headers they came with."""

    answer: EmbeddingsAnswer
    headers: Mapping[str, str]


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
            response = await self._open(provider, exchange.request, timeouts, request_id)
            try:
                answer = provider.response(await response.read_all(), exchange)
            finally:
                response.close()
            usage = answer.usage if answer.HasField("usage") else None
            tell_span(span, usage, answer.choices[0].finish_reason if answer.choices else "")
            return Answer(answer, told_headers(response.headers))

    async def embed(
        self, wanted: EmbeddingsRequest, deployment: Deployment, timeouts: CallTimeouts, request_id: str = ""
    ) -> Embedded:
        """One vector for each input. Raises ProviderError."""
        with self._span(deployment, operation="embeddings") as span:
            provider = self._provider(deployment)
            if not isinstance(provider, EmbeddingsProvider):
                raise ProviderError(
                    ErrorKind.NOT_SUPPORTED, f"{deployment.provider} has no embeddings", 400, sent=False
                )
            request = provider.embeddings_request(wanted, deployment)
            response = await self._open(provider, request, timeouts, request_id)
            try:
                answer = provider.embeddings_answer(await response.read_all(), wanted)
            finally:
                response.close()
            tell_span(span, answer.usage, "")
            return Embedded(answer, told_headers(response.headers))

    async def open_stream(
        self, chat: pb.ChatRequest, deployment: Deployment, timeouts: CallTimeouts, request_id: str = ""
    ) -> tuple[OpenStream, Sequence[pb.ChatChunk]]:
        """A stream, once its first chunks are there: until then another deployment may be asked instead.

        Raises ProviderError.
        """
        with self._span(deployment, end=False) as span:
            response: UpstreamResponse | None = None
            start_s = self._clock.monotonic_s()
            try:
                provider, exchange = self._exchange(chat, deployment, stream=True)
                response = await self._open(provider, exchange.request, timeouts, request_id)
                stream = OpenStream(response, provider.decoder(exchange), exchange.request.framing, span)
                left_s = timeouts.first_byte_s - (self._clock.monotonic_s() - start_s)
                return stream, await stream.first_chunks(timeouts, left_s)
            except BaseException:
                if response is not None:
                    response.close()
                span.end()
                raise
        raise AssertionError("a span swallows nothing")

    def _exchange(
        self, chat: pb.ChatRequest, deployment: Deployment, *, stream: bool
    ) -> tuple[Provider, Exchange]:
        provider = self._provider(deployment)
        request = provider.request(chat, deployment, stream=stream)
        return provider, Exchange(request, self._clock.now_ns() // 1_000_000_000)

    def _provider(self, deployment: Deployment) -> Provider:
        provider = self._providers.get(deployment.provider)
        if provider is None:
            message = f"the provider {deployment.provider!r} is not supported yet"
            raise ProviderError(ErrorKind.NOT_SUPPORTED, message, 400, sent=False)
        return provider

    async def _open(
        self, provider: Provider, request: UpstreamRequest, timeouts: CallTimeouts, request_id: str
    ) -> UpstreamResponse:
        """The response with status 200, open. Raises ProviderError for any other."""
        response = await self._transport.open(self._named(request, request_id), timeouts)
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
    def _span(self, deployment: Deployment, *, operation: str = "chat", end: bool = True) -> Iterator[Span]:
        with self._telemetry.span(
            f"{operation} {deployment.upstream_model}",
            kind=SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": deployment.provider,
                "gen_ai.request.model": deployment.upstream_model,
                "meshgate.deployment_id": deployment.id,
                "meshgate.model_group": deployment.model_group,
            },
            end=end,
        ) as span:
            try:
                yield span
            except ProviderError as error:
                span.set_attribute(REASON_ATTRIBUTE, error.kind.value)
                raise
