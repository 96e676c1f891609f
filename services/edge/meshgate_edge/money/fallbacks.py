"""Before the router calls a fallback to another model, its price is asked for: pure money, no routing.

Where a budget applies, or prices are required, the router may call the models only that the hold was made
for. When another might help, its error says which (meshgate_router.resume); the ledger raises the hold to the
dearest price of that model, or refuses; then the router goes on where it was. So no budget is passed by a
dearer fallback, and no model without a price is called where one is required. The same is done before a model
is asked once more after a call that may have been served although nobody saw an answer.
"""

from dataclasses import replace
from typing import Final

import structlog

from meshgate_chassis.chat.json import loads
from meshgate_chassis.errors import MeshError
from meshgate_edge.call_run import CallRun
from meshgate_edge.money.bill import spend_legs
from meshgate_edge.money.denials import denied
from meshgate_edge.money.offline import AWAY_CODES
from meshgate_edge.money.top_up import TopUps
from meshgate_edge.tokens.counter import TokenCounter
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

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
        if run.first_token_ns is not None:
            raise error  # an answer has begun: nothing but its own end is to be told
        told = error if earlier is None or earlier.metadata.get("upstream_calls") == "0" else earlier
        refused: MeshError | None = None
        for name in _uncovered(error):
            if name in run.fallbacks_refused or len(run.covered_models) >= FALLBACKS_MAX:
                continue
            refusal = await self._refusal(run, name)
            if refusal is None:
                if name not in run.covered_models:
                    run.covered_models.append(name)
                run.resume = error.metadata.get(RESUME, "")
                return told
            log.info("fallback not covered", request_id=run.call.call_id, model=name, error=refusal.reason)
            run.fallbacks_refused.add(name)
            if name in run.covered_models:
                run.covered_models.remove(name)
            refused = refused or refusal
        if refused is not None and told.metadata.get("upstream_calls") == "0":
            # Nobody was called at all: the price is what stands in the way.
            raise replace(refused, metadata={**refused.metadata, "upstream_calls": "0"}) from told
        raise told

    async def _refusal(self, run: CallRun, model: str) -> MeshError | None:
        """Why the model may not be called; None: it is paid for from now on."""
        limit = run.max_output_tokens
        wanted = run.covered_output_tokens if limit is None else limit * run.choice_count
        request = pb.TopUpSpendRequest(
            request_id=run.call.call_id,
            model=model,
            prompt_tokens=run.prompt_tokens_for(self._counter, self._counter.group(model)),
            output_tokens=wanted,
            legs=spend_legs(run, self._counter),
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
        streams = run.call.request.stream or self._top_ups.is_tight(run)
        return streams and answer.covered_output_tokens >= max(1, least)


def _uncovered(error: MeshError) -> list[str]:
    """Names, in the order in which they are to be tried."""
    told = error.metadata.get(UNCOVERED, "")
    names = loads(told.encode()) if told else []
    return [str(name) for name in names][:FALLBACKS_MAX] if isinstance(names, list) else []
