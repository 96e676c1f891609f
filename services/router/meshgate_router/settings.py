"""The router's own knobs (MESHGATE_ROUTER_*). Models, retries and fallbacks are said in config.yaml."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from meshgate_chassis.settings import ServiceSettings, named


class RouterSettings(ServiceSettings):
    """Limits of provider calls; none of them is needed to start."""

    model_config = SettingsConfigDict(env_prefix="MESHGATE_ROUTER_")

    listen: str = "127.0.0.1:50054"

    connect_timeout_s: float = Field(5.0, gt=0, le=60)  # includes waiting for a free connection
    between_reads_timeout_s: float = Field(120.0, gt=0, le=3_600)  # silence inside a stream
    connections_max: int = Field(1_000, ge=1, le=100_000)  # to each upstream host
    idle_connection_s: float = Field(15.0, ge=0, le=600)
    credentials_key: SecretStr | None = Field(  # opens the tenants' own provider credentials
        None, validation_alias=named("MESHGATE_CREDENTIALS_KEY")
    )
    response_bytes_max: int = Field(32 * 1024 * 1024, ge=1_024, le=60 * 1024 * 1024)
