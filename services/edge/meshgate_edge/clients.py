"""The edge's way to the other services: one client each, and how long each may take."""

from dataclasses import dataclass

from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient
from meshgate_protos.compression.v1.compression_service_mesh import CompressionServiceClient
from meshgate_protos.ledger.v1.account_service_mesh import AccountServiceClient
from meshgate_protos.ledger.v1.credential_service_mesh import CredentialServiceClient
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient
from meshgate_protos.ledger.v1.report_service_mesh import ReportServiceClient
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient


@dataclass(frozen=True, slots=True)
class MeshClients:
    """The four leaves."""

    ledger: LedgerServiceClient
    reports: ReportServiceClient
    accounts: AccountServiceClient  # of the ledger, too
    cache: CacheServiceClient
    compression: CompressionServiceClient
    router: RouterServiceClient
    credentials: CredentialServiceClient  # the ledger's


@dataclass(frozen=True, slots=True)
class HopLimits:
    """The longest each hop may take, in seconds; the request's own deadline may be sooner."""

    reserve_s: float = 5.0
    lookup_s: float = 0.050
    lookup_many_s: float = 0.300  # of the vectors of a batch
    store_s: float = 2.0
    compress_s: float = 0.500
    settle_s: float = 5.0
    list_s: float = 5.0
