"""A caller, as the ledger's contract writes it."""

from meshgate_edge.call import Principal
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

_KINDS = {
    "master": pb.Principal.KIND_MASTER,
    "open": pb.Principal.KIND_OPEN,
    "virtual_key": pb.Principal.KIND_VIRTUAL_KEY,
}


def principal_message(principal: Principal) -> pb.Principal:
    """The contract's form of a principal."""
    return pb.Principal(kind=_KINDS[principal.kind], key_hash=principal.key_hash)
