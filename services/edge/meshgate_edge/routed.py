"""The router's stream as the pipeline's events, with everything that money needs to know of it.

What was received is kept for the bill before anybody sees it. A client that goes away while it has not read
all leaves messages behind that have arrived here: they are read for a moment more, because its provider has
sent them.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.call import Chunks, Started
from meshgate_edge.call_run import CallRun
from meshgate_edge.money.top_up import Cover, TopUps
from meshgate_edge.text_pieces import TextPieces
from meshgate_edge.tokens.counter import TokenCounter
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.router.v1 import router_service_pb2 as pb

REST_S: Final = 0.1  # reading on for a client that has gone, at most
REST_PAUSE_S: Final = 0.01  # and no longer than until nothing comes for so long


class RoutedStream:
    """One stream of the router. `run.chunks` is set; it gets what was received."""

    def __init__(self, run: CallRun, top_ups: TopUps, counter: TokenCounter, clock: Clock) -> None:
        self._run = run
        self._top_ups = top_ups
        self._counter = counter
        self._clock = clock
        self._cover: Cover | None = None
        self._pieces = TextPieces()
        self._finished = False

    async def events(
        self, stream: AsyncGenerator[pb.StreamChatResponse, None]
    ) -> AsyncGenerator[Started | Chunks, None]:
        """Returns when the answer is whole. Raises BUDGET_EXCEEDED where the money ends, after what it pays
        for, and PROVIDER_STREAM_BROKEN."""
        async with aclosing(stream):
            async for event in stream:
                part = self._noted(event)
                if isinstance(part, pb.Started) and self._run.first_token_ns is None:
                    try:
                        yield Started(self._run.info)
                    except GeneratorExit:
                        self._keep(part)
                        raise
                if part is None or not part.chunks:
                    continue
                texts = [self._pieces.text_of(chunk) for chunk in part.chunks]
                paid = await self._paid(part.chunks, texts)
                visible = self._received(paid, texts)
                whole = len(paid) == len(part.chunks)
                if whole and part.HasField("finished"):
                    self._end(part.finished)
                if visible.chunks:
                    try:
                        yield visible
                    except GeneratorExit:
                        await self._read_rest(stream)
                        raise
                if not whole:
                    assert self._cover is not None
                    raise self._cover.refused
        if not self._finished:
            raise MeshError(Code.UNAVAILABLE, "PROVIDER_STREAM_BROKEN", "the stream ended before its answer")

    def _noted(self, event: pb.StreamChatResponse) -> pb.Started | pb.Delta | None:
        """Keeps what an event tells but for its chunks, and the end that came with them; what has some."""
        run = self._run
        if event.HasField("delta"):
            return event.delta
        if event.HasField("started"):
            run.served(event.started.served_by)
            run.first_usage = event.started.usage if event.started.HasField("usage") else None
            self._cover = self._top_ups.cover(run, self._counter)
            return event.started
        if event.HasField("continued"):
            run.served(event.continued.served_by)
            run.first_usage = None
        elif event.HasField("finished"):
            self._end(event.finished)
        return None

    def _end(self, finished: pb.Finished) -> None:
        self._finished = True
        if finished.HasField("usage"):
            self._run.usage = finished.usage
        if finished.HasField("served_by"):
            self._run.served(finished.served_by)

    async def _paid(
        self, chunks: Sequence[chat_pb.ChatChunk], texts: Sequence[str | None]
    ) -> Sequence[chat_pb.ChatChunk]:
        run = self._run
        if run.first_token_ns is None:
            run.first_token_ns = self._clock.now_ns()
            run.info.first_token_s = (run.first_token_ns - run.start_ns) / 1e9
        return chunks if self._cover is None else await self._cover.paid(chunks, texts)

    def _received(self, chunks: Sequence[chat_pb.ChatChunk], texts: Sequence[str | None]) -> Chunks:
        """Keeps chunks for the bill and the cache; what the client is to see of them."""
        run = self._run
        assert run.chunks is not None
        visible: list[chat_pb.ChatChunk] = []
        told: list[str | None] = []
        for chunk, text in zip(chunks, texts, strict=False):  # not all may be paid for
            if text is not None:
                run.chunks.add_text(chunk, text)
            else:
                run.chunks.add(chunk)
                run.response_id = run.response_id or chunk.id
                if chunk.HasField("usage"):
                    chunk.ClearField("usage")  # told once, at the end, to those who asked
                    if not chunk.choices:
                        continue
            visible.append(chunk)
            told.append(text)
        return Chunks(visible, told)

    async def _read_rest(self, stream: AsyncGenerator[pb.StreamChatResponse, None]) -> None:
        """Receives what is on its way; never more than is paid for, and never an error."""
        end_s = self._clock.monotonic_s() + REST_S
        try:
            while self._clock.monotonic_s() < end_s:
                async with asyncio.timeout(REST_PAUSE_S):
                    event = await anext(stream, None)
                if event is None:
                    return
                part = self._noted(event)
                if part is not None:
                    self._keep(part)
        except (TimeoutError, MeshError):
            return

    def _keep(self, part: pb.Started | pb.Delta) -> None:
        """What has arrived for a client that has gone."""
        paid = part.chunks if self._cover is None else self._cover.already_paid(part.chunks)
        self._received(paid, [None] * len(paid))
        if part.HasField("finished"):
            self._end(part.finished)
