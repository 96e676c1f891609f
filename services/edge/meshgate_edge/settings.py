"""What the edge takes from its environment."""

from pydantic import Field
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
    settlements_max: int = Field(20_000, ge=1)  # settlements under way at once
    stores_max: int = Field(1_000, ge=1)  # cache stores under way at once
    open_on_network: bool = False  # listen beyond loopback although there is no master key

    def bind_host(self, *, has_master_key: bool) -> str:
        """The HTTP address: everywhere with a master key; without one loopback, unless told otherwise."""
        if self.host:
            return self.host
        return "0.0.0.0" if has_master_key or self.open_on_network else "127.0.0.1"  # noqa: S104
