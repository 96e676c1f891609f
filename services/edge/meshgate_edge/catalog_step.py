"""The models a caller may use: the router's list, narrowed by the caller's key."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from meshgate_chassis.config.names import is_pattern, matched_text
from meshgate_edge.call import Principal
from meshgate_edge.clients import HopLimits, MeshClients
from meshgate_edge.money.denials import denied
from meshgate_edge.principal import principal_message
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb
from meshgate_protos.router.v1 import router_service_pb2 as router_pb

ROUTE = "/v1/models"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One public model."""

    id: str
    providers: Sequence[str]
    mode: str
    access_groups: Sequence[str] = ()


class Catalog:
    """Lists models."""

    def __init__(self, clients: MeshClients, limits: HopLimits) -> None:
        self._clients = clients
        self._limits = limits

    async def models(self, principal: Principal, *, patterns: bool = False) -> Sequence[ModelEntry]:
        """In the order of the configuration; names that stand for many only if they are wanted. Raises
        MeshError for a credential that is not valid."""
        answer = await self._clients.ledger.authenticate_key(
            ledger_pb.AuthenticateKeyRequest(principal=principal_message(principal), route=ROUTE),
            timeout_s=self._limits.list_s,
        )
        if answer.decision != ledger_pb.DECISION_GRANTED:
            raise denied(answer.denial)
        allowed = set(answer.account.models)
        listed = await self._clients.router.list_models(
            router_pb.ListModelsRequest(include_patterns=patterns), timeout_s=self._limits.list_s
        )
        return [
            ModelEntry(model.id, tuple(model.providers), model.mode or "chat", tuple(model.access_groups))
            for model in listed.models
            if not allowed or may_use(allowed, model.id, model.access_groups)
        ]


def may_use(allowed: Collection[str], model: str, access_groups: Iterable[str]) -> bool:
    """Whether a key's list of models names this one: itself, by a pattern, or by an access group."""
    if model in allowed or any(group in allowed for group in access_groups):
        return True
    return any(matched_text(name, model) is not None for name in allowed if is_pattern(name))
