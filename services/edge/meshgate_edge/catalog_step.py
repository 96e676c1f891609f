"""The models a caller may use: the router's list, narrowed by the caller's key."""

from collections.abc import Sequence
from dataclasses import dataclass

from meshgate_edge.call import Principal
from meshgate_edge.clients import HopLimits, MeshClients
from meshgate_edge.denials import denied
from meshgate_edge.principal import principal_message
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb
from meshgate_protos.router.v1 import router_service_pb2 as router_pb


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One public model."""

    id: str
    providers: Sequence[str]
    mode: str


class Catalog:
    """Lists models."""

    def __init__(self, clients: MeshClients, limits: HopLimits) -> None:
        self._clients = clients
        self._limits = limits

    async def models(self, principal: Principal) -> Sequence[ModelEntry]:
        """In the order of the configuration. Raises MeshError for a credential that is not valid."""
        answer = await self._clients.ledger.authenticate_key(
            ledger_pb.AuthenticateKeyRequest(principal=principal_message(principal)),
            timeout_s=self._limits.list_s,
        )
        if answer.decision != ledger_pb.DECISION_GRANTED:
            raise denied(answer.denial)
        allowed = set(answer.account.models)
        listed = await self._clients.router.list_models(
            router_pb.ListModelsRequest(), timeout_s=self._limits.list_s
        )
        return [
            ModelEntry(model.id, tuple(model.providers), model.mode or "chat")
            for model in listed.models
            if not allowed or model.id in allowed
        ]
