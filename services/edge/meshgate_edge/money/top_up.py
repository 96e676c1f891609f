"""A stream never sends more than is paid for: its hold is raised ahead of need while it runs.

Only calls that a budget applies to have a cover, and only when their hold does not pay for all that the
client allows. More is asked for in the background when less than a quarter is left; chunks wait for an answer
only when nothing is left. When no more is granted the answer ends at what is covered.
"""

import asyncio
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final, NamedTuple

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.call_run import TIGHT_UNLIMITED, CallRun
from meshgate_edge.money.bill import sent_before, spend_legs
from meshgate_edge.money.denials import denied
from meshgate_edge.money.hedges import covered_beside_loser
from meshgate_edge.money.offline import AWAY_CODES
from meshgate_edge.tokens.counter import TokenCounter
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient

log = structlog.get_logger("meshgate.edge.top_up")

AHEAD: Final = 4  # ask for more when less than the cover divided by this is left
STEP_TOKENS_MIN: Final = 256
STEP_TOKENS_MAX: Final = 4_096
ATTEMPTS_MAX: Final = 4  # of a top-up that the answer waits for
BACKOFF_FIRST_S: Final = 0.1
UNLIMITED: Final = 1 << 62
# The hold is no more: it has expired and was charged as estimated, and the settlement will correct that.
HOLD_GONE_REASONS: Final = frozenset({"HOLD_UNKNOWN", "ALREADY_SETTLED", "ALREADY_VOIDED"})
REFUSED_MESSAGE: Final = "the budget does not pay for more of this answer"


class TopUps:
    """Makes the covers of streams."""

    def __init__(
        self,
        ledger: LedgerServiceClient,
        tasks: TaskOwner,
        clock: Clock,
        timeout_s: float,
        *,
        allow_without_ledger: bool = False,
    ) -> None:
        self.ledger = ledger
        self.tasks = tasks
        self.clock = clock
        self.timeout_s = timeout_s
        self.allow_without_ledger = allow_without_ledger

    def is_tight(self, run: CallRun) -> bool:
        """True when a budget may end within the answer of a call that is not streamed. It is then streamed
        as far as the edge: only so can it end in time."""
        most = run.max_output_tokens
        if most is None:
            return run.has_less_than(TIGHT_UNLIMITED)
        return run.is_near_budget_end and run.covered_output_tokens < most * run.choice_count

    def cover(self, run: CallRun, counter: TokenCounter) -> "Cover | None":
        """Of an answer that begins; None when nothing has to be watched."""
        if run.info.remaining_budget_usd_nanos is None:
            return None
        as_reserved = run.info.model_group in ("", run.model)
        if as_reserved and run.held_usd_nanos == 0:
            return None  # it costs nothing
        sent, allowed = sent_before(run, counter, run.family), run.max_output_tokens
        if allowed is not None:
            allowed = max(0, allowed * run.choice_count - sent)
        covered = run.covered_output_tokens if as_reserved else 0
        beside_loser = covered_beside_loser(run, counter)
        if beside_loser is not None:
            covered = min(covered, beside_loser)
        elif as_reserved and allowed is not None and covered >= allowed:
            return None
        return Cover(self, run, counter, Span(covered, allowed, sent))


class Span(NamedTuple):
    """Output tokens of a call. `covered`: what the hold pays for; 0: another group answers than it was made
    for, so its price has to be asked for before anything is sent. `allowed`: beyond which its provider will
    not go; None: not known. `sent_before`: by calls that broke off; they are part of its prompt."""

    covered: int
    allowed: int | None
    sent_before: int = 0


class Cover:
    """What the hold of one stream pays for."""

    def __init__(self, top_ups: TopUps, run: CallRun, counter: TokenCounter, span: Span) -> None:
        self._top_ups = top_ups
        self._run = run
        self._counter = counter
        self._covered, self._allowed, self._sent_before = span
        self._used_permilles = run.family.answer_tokens * run.choice_count * 1_000
        self._asking: asyncio.Task[None] | None = None
        self._refused: MeshError | None = None  # by the latest answer

    @property
    def refused(self) -> MeshError:
        """Why `paid` gave less than it got."""
        if self._refused is not None:
            return self._refused
        return MeshError(Code.UNAVAILABLE, "STORE_UNAVAILABLE", "the ledger did not answer in time")

    async def paid(
        self, chunks: Sequence[chat_pb.ChatChunk], texts: Sequence[str | None] = ()
    ) -> Sequence[chat_pb.ChatChunk]:
        """As many of the chunks as are paid for, from the first. Fewer than given: the answer has to end.
        `texts`: see Chunks."""
        for index, (chunk, text) in enumerate(zip_longest(chunks, texts)):
            if text is not None:
                used = self._used_permilles + self._counter.text_permilles(text, self._run.family)
            else:
                used = self._used_permilles + self._counter.chunk_permilles(chunk, self._run.family)
            if used > self._covered * 1_000 and not await self._raised(-(-used // 1_000)):
                return chunks[:index]
            if text is None and chunk.HasField("usage"):  # as its provider says, hidden reasoning included
                used = max(used, chunk.usage.completion_tokens * 1_000)
            self._used_permilles = used
        self._ask_ahead()
        return chunks

    def already_paid(self, chunks: Sequence[chat_pb.ChatChunk]) -> Sequence[chat_pb.ChatChunk]:
        """As `paid`, of what is covered now; nothing is asked for and nothing waits."""
        for index, chunk in enumerate(chunks):
            used = self._used_permilles + self._counter.chunk_permilles(chunk, self._run.family)
            if used > self._covered * 1_000:
                return chunks[:index]
            self._used_permilles = used
        return chunks

    async def _raised(self, needed: int) -> bool:
        """Waits until `needed` tokens are covered; False: they will not be."""
        backoff_s = BACKOFF_FIRST_S
        for attempt in range(1, ATTEMPTS_MAX + 1):
            if self._asking is not None:
                await asyncio.wait({self._asking})  # our own cancellation leaves it alone
                if self._covered >= needed:
                    return True
            await asyncio.wait({self._ask(max(needed, self._wanted()))})
            if self._covered >= needed:
                return True
            if self._refused is not None:
                return False
            if attempt < ATTEMPTS_MAX:
                await self._top_ups.clock.sleep(backoff_s)
                backoff_s *= 2
        return False

    def _ask_ahead(self) -> None:
        left = self._covered * 1_000 - self._used_permilles
        if self._asking is None and self._refused is None and left * AHEAD < self._covered * 1_000:
            wanted = self._wanted()
            if wanted > self._covered:
                self._ask(wanted)

    def _wanted(self) -> int:
        step = min(max(self._covered // 2, STEP_TOKENS_MIN), STEP_TOKENS_MAX)
        wanted = max(self._covered, self._run.covered_output_tokens) + step
        return wanted if self._allowed is None else min(wanted, max(self._allowed, self._covered))

    def _ask(self, output_tokens: int) -> "asyncio.Task[None]":
        """Starts asking; never twice at a time. Raises TASK_LIMIT."""
        run, info = self._run, self._run.info
        request = pb.TopUpSpendRequest(
            request_id=run.call.call_id,
            deployment_id=info.deployment_id,
            provider=info.provider,
            upstream_model=info.upstream_model,
            prompt_tokens=run.prompt_tokens_as_served(self._counter) + self._sent_before,
            output_tokens=output_tokens,
            legs=spend_legs(run, self._counter),
        )
        task = self._asking = self._top_ups.tasks.start(self._top_up(request), "top-up")
        return task

    async def _top_up(self, request: pb.TopUpSpendRequest) -> None:
        try:
            answer = await self._top_ups.ledger.top_up_spend(request, timeout_s=self._top_ups.timeout_s)
        except MeshError as error:
            log.info("top-up failed", request_id=request.request_id, error=error.reason)
            away = error.code in AWAY_CODES and self._top_ups.allow_without_ledger
            if away or error.reason in HOLD_GONE_REASONS:
                self._covered = UNLIMITED
        else:
            self._covered = answer.covered_output_tokens
            self._refused = None
            if answer.HasField("denial"):
                self._refused = denied(answer.denial, self._run.call.request.model)
            elif answer.covered_output_tokens < request.output_tokens:
                self._refused = MeshError(Code.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED", REFUSED_MESSAGE)
        finally:
            self._asking = None
