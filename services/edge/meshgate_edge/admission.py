"""The first step: ask the ledger whether this call may be made, and hold its estimated cost."""

from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.call_run import CallRun
from meshgate_edge.denials import denied
from meshgate_edge.principal import principal_message
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient

RESERVE_ATTEMPTS_MAX = 2  # a lost connection is tried once more; the ledger makes the repeat harmless


class Admission:
    """Reserves spend."""

    def __init__(self, ledger: LedgerServiceClient, timeout_s: float) -> None:
        self._ledger = ledger
        self._timeout_s = timeout_s

    async def reserve(self, run: CallRun) -> str:
        """Holds the estimate and returns the model to ask for (after the key's aliases).

        Raises the denial as a MeshError, or ALREADY_EXISTS/REQUEST_ID_USED for an id seen before.
        """
        request = reserve_request(run)
        run.reserving = True
        answer, attempts = await self._ask(request)
        if answer.decision == pb.DECISION_DENIED:
            run.reserving = False
            raise denied(answer.denial, run.call.request.model)
        if answer.decision != pb.DECISION_GRANTED:
            raise MeshError(Code.INTERNAL, "DECISION_UNKNOWN", "the ledger gave no decision")
        if answer.repeated and attempts == 1:
            run.reserving = False  # the hold, if there is one, belongs to the first call
            raise MeshError(Code.ALREADY_EXISTS, "REQUEST_ID_USED", "this request_id was used before")
        run.admitted(answer.account)
        run.prompt_price = answer.prompt_price if answer.HasField("prompt_price") else None
        return answer.resolved_model or run.call.request.model

    async def _ask(self, request: pb.ReserveSpendRequest) -> tuple[pb.ReserveSpendResponse, int]:
        for attempt in range(1, RESERVE_ATTEMPTS_MAX):
            try:
                return await self._ledger.reserve_spend(request, timeout_s=self._timeout_s), attempt
            except MeshError as error:
                if error.reason != "CONNECTION_LOST":
                    raise
        return (
            await self._ledger.reserve_spend(request, timeout_s=self._timeout_s),
            RESERVE_ATTEMPTS_MAX,
        )


def reserve_request(run: CallRun) -> pb.ReserveSpendRequest:
    """What to ask the ledger for this call."""
    chat = run.call.request
    request = pb.ReserveSpendRequest(
        request_id=run.call.call_id,
        principal=principal_message(run.call.principal),
        model=chat.model,
        prompt_tokens=run.prompt_tokens,
        end_user=chat.user,
        tags=run.call.options.tags,
        choice_count=max(1, min(chat.n, 1_000)),
    )
    if chat.HasField("max_completion_tokens"):
        request.max_output_tokens = max(0, chat.max_completion_tokens)
    elif chat.HasField("max_tokens"):
        request.max_output_tokens = max(0, chat.max_tokens)
    return request
