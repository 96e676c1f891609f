"""What the ledger knows of who calls an endpoint besides calls, and which roles of users see and do more."""

from typing import Final

from fastapi import Request

from meshgate_edge.call import Principal
from meshgate_edge.money.denials import denied
from meshgate_edge.principal import principal_message
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient

LEDGER_TIMEOUT_S: Final = 10.0
ROUTE_CHARACTERS_MAX: Final = 256
ADMIN_ROLE: Final = "proxy_admin"
VIEWER_ROLE: Final = "proxy_admin_viewer"
SEES_ALL: Final = frozenset({ADMIN_ROLE, VIEWER_ROLE})


async def account_of(ledger: LedgerServiceClient, request: Request, principal: Principal) -> pb.Account:
    """The caller's account. Raises the denial: of an invalid key, or of this path to this key."""
    answer = await ledger.authenticate_key(
        pb.AuthenticateKeyRequest(
            principal=principal_message(principal), route=request.scope["path"][:ROUTE_CHARACTERS_MAX]
        ),
        timeout_s=LEDGER_TIMEOUT_S,
    )
    if answer.decision != pb.DECISION_GRANTED:
        raise denied(answer.denial)
    return answer.account
