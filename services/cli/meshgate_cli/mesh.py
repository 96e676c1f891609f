"""What `meshgate up` decides before it starts the first process: configuration, key, database, addresses."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from meshgate_chassis.config import load_config
from meshgate_chassis.config.model import GatewayConfig
from meshgate_cli import messages
from meshgate_cli.default_config import default_config
from meshgate_cli.embedded_postgres import EmbeddedPostgres
from meshgate_cli.local_llm import LocalModelError, model_file
from meshgate_cli.plan import Addresses
from meshgate_cli.ports import free_port, port_problem
from meshgate_cli.settings import redis_given
from meshgate_cli.state_folder import StateFolder

CONFIG_FILE = Path("config.yaml")
LOOPBACK = "127.0.0.1"
MASTER_KEY = "LITELLM_MASTER_KEY"


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The command line of `up`. `llm`: "local" or None."""

    config: Path | None
    host: str
    port: int
    llm: str | None
    state_folder: Path


class UpError(Exception):
    """Why there is no start; the message is for a person."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """`environment`: for the services. `shown_key`: as a shell needs it. `embedded`: bring a PostgreSQL."""

    addresses: Addresses
    config_file: Path
    config: GatewayConfig
    environment: Mapping[str, str]
    shown_key: str
    key_source: str
    embedded: bool
    database: str

    @property
    def models(self) -> tuple[str, ...]:
        """Public names, each once."""
        return tuple(dict.fromkeys(one.model_group for one in self.config.deployments))


def decide(options: UpOptions, environ: Mapping[str, str], state: StateFolder) -> Mesh:
    """Raises UpError, or the configuration's own error."""
    if problem := port_problem(options.host, options.port):
        raise UpError(messages.port_taken(options.host, options.port, problem))
    given = given_config(options.config)
    addresses = _addresses(options, environ, state, demo=given is None)
    config_file = given or _write_config(addresses, environ, state)
    config = load_config(config_file, environ)
    shown_key, key_source, environment = _master_key(config, environ, state)
    embedded, database = _database(config, environ, state)
    return Mesh(addresses, config_file, config, environment, shown_key, key_source, embedded, database)


def given_config(asked: Path | None) -> Path | None:
    """The file that was named, else ./config.yaml. Raises UpError when the named one is not there."""
    if asked is not None and not asked.is_file():
        raise UpError(f"meshgate: there is no configuration {asked}")
    if asked is None and not CONFIG_FILE.is_file():
        return None
    return (asked or CONFIG_FILE).absolute()


def _addresses(
    options: UpOptions, environ: Mapping[str, str], state: StateFolder, *, demo: bool
) -> Addresses:
    sockets = state.make_socket_folder()
    grpc_port = options.port + 1
    grpc_is_free = grpc_port <= 65_535 and port_problem(LOOPBACK, grpc_port) is None
    return Addresses(
        host=options.host,
        port=options.port,
        edge_grpc=f"{LOOPBACK}:{grpc_port}" if grpc_is_free else f"unix:{sockets / 'edge.sock'}",
        sockets=sockets,
        demo=environ.get("MESHGATE_DEMO_LISTEN") or (f"{LOOPBACK}:{free_port(LOOPBACK)}" if demo else None),
        local_llm_port=_local_llm_port(options.llm),
    )


def _local_llm_port(llm: str | None) -> int | None:
    if llm is None:
        return None
    try:
        model_file()
    except LocalModelError as error:
        raise UpError(f"meshgate: {error}") from None
    return free_port(LOOPBACK)


def _write_config(addresses: Addresses, environ: Mapping[str, str], state: StateFolder) -> Path:
    port = addresses.local_llm_port
    text = default_config(
        environ,
        demo_url=f"http://{addresses.demo}/v1",
        local_llm_url=None if port is None else f"http://{LOOPBACK}:{port}/v1",
        redis=redis_given(environ),
    )
    state.config_file.write_text(text)
    return state.config_file


def _master_key(
    config: GatewayConfig, environ: Mapping[str, str], state: StateFolder
) -> tuple[str, str, Mapping[str, str]]:
    """Shown key, where it is from, and the environment that has it. Only a key of our own is shown."""
    if environ.get(MASTER_KEY):
        return f"${MASTER_KEY}", f"from ${MASTER_KEY}", environ
    if config.master_key is not None:
        return f"${MASTER_KEY}", "general_settings.master_key; export it under this name", environ
    key = state.master_key()
    return key, f"kept in {state.master_key_file}", {**environ, MASTER_KEY: key}


def _database(config: GatewayConfig, environ: Mapping[str, str], state: StateFolder) -> tuple[bool, str]:
    if environ.get("DATABASE_URL"):
        return False, "DATABASE_URL"
    if config.database_url is not None:
        return False, "general_settings.database_url"
    return True, f"embedded PostgreSQL, data in {EmbeddedPostgres(state.postgres_home).home}"
