"""What the edge takes from its environment."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from meshgate_chassis.settings import ServiceSettings, named


class EdgeSettings(ServiceSettings):
    """HTTP address, the other services' addresses, and limits. `listen` is the gRPC gateway's."""

    model_config = SettingsConfigDict(env_prefix="MESHGATE_EDGE_")

    listen: str = "127.0.0.1:50050"
    host: str = Field("", validation_alias=named("MESHGATE_EDGE_HOST", "HOST"))  # empty: see `bind_host`
    port: int = Field(4000, ge=0, le=65_535, validation_alias=named("MESHGATE_EDGE_PORT", "PORT"))

    ledger_address: str = Field("127.0.0.1:50051", validation_alias=named("MESHGATE_LEDGER_ADDRESS"))
    cache_address: str = Field("127.0.0.1:50052", validation_alias=named("MESHGATE_CACHE_ADDRESS"))
    compression_address: str = Field(
        "127.0.0.1:50053", validation_alias=named("MESHGATE_COMPRESSION_ADDRESS")
    )
    router_address: str = Field("127.0.0.1:50054", validation_alias=named("MESHGATE_ROUTER_ADDRESS"))

    request_timeout_s: float = Field(600.0, gt=0, le=86_400)
    lookup_timeout_s: float = Field(0.050, gt=0, le=5)  # what a call waits for the cache, at most
    embedding_timeout_s: float = Field(0.3, gt=0, le=30)  # the same, for the vector of its question
    settlements_max: int = Field(20_000, ge=1)  # settlements under way at once
    stores_max: int = Field(1_000, ge=1)  # cache stores under way at once
    # Where closings wait that the ledger could not be told (money/spool.py); of all edges of one machine, on
    # a disk that outlives them. None: they are given up, and their holds expire, charged.
    spool_dir: Path | None = None
    spool_bytes_max: int = Field(64 * 1024 * 1024, ge=1024 * 1024)
    callers_remembered_max: int = Field(10_000, ge=1)  # who may go on without the ledger, if that is allowed
    callers_remembered_s: float = Field(86_400.0, gt=0)  # since the ledger last admitted them
    credentials_key: SecretStr | None = Field(  # seals the tenants' own provider credentials
        None, validation_alias=named("MESHGATE_CREDENTIALS_KEY")
    )
    open_on_network: bool = False  # listen beyond loopback although there is no master key

    def bind_host(self, *, has_master_key: bool) -> str:
        """The HTTP address: everywhere with a master key; without one loopback, unless told otherwise."""
        if self.host:
            return self.host
        return "0.0.0.0" if has_master_key or self.open_on_network else "127.0.0.1"  # noqa: S104
