"""The ledger's own knobs. What it enforces is said in config.yaml, and in the database."""

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from meshgate_chassis.config.model import Secret
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.settings import ServiceSettings, named

# What LiteLLM's client (Prisma) takes in a database URL and PostgreSQL does not know.
PRISMA_PARAMETERS = frozenset(
    {"connection_limit", "connect_timeout", "pgbouncer", "pool_timeout", "schema", "socket_timeout"}
)


class LedgerSettings(ServiceSettings):
    """Only the database's URL is needed, here or in config.yaml."""

    model_config = SettingsConfigDict(env_prefix="MESHGATE_LEDGER_")

    listen: str = "127.0.0.1:50051"

    database_url: SecretStr | None = Field(None, validation_alias=named("DATABASE_URL"))
    connections_max: int = Field(8, ge=2, le=200)  # of this replica
    connect_timeout_s: float = Field(2.0, gt=0, le=60)
    use_timeout_s: float = Field(5.0, gt=0, le=60)  # of one round trip, however much time a caller has
    start_timeout_s: float = Field(60.0, ge=0, le=3_600)  # how long PostgreSQL may take to appear
    batch_items_max: int = Field(256, ge=1, le=4_096)  # in one round trip
    batches_max: int = Field(1, ge=1, le=64)  # under way at once, of reservations and of endings
    queue_items_max: int = Field(4_096, ge=1, le=100_000)  # waiting for the next one
    durable_holds: bool = False  # true: reservations wait for the disk too
    keys_remembered_max: int = Field(10_000, ge=1)
    accounts_remembered_max: int = Field(50_000, ge=1)
    sweep_interval_s: float = Field(1.0, gt=0, le=3_600)
    lease_s: float = Field(6.0, gt=0, le=3_600)  # how long an edge is believed to live
    hold_memory_s: float = Field(7 * 86_400.0, ge=60)  # how long a request_id answers repeats
    health_interval_s: float = Field(2.0, gt=0, le=60)
    report_connections_max: int = Field(2, ge=1, le=50)  # of this replica; as many reports run at once
    report_timeout_s: float = Field(4.0, gt=0, le=60)  # a report that takes longer is refused
    partition_interval_s: float = Field(3_600.0, ge=1, le=86_400)  # how often partitions are cared for


def database_dsn(settings: LedgerSettings, configured: Secret | None) -> str:
    """The database's URL as asyncpg takes it: the environment's first, then config.yaml's.

    Raises FAILED_PRECONDITION/DATABASE_URL_MISSING.
    """
    if settings.database_url is not None:
        return plain_dsn(settings.database_url.get_secret_value())
    if configured is not None:
        return plain_dsn(configured.value)
    raise MeshError(
        Code.FAILED_PRECONDITION,
        "DATABASE_URL_MISSING",
        "the ledger needs PostgreSQL: set DATABASE_URL, or general_settings.database_url",
    )


def plain_dsn(url: str) -> str:
    """The URL without what only other clients understand."""
    parts = urlsplit(url)
    query = [pair for pair in parse_qsl(parts.query) if pair[0] not in PRISMA_PARAMETERS]
    scheme = parts.scheme.partition("+")[0]
    return urlunsplit(parts._replace(scheme=scheme, query=urlencode(query)))
