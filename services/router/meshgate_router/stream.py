"""A provider's stream -> Started, Delta..., Finished.

Chunks that came together leave together, at most DELTA_CHUNKS_MAX in one Delta; nothing waits for more,
and the first chunks leave at once. While the reader is slow, more chunks come together by themselves.
A stream that breaks raises, and never ends in Finished.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.attempt import AttemptLoop, Served
from meshgate_router.failures import broken_stream
from meshgate_router.journey import RouteTask
from meshgate_router.lease import Lease, Tokens
from meshgate_router.open_stream import OpenStream
from meshgate_router.provider_call import ProviderCaller
from meshgate_router.providers.base import ProviderError

DELTA_CHUNKS_MAX: Final = 64

Opened = tuple[OpenStream, Sequence[pb.ChatChunk]]


@dataclass(frozen=True, slots=True)
class Started:
    """A deployment answers; from here on no other will."""

    served: Served[Opened]


@dataclass(frozen=True, slots=True)
class Delta:
    """1 to DELTA_CHUNKS_MAX chunks."""

    chunks: Sequence[pb.ChatChunk]


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is whole. `usage`: None when the provider told none."""

    usage: pb.Usage | None
    finish_reason: str


Event = Started | Delta | Finished


async def stream_events(
    loop: AttemptLoop, caller: ProviderCaller, task: RouteTask, chat: pb.ChatRequest
) -> AsyncGenerator[Event, None]:
    """Close it to end the provider's call. Raises MeshError; after Started only PROVIDER_STREAM_BROKEN."""

    async def open_stream(lease: Lease) -> tuple[Opened, Lease]:
        return await caller.open_stream(chat, lease.deployment, lease.timeouts, task.request_id), lease

    served = await loop.run(task, open_stream)
    stream, chunks = served.value
    broken: ProviderError | None = None
    try:
        yield Started(served)
        while chunks:
            for part in _parts(chunks):
                yield Delta(part)
            chunks = await stream.next_chunks()
        yield Finished(stream.usage, stream.finish_reason)
        await stream.finish()
    except ProviderError as error:
        broken = error
        failure = served.lease.failed(error)
        journey = served.journey
        raise broken_stream(failure, journey.counts, journey.failures) from error
    finally:
        stream.close(broken)
        served.lease.ended(tokens_of(stream.usage))


def tokens_of(usage: pb.Usage | None) -> Tokens | None:
    """What a lease wants to know of the usage."""
    return None if usage is None else Tokens(usage.prompt_tokens, usage.completion_tokens)


def _parts(chunks: Sequence[pb.ChatChunk]) -> Iterator[Sequence[pb.ChatChunk]]:
    for start in range(0, len(chunks), DELTA_CHUNKS_MAX):
        yield chunks[start : start + DELTA_CHUNKS_MAX]
