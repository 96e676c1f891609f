"""A provider's streamed answer under way: bytes -> events -> chunks, with its limits and its span."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry.trace import Span, Status, StatusCode

from meshgate_chassis.chat.json import loads_object
from meshgate_chassis.chat.sse import SseEvent
from meshgate_chassis.errors import MeshError
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.framing import CONTENT_TYPES, framer
from meshgate_router.providers.base import ErrorKind, Framing, ProviderError, StreamDecoder, senseless
from meshgate_router.providers.error_kinds import details_of, text_of
from meshgate_router.transport import UNLIMITED, CallTimeouts, Limit, UpstreamResponse

EVENT_BYTES_MAX: Final = 8 * 1024 * 1024
CHUNKS_HELD_MAX: Final = 64  # before the first token; whoever sends more has begun
HEADERS_TOLD_MAX: Final = 64
HEADER_CHARACTERS_MAX: Final = 1_024
HEADERS_KEPT_BACK: Final = frozenset({"set-cookie", "set-cookie2"})
REASON_ATTRIBUTE: Final = "meshgate.error_reason"


class OpenStream:
    """Close it, whatever happens; any task may."""

    def __init__(
        self, response: UpstreamResponse, decoder: StreamDecoder, framing: Framing, span: Span
    ) -> None:
        self.headers = told_headers(response.headers)
        self._response = response
        self._decoder = decoder
        self._framing = framing
        self._events = framer(framing, EVENT_BYTES_MAX)
        self._span = span
        self._between_tokens_s: float | None = None
        self._closed = False

    @property
    def usage(self) -> pb.Usage | None:
        """As far as the provider reported it."""
        return self._decoder.usage

    @property
    def finish_reason(self) -> str:
        """Of the first choice; "" if the provider gave none."""
        return self._decoder.finish_reason

    @property
    def is_whole(self) -> bool:
        """The provider said that this is all: `next_chunks` has nothing more, and does not wait for it."""
        return self._decoder.done

    async def first_chunks(self, timeouts: CallTimeouts, first_token_s: float) -> Sequence[pb.ChatChunk]:
        """All chunks up to those that came together with the first token: until then nobody has seen any.

        `first_token_s`: what is left for it. Raises ProviderError.
        """
        self._between_tokens_s = timeouts.between_tokens_s
        await self._check_content_type()
        # Comments that keep the connection alive, and chunks without a token, are no answer.
        message = f"the provider's first token did not come within {timeouts.first_byte_s:g} s"
        limit = Limit(asyncio.get_running_loop().time() + first_token_s, message)
        held: list[pb.ChatChunk] = []
        while more := await self._next(limit, begun=False):
            held += more
            if any(map(bears_token, more)) or len(held) > CHUNKS_HELD_MAX:
                break
        if not held:
            raise senseless("the stream is empty")
        return held

    async def next_chunks(self) -> Sequence[pb.ChatChunk]:
        """All chunks that are waiting, at least one; none at the proper end of the answer.

        Raises ProviderError when the answer breaks off or makes no sense.
        """
        if self._between_tokens_s is None:
            return await self._next(UNLIMITED)
        message = f"the provider sent no token for {self._between_tokens_s:g} s"
        limit = Limit(asyncio.get_running_loop().time() + self._between_tokens_s, message)
        held: list[pb.ChatChunk] = []
        while more := await self._next(limit):
            held += more
            if any(map(bears_token, more)) or len(held) > CHUNKS_HELD_MAX:
                break
        return held

    async def finish(self) -> None:
        """After the proper end: tells the span, and keeps the connection if it can be used again."""
        tell_span(self._span, self.usage, self.finish_reason)
        await self._response.finish()

    def close(self, error: ProviderError | None = None) -> None:
        """Ends the call, once; if the answer was not read to its end, the provider notices at once."""
        if self._closed:
            return
        self._closed = True
        self._response.close()
        if error is not None:
            self._span.set_status(Status(StatusCode.ERROR))
            self._span.set_attribute(REASON_ATTRIBUTE, error.kind.value)
        self._span.end()

    async def _next(self, limit: Limit, *, begun: bool = True) -> Sequence[pb.ChatChunk]:
        while not self._decoder.done:
            try:
                data = await self._response.read_some(limit, begun=begun)
            except ProviderError:
                if self._decoder.whole:
                    return ()  # What is missing is no part of the answer.
                raise
            chunks = self._decoded(self._complete_events(data))
            if chunks:
                return chunks
            if not data:
                if self._decoder.whole:
                    return ()
                message = "the provider's stream ended before its answer did"
                raise ProviderError(ErrorKind.UNAVAILABLE, message, 502, unanswered=True)
        return ()

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

    async def _check_content_type(self) -> None:
        content_type = self._response.headers.get("content-type", "")
        if content_type and not content_type.startswith(CONTENT_TYPES[self._framing]):
            # Some servers answer with one JSON object, often an error under status 200.
            text = await self._response.read_error()
            told = f": {text_of(details_of(text), 'message')}" if b'"error"' in text else ""
            raise senseless(f"it is no stream of {self._framing.value}{told}")


def told_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Response headers for the caller: bounded, and no cookies."""
    kept = [(name, value) for name, value in headers.items() if name not in HEADERS_KEPT_BACK]
    return {name: value[:HEADER_CHARACTERS_MAX] for name, value in kept[:HEADERS_TOLD_MAX]}


def bears_token(chunk: pb.ChatChunk) -> bool:
    """Something of the answer, or its end: not the role alone, and no comment in the shape of a chunk."""
    for choice in chunk.choices:
        delta = choice.delta
        if (
            delta.content
            or choice.HasField("finish_reason")
            or delta.reasoning_content
            or delta.tool_calls
            or delta.refusal
            or (delta.extra_json and any(loads_object(delta.extra_json).values()))
        ):
            return True
    return False


def tell_span(span: Span, usage: pb.Usage | None, finish_reason: str) -> None:
    """What GenAI's conventions want to know of a whole answer."""
    if not span.is_recording():
        return
    if usage is not None:
        span.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
        span.set_attribute("gen_ai.usage.output_tokens", usage.completion_tokens)
    if finish_reason:
        span.set_attribute("gen_ai.response.finish_reasons", (finish_reason,))
