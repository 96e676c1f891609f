"""The first step: ask the ledger whether this call may be made, and hold its estimated cost."""

from meshgate_chassis import routes
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.call_run import CallRun
from meshgate_edge.caller_rules import check_caller
from meshgate_edge.money.denials import NO_KEY_REASONS, denied
from meshgate_edge.money.offline import Outage
from meshgate_edge.money.reservations import Reservations
from meshgate_edge.principal import principal_message
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

# By LiteLLM's name for the kind of call; all paths of a kind are one.
ROUTES = {
    "acompletion": routes.CHAT,
    "atext_completion": routes.COMPLETIONS,
    "aembedding": routes.EMBEDDINGS,
}
RESERVE_ATTEMPTS_MAX = 2  # a lost connection is tried once more; the ledger makes the repeat harmless


class Admission:
    """Reserves spend."""

    def __init__(
        self, reservations: Reservations, timeout_s: float, outage: Outage, edge_id: str = ""
    ) -> None:
        self._reservations = reservations
        self._timeout_s = timeout_s
        self._outage = outage
        self._edge_id = edge_id

    async def reserve(self, run: CallRun) -> str:
        """Holds the estimate and returns the model to ask for (after the key's aliases).

        Raises the denial as a MeshError, ALREADY_EXISTS/REQUEST_ID_USED for an id seen before, and as
        `check_caller`.
        """
        request = reserve_request(run, self._edge_id)
        run.reserving = True
        answer, attempts = await self._decide(run, request)
        if answer.decision == pb.DECISION_DENIED:
            run.reserving = False
            denial = denied(answer.denial, run.call.request.model)
            if denial.reason not in NO_KEY_REASONS:
                run.info.key_hash = run.call.principal.key_hash
            raise denial
        if answer.decision != pb.DECISION_GRANTED:
            raise MeshError(Code.INTERNAL, "DECISION_UNKNOWN", "the ledger gave no decision")
        if answer.repeated and attempts == 1:
            run.reserving = False  # the hold, if there is one, belongs to the first call
            raise MeshError(Code.ALREADY_EXISTS, "REQUEST_ID_USED", "this request_id was used before")
        run.admitted(answer)
        check_caller(answer.account, run.call)
        return answer.resolved_model or run.call.request.model

    async def _decide(
        self, run: CallRun, request: pb.ReserveSpendRequest
    ) -> tuple[pb.ReserveSpendResponse, int]:
        """By the ledger; while it is away by the policy for that."""
        caller = run.call.principal
        try:
            self._outage.ask()
            answer, attempts = await self._ask(request)
        except MeshError as error:
            answer = await self._outage.answer(caller, request, error, run.call.call_type)
            return answer, RESERVE_ATTEMPTS_MAX
        self._outage.decided(caller, request, answer)
        return answer, attempts

    async def _ask(self, request: pb.ReserveSpendRequest) -> tuple[pb.ReserveSpendResponse, int]:
        lost: MeshError | None = None
        for attempt in range(1, RESERVE_ATTEMPTS_MAX + 1):
            try:
                return await self._reservations.reserve(request, self._timeout_s), attempt
            except MeshError as error:
                if error.reason != "CONNECTION_LOST":
                    raise lost or error from error  # what was lost may have arrived, and has to be released
                lost = error
        assert lost is not None, "it was tried"
        raise lost


def reserve_request(run: CallRun, edge_id: str = "") -> pb.ReserveSpendRequest:
    """What to ask the ledger for this call."""
    chat = run.call.request
    request = pb.ReserveSpendRequest(
        request_id=run.call.call_id,
        principal=principal_message(run.call.principal),
        model=chat.model,
        prompt_tokens=run.prompt_tokens,
        end_user=run.call.end_user,
        tags=run.call.options.tags,
        choice_count=run.choice_count,
        edge_id=edge_id,
        can_top_up=chat.stream,
        route=ROUTES.get(run.call.call_type, ""),
    )
    if run.max_output_tokens is not None:
        request.max_output_tokens = run.max_output_tokens
    return request
