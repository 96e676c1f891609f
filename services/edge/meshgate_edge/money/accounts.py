"""Opens and closes the account of each call: every hold ends in exactly one settlement or release.

Closing never waits and cannot be cancelled: settlements are posted by tasks of their own (settlement.py).
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import MeshError
from meshgate_edge.call import CallInfo, ChatCall
from meshgate_edge.call_run import CallRun
from meshgate_edge.money.bill import (
    provider_was_called,
    settle_request,
    spend_leg,
    spend_legs,
    take_unanswered,
    tokens_of_broken_call,
)
from meshgate_edge.money.cost import known_cost
from meshgate_edge.money.settlement import Settlement
from meshgate_edge.observer import CallObserver
from meshgate_edge.tokens.counter import TokenCounter
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

log = structlog.get_logger("meshgate.edge.accounts")

# Answers to a reservation after which nothing is held. Any other failure may have come after the hold.
NOT_HELD_REASONS = frozenset(
    {"SERVICE_UNREACHABLE", "LEDGER_UNAVAILABLE", "DEADLINE_TOO_CLOSE", "QUEUE_FULL", "FIELD_INVALID"}
    | {"REQUEST_ID_USED", "TOO_MANY_CALLS"}
)
REASON_CHARACTERS_MAX = 64
SETTLE_WAIT_S = 2.0  # what an answer waits for its posting; after that it goes out without its cost


class Accounts:
    """Keeps the books of the calls under way."""

    def __init__(
        self, settlement: Settlement, counter: TokenCounter, observer: CallObserver, clock: Clock
    ) -> None:
        self.counter = counter
        self._settlement = settlement
        self._observer = observer
        self._clock = clock

    @contextmanager
    def open(self, call: ChatCall, prompt_tokens: int | None = None) -> Iterator[CallRun]:
        """A run for the block; whatever the block does, the hold is closed and the observer is told.
        `prompt_tokens`: None: those of the call's messages."""
        run = CallRun(
            call=call,
            info=CallInfo(call.call_id, call.request.model, end_user=call.end_user),
            prompt_tokens=self.counter.prompt(call.request) if prompt_tokens is None else prompt_tokens,
            start_ns=self._clock.now_ns(),
            start_monotonic_s=self._clock.monotonic_s(),
            account=pb.Account(),
        )
        error: BaseException | None = None
        try:
            yield run
            assert run.settled, "a call that succeeds was settled"
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._close(run, error)

    async def settle(
        self, run: CallRun, outcome: "pb.Outcome.ValueType", tokens: pb.TokenCounts, *, estimated: bool
    ) -> None:
        """Posts a whole answer. Waits for the posting, for a limited time, only where its cost is not known
        without it, or where a limit is so near that the caller's next call needs what it gives back."""
        legs = spend_legs(run, self.counter)
        request = settle_request(run, outcome, tokens, legs, estimated=estimated, end_ns=self._clock.now_ns())
        run.settled = True
        run.info.outcome = "cache_hit" if outcome == pb.OUTCOME_CACHE_HIT else "success"
        cost = known_cost(run.prices, request) if run.has_room else None
        try:
            closing = self._settlement.settle(request, told_nanos=None if cost is None else cost.total)
        except MeshError as error:  # the limit of settlements under way: the hold will expire, charged
            log.error("settlement not started", request_id=request.request_id, error=error.reason)
            return
        if cost is not None:
            run.priced(cost)
            return
        posting = await self._settlement.posted(closing, SETTLE_WAIT_S)
        if posting is not None:
            run.posted(posting)

    def _close(self, run: CallRun, error: BaseException | None) -> None:
        run.info.duration_s = self._clock.monotonic_s() - run.start_monotonic_s
        mesh_error = error if isinstance(error, MeshError) else None
        if mesh_error is not None and not run.info.deployment_id:
            run.failed_at(mesh_error.metadata)
        if not run.settled:
            run.info.outcome = self._outcome_name(run, error)
            if run.held:
                self._close_hold(run, error)
            elif run.reserving and not _surely_not_held(error):
                self._void(run, "RESERVATION_UNANSWERED")
        self._observer.finished(run.info, mesh_error)

    def _outcome_name(self, run: CallRun, error: BaseException | None) -> str:
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            return "cancelled"
        return "failure" if run.held else "denied"

    def _close_hold(self, run: CallRun, error: BaseException | None) -> None:
        reason = error.reason if isinstance(error, MeshError) else type(error).__name__
        run.settled = True
        try:
            if not provider_was_called(run, error):
                self._void(run, reason)
                return
            cancelled = run.info.outcome == "cancelled"
            outcome = pb.OUTCOME_CANCELLED if cancelled else pb.OUTCOME_FAILURE
            unanswered = take_unanswered(run, error)
            if unanswered is not None:
                tokens, estimated = spend_leg(unanswered, run, self.counter).tokens, True
            else:
                tokens, estimated = tokens_of_broken_call(run, self.counter, error)
            request = settle_request(
                run,
                outcome,
                tokens,
                spend_legs(run, self.counter),
                estimated=estimated,
                end_ns=self._clock.now_ns(),
            )
            request.error_reason = reason[:REASON_CHARACTERS_MAX]
            self._settlement.settle(request)
        except MeshError as limit:  # the limit of settlements under way: the hold will expire, charged
            log.error("settlement not started", request_id=run.call.call_id, error=limit.reason)

    def _void(self, run: CallRun, reason: str) -> None:
        try:
            self._settlement.void(run.call.call_id, reason)
        except MeshError as limit:  # the limit of settlements under way: the hold will expire, charged
            log.error("void not started", request_id=run.call.call_id, error=limit.reason)


def _surely_not_held(error: BaseException | None) -> bool:
    """True when the ledger cannot have taken the reservation, or has said that it did not."""
    return isinstance(error, MeshError) and error.reason in NOT_HELD_REASONS
