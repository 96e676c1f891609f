"""Mixed requests in closed loop: whole answers, streams, callers who hang up, errors of the provider, cache
hits, embeddings. Each kind has a model of its own, so that the books can be read kind by kind.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic_ns

from bench.connection import Connection, Response, ResponseError, Want
from bench.mesh import Running
from bench.prompts import EMBEDDINGS, Target, requests
from bench.provider import Answer

ANSWER_TIMEOUT_S = 60.0
NANOS_PER_PROMPT_TOKEN, NANOS_PER_OUTPUT_TOKEN = 1_000, 2_000  # as `peers.model_list` prices all models
CHUNKS, LEFT_CHUNKS = 20, 40


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request. `weight`: of 100 requests. `nanos`: what one costs; None: any amount."""

    name: str
    weight: int
    answer: Answer
    nanos: int | None
    want: Want = field(default_factory=Want)
    same: bool = False

    @property
    def model(self) -> str:
        return f"soak-{self.name}"


def _tokens_nanos(prompt: int, output: int) -> int:
    return prompt * NANOS_PER_PROMPT_TOKEN + output * NANOS_PER_OUTPUT_TOKEN


# The provider says 200 prompt tokens and 150 of output, a stream one for each chunk, a vector 8 of its input.
KINDS = (
    Kind("plain", 40, Answer(), _tokens_nanos(200, 150)),
    Kind("stream", 12, Answer(chunks=CHUNKS), _tokens_nanos(200, CHUNKS), Want(CHUNKS)),
    Kind("left", 10, Answer(chunks=LEFT_CHUNKS, gap_us=3_000), None, Want(LEFT_CHUNKS, leave_after=1)),
    Kind("error", 10, Answer(error=500), 0, Want(status=500)),
    Kind("hit", 18, Answer(), _tokens_nanos(200, 150), same=True),
    Kind("embeddings", 10, Answer(), _tokens_nanos(8, 0), Want(mark=b'"embedding"')),
)


@dataclass(slots=True)
class Mixed:
    """What was sent and seen, by the name of the kind."""

    sent: Counter[str] = field(default_factory=Counter)
    cache_hits: Counter[str] = field(default_factory=Counter)
    done: int = 0
    left: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    latencies_ns: dict[str, list[int]] = field(default_factory=dict)
    seconds: float = 0.0

    def by_model(self) -> Mapping[str, int]:
        return {kind.model: self.sent[kind.name] for kind in KINDS}

    def add(self, kind: Kind, response: Response, since_ns: int) -> None:
        self.cache_hits[kind.name] += response.cache_hit
        self.left += response.left
        self.latencies_ns.setdefault(kind.name, []).append(response.ended_ns - since_ns)


class MixedLoad:
    """`told` is called after every answer with how many there were. Kinds and prompts come from the seed."""

    def __init__(self, running: Running, told: Callable[[int], None], seed: int = 7) -> None:
        self._port = running.port
        self._told = told
        self._dice = random.Random(seed)  # noqa: S311 - the same plan in every run, nothing secret
        self._made = {kind.name: _requests(running, kind, number) for number, kind in enumerate(KINDS)}
        self.seen = Mixed()

    async def run(self, count: int, clients: int) -> Mixed:
        """`count` requests by `clients` at a time, each the next when it has its answer."""
        weights = [kind.weight for kind in KINDS]
        plan = iter(self._dice.choices(KINDS, weights, k=count))
        began_ns = monotonic_ns()
        await asyncio.gather(*(self._client(plan) for _ in range(clients)))
        self.seen.seconds += (monotonic_ns() - began_ns) / 1e9
        return self.seen

    async def _client(self, plan: Iterator[Kind]) -> None:
        connection: Connection | None = None
        for kind in plan:
            connection = connection or await self._open()
            asked_ns, request = monotonic_ns(), next(self._made[kind.name])
            self.seen.sent[kind.name] += 1
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    response = await connection.ask(request, self._want(kind))
            except (ResponseError, TimeoutError) as error:
                told = "no answer in time" if isinstance(error, TimeoutError) else str(error)[:160]
                self.seen.failures[f"{kind.name}: {told}"] += 1
                connection.close()
                connection = None
            else:
                self.seen.add(kind, response, asked_ns)
                connection = None if response.left else connection
            self.seen.done += 1
            self._told(self.seen.done)
        if connection is not None:
            connection.close()

    def _want(self, kind: Kind) -> Want:
        """Callers hang up after a random chunk, some at once and some when half of the answer is there."""
        if not kind.want.leave_after:
            return kind.want
        return Want(kind.want.chunks, leave_after=self._dice.randint(1, kind.want.chunks // 2))

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self._port)
        return connection


def _requests(running: Running, kind: Kind, number: int) -> Iterator[bytes]:
    path = EMBEDDINGS if kind.name == "embeddings" else "/v1/chat/completions"
    target = Target(running.port, path, kind.model, running.key)
    return requests(target, stream=kind.want.chunks > 0, first=number * 10**10, same=kind.same)
