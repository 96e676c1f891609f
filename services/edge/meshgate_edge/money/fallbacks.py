"""Before the router calls a fallback to another model, its price is asked for: pure money, no routing.

Where a budget applies, or prices are required, the router may call the models only that the hold was made
for. When another might help, its error says which (meshgate_router.resume); the ledger raises the hold to the
dearest price of that model, or refuses; then the router goes on where it was. So no budget is passed by a
dearer fallback, and no model without a price is called where one is required. The same is done before a model
is asked once more after a call that may have been served although nobody saw an answer, and before anybody
goes on with a stream that broke off.
"""

from dataclasses import replace
from typing import Final

import structlog

from meshgate_chassis.chat.json import loads
from meshgate_chassis.errors import MeshError
from meshgate_edge.call_run import CallRun
from meshgate_edge.money.bill import may_have_been_sent, sent_before, spend_leg, spend_legs
from meshgate_edge.money.continuation import broken_leg
from meshgate_edge.money.denials import denied
from meshgate_edge.money.offline import AWAY_CODES
from meshgate_edge.money.top_up import TopUps
from meshgate_edge.tokens.counter import TokenCounter
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.router.v1 import router_service_pb2 as router_pb

log = structlog.get_logger("meshgate.edge.fallbacks")

FALLBACKS_MAX: Final = 16  # of one call
LEAST_OUTPUT_TOKENS: Final = 64  # of a choice: what can be topped up begins with no less (as in the ledger)
UNCOVERED: Final = "uncovered_fallbacks"
RESUME: Final = "resume"


class Fallbacks:
    """Asks for the price of one fallback after the other."""

    def __init__(self, top_ups: TopUps, counter: TokenCounter) -> None:
        self._top_ups = top_ups
        self._counter = counter

    async def cover(self, run: CallRun, error: MeshError, earlier: MeshError | None) -> MeshError:
        """Returns the error to tell if nothing else helps; the router is to be asked again. Raises it when
        there is no fallback, or none that is paid for. `earlier`: what this returned before."""
        run.not_served(error)
        told, names = _told(run, error, earlier), _uncovered(error)
        breaks = run.first_token_ns is not None and run.broken is None and bool(names)
        leg = broken_leg(run) if breaks else None
        refused: MeshError | None = None
        for name in names:
            if name in run.fallbacks_refused or len(run.covered_models) >= FALLBACKS_MAX:
                continue
            refusal = await self._refusal(run, name, leg)
            if refusal is None:
                if name not in run.covered_models:
                    run.covered_models.append(name)
                run.resume = error.metadata.get(RESUME, "")
                if leg is not None:
                    run.breaks_off(leg)
                return told
            log.info("fallback not covered", request_id=run.call.call_id, model=name, error=refusal.reason)
            run.fallbacks_refused.add(name)
            if name in run.covered_models:
                run.covered_models.remove(name)
            refused = refused or refusal
        if refused is not None and told.metadata.get("upstream_calls") == "0":
            # Nobody was called at all: the price is what stands in the way.
            raise replace(refused, metadata={**refused.metadata, "upstream_calls": "0"}) from told
        if not may_have_been_sent(error):
            run.stays_broken()
        raise told

    async def _refusal(self, run: CallRun, model: str, leg: router_pb.Leg | None) -> MeshError | None:
        """Why the model may not be called; None: it is paid for from now on. `leg`: the call until now, which
        broke off."""
        counter, family, limit = self._counter, self._counter.group(model), run.max_output_tokens
        legs, sent = spend_legs(run, counter), sent_before(run, counter, family)
        if leg is not None:
            legs.append(spend_leg(leg, run, counter))
            sent += counter.text(leg.received_text, family)
        wanted = run.covered_output_tokens if limit is None else limit * run.choice_count
        if sent:
            wanted = max(1 if limit is not None else LEAST_OUTPUT_TOKENS, wanted - sent)
        request = pb.TopUpSpendRequest(
            request_id=run.call.call_id,
            model=model,
            prompt_tokens=run.prompt_tokens_for(counter, family) + sent,
            output_tokens=wanted,
            legs=legs,
        )
        try:
            answer = await self._top_ups.ledger.top_up_spend(request, timeout_s=self._top_ups.timeout_s)
        except MeshError as error:
            away = error.code in AWAY_CODES and self._top_ups.allow_without_ledger
            return None if away else error
        if answer.HasField("denial") and not self._will_do(run, answer, wanted):
            return denied(answer.denial, model)
        run.covers_now(model, answer)
        return None

    def _will_do(self, run: CallRun, answer: pb.TopUpSpendResponse, wanted: int) -> bool:
        """Less than was asked for is enough for a stream, which is topped up."""
        if answer.denial.reason != pb.Denial.REASON_BUDGET_EXCEEDED:
            return False
        least = min(wanted, LEAST_OUTPUT_TOKENS * run.choice_count)
        begun = run.first_token_ns is not None
        streams = begun or run.call.request.stream or self._top_ups.is_tight(run)
        return streams and answer.covered_output_tokens >= max(1, least)


def _told(run: CallRun, error: MeshError, earlier: MeshError | None) -> MeshError:
    """Which error the client gets if nothing else helps: the first one of a provider; of an answer that has
    begun its own end."""
    if earlier is None:
        return error
    if run.first_token_ns is not None:
        return error if run.broken is None else earlier
    return error if earlier.metadata.get("upstream_calls") == "0" else earlier


def _uncovered(error: MeshError) -> list[str]:
    """Names, in the order in which they are to be tried."""
    told = error.metadata.get(UNCOVERED, "")
    names = loads(told.encode()) if told else []
    return [str(name) for name in names][:FALLBACKS_MAX] if isinstance(names, list) else []
