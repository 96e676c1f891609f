"""A provider's stream -> Started, Delta and Continued, Finished; one that breaks goes on elsewhere if it can.

Chunks that came together leave together, at most DELTA_CHUNKS_MAX in one Delta; nothing waits for more,
and the first chunks follow Started at once. While the reader is slow, more chunks come together by
themselves. A stream that is not whole raises, and never ends in Finished.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from meshgate_chassis.errors import MeshError
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.attempt import AttemptLoop, Served
from meshgate_router.failures import Failure, broken_stream
from meshgate_router.hedge import Hedger, Received
from meshgate_router.journey import Journey, RouteTask
from meshgate_router.lease import Lease, Tokens
from meshgate_router.legs import LEGS_MAX, Leg, LegReason
from meshgate_router.open_stream import OpenStream
from meshgate_router.prefill import prefill_of
from meshgate_router.provider_call import ProviderCaller
from meshgate_router.providers.base import ProviderError
from meshgate_router.recovery import (
    RECOVERIES_MAX,
    Continuation,
    Splice,
    Told,
    can_recover,
    cannot_continue,
    continuation,
    worth_recovering,
)
from meshgate_router.resume import with_unanswered, with_uncovered

DELTA_CHUNKS_MAX: Final = 64

Opened = tuple[OpenStream, Sequence[pb.ChatChunk]]

log = structlog.get_logger("meshgate.router")


@dataclass(frozen=True, slots=True)
class Started:
    """A deployment answers; from here on another one is asked only if it breaks off."""

    served: Served[Opened]


@dataclass(frozen=True, slots=True)
class Delta:
    """1 to DELTA_CHUNKS_MAX chunks. `last`: Finished follows at once."""

    chunks: Sequence[pb.ChatChunk]
    last: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is whole. `usage`: of the call that finished it; None when the provider told none. `served`:
    that call, if it is another one than Started told."""

    usage: pb.Usage | None
    finish_reason: str
    served: Served[Opened] | None = None


@dataclass(frozen=True, slots=True)
class Continued:
    """The answer broke off, and `served` goes on with it."""

    served: Served[Opened]


Event = Started | Delta | Continued | Finished


def follows_at_once(event: Event) -> bool:
    """Whether the next event of the stream is there already: the first chunks, or the end."""
    return isinstance(event, Started) or (isinstance(event, Delta) and event.last)


class Streams:
    """All streamed answers. `recovers`: continue what breaks."""

    def __init__(self, loop: AttemptLoop, caller: ProviderCaller, hedger: Hedger, *, recovers: bool) -> None:
        self._loop = loop
        self._caller = caller
        self._hedger = hedger
        self._recovers = recovers

    async def events(
        self, task: RouteTask, chat: pb.ChatRequest, told: Told | None = None
    ) -> AsyncGenerator[Event, None]:
        """Close it to end the provider's call. `told`: what the client has already, of an answer that broke
        off in another RPC. Raises MeshError, after Started PROVIDER_STREAM_BROKEN."""
        run = await (self._first(task, chat) if told is None else self._resumed(task, chat, told))
        try:
            yield Started(run.served)
            while True:
                try:
                    while chunks := await run.next_chunks():
                        *parts, last = _parts(chunks)
                        for part in parts:
                            yield Delta(part)
                        yield Delta(last, run.stream.is_whole)
                    yield run.finished()
                    await run.stream.finish()
                    return  # noqa: TRY300 - the loop is for what broke
                except ProviderError as error:
                    await self._go_on(run, error, task, chat)
                    yield Continued(run.served)
        finally:
            run.close()

    async def _first(self, task: RouteTask, chat: pb.ChatRequest) -> "_Run":
        async def first(lease: Lease) -> tuple[Opened, Lease]:
            return await self._hedger.open(task, lease, lambda one: self._open(task, one, chat), discard)

        served = await self._loop.run(task, first)
        return _Run(served, Told() if self._recovers and can_recover(chat) else None)

    async def _resumed(self, task: RouteTask, chat: pb.ChatRequest, told: Told) -> "_Run":
        rest = _Rest(chat, told, lambda lease, asked: self._open(task, lease, asked))
        served = await self._loop.run(task, rest)
        return _Run(served, told, rest.splice)

    async def _go_on(self, run: "_Run", error: ProviderError, task: RouteTask, chat: pb.ChatRequest) -> None:
        """Lets another deployment finish the answer. Raises PROVIDER_STREAM_BROKEN when none can, or when it
        has to be paid for first: that tells how to go on."""
        failure, told, journey = run.broke(error), run.told, run.served.journey
        if told is None or not run.recoverable(error):
            raise _broken(failure, journey) from error
        if task.covered is not None:
            self._loop.note_rest(task, run.served.lease, lambda each: prefill_of(each) is not None)
            raise with_uncovered(_broken(failure, journey), journey) from error
        rest = _Rest(chat, told, lambda lease, asked: self._open(task, lease, asked))
        try:
            served = await self._loop.resume(task, run.served.lease, rest)
        except MeshError as nobody:
            raise _broken(failure, journey) from nobody
        log.info("stream goes on", model=served.group.name, deployment_id=served.deployment.id)
        run.goes_on(served, rest.splice)

    async def _open(self, task: RouteTask, lease: Lease, chat: pb.ChatRequest) -> Opened:
        with task.credentials.used_for(lease.deployment) as deployment:
            return await self._caller.open_stream(chat, deployment, lease.timeouts, task.request_id)
        raise AssertionError("it swallows nothing")


class _Rest:
    """Asks a deployment for what is missing of an answer that broke off."""

    def __init__(
        self, chat: pb.ChatRequest, told: Told, open_: Callable[[Lease, pb.ChatRequest], Awaitable[Opened]]
    ) -> None:
        self._chat = chat
        self._told = told
        self._open = open_
        self._asked: Continuation | None = None

    async def __call__(self, lease: Lease) -> tuple[Opened, Lease]:
        prefill = prefill_of(lease.deployment)
        if prefill is None:
            raise cannot_continue()
        self._asked = continuation(self._chat, self._told, prefill)
        return await self._open(lease, self._asked.chat), lease

    @property
    def splice(self) -> Splice:
        """Of who was asked last, and answered."""
        assert self._asked is not None, "somebody answered, so somebody was asked"
        return Splice(self._told, self._asked)


class _Run:
    """One answer on its way, through as many calls as it takes. `told`: None: it cannot be continued.
    `splice`: this call goes on where another RPC's broke off."""

    def __init__(self, served: Served[Opened], told: Told | None, splice: Splice | None = None) -> None:
        self.served = served
        self.told = told
        self.stream, self._waiting = served.value
        self._splice = splice
        self._is_first = True  # of this RPC

    async def next_chunks(self) -> Sequence[pb.ChatChunk]:
        """What the client is to see next; nothing at the proper end. Raises ProviderError."""
        while chunks := self._waiting or await self.stream.next_chunks():
            self._waiting = ()
            fitting = chunks if self._splice is None else self._splice.pass_on(chunks)
            if self.told is not None:
                self.told.add(fitting)
            if fitting:
                return fitting
        return ()

    def finished(self) -> Finished:
        return Finished(self.stream.usage, self.stream.finish_reason, None if self._is_first else self.served)

    def recoverable(self, error: ProviderError) -> bool:
        """Text alone was under way, and not all attempts are used up."""
        assert self.told is not None, "nobody followed the answer"
        return self.told.breaks <= RECOVERIES_MAX and self.told.recoverable and worth_recovering(error)

    def broke(self, error: ProviderError) -> Failure:
        """Ends the call, and tells what it may have cost."""
        failure = self.served.lease.failed(error)
        self.stream.close(error)
        legs, deployment = self.served.journey.legs, self.served.deployment
        if self.told is None:
            return failure
        self.told.breaks += 1
        if len(legs) < LEGS_MAX:
            text = self.told.text if self._splice is None else self._splice.received_text
            usage = self.stream.usage
            legs.append(Leg(deployment, self.served.group.name, LegReason.STREAM_BROKEN, usage, False, text))
        return failure

    def goes_on(self, served: Served[Opened], splice: Splice) -> None:
        self.served, self._splice = served, splice
        self.stream, self._waiting = served.value
        self._is_first = False

    def close(self) -> None:
        """Also when the client left in the middle."""
        self.stream.close()
        self.served.lease.ended(tokens_of(self.stream.usage))


def _broken(failure: Failure, journey: Journey) -> MeshError:
    return with_unanswered(broken_stream(failure, journey.counts, journey.failures), journey)


def discard(opened: Opened) -> Received:
    """Closes a stream that lost its race."""
    stream, chunks = opened
    stream.close()
    return Received(stream.usage, text="".join(text_of(chunks)))


def text_of(chunks: Sequence[pb.ChatChunk]) -> Iterator[str]:
    """Of all choices, tool calls and reasoning: what has to be paid."""
    for chunk in chunks:
        for choice in chunk.choices:
            yield choice.delta.reasoning_content
            yield choice.delta.content
            for call in choice.delta.tool_calls:
                yield call.function.arguments


def tokens_of(usage: pb.Usage | None) -> Tokens | None:
    """What a lease wants to know of the usage."""
    return None if usage is None else Tokens(usage.prompt_tokens, usage.completion_tokens)


def _parts(chunks: Sequence[pb.ChatChunk]) -> Iterator[Sequence[pb.ChatChunk]]:
    for start in range(0, len(chunks), DELTA_CHUNKS_MAX):
        yield chunks[start : start + DELTA_CHUNKS_MAX]
