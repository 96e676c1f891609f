"""Which processes make up the mesh on this machine, and what each is told. Pure.

A service is told everything by its environment, the same variables as in a container.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

DRAIN_GRACE_S = "10"  # on a laptop nobody wants to wait for long; MESHGATE_DRAIN_GRACE_S says otherwise
MESH_SERVICES = ("ledger", "cache", "compression", "router")

# Who ends when: the edge lets streams finish and settles them, so all others outlive it.
STOP_ORDER = (("edge",), ("router", "cache", "compression", "demo", "local-llm"), ("ledger",))


@dataclass(frozen=True, slots=True)
class Probe:
    """How to see that a process is ready. `path` set: HTTP GET at host:port; None: it listens at a socket."""

    target: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """`python -m module arguments` with this environment and no other."""

    name: str
    module: str
    probe: Probe
    environment: Mapping[str, str]
    arguments: tuple[str, ...] = ()

    def with_environment(self, **variables: str) -> "ProcessSpec":
        return replace(self, environment={**self.environment, **variables})


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything listens. `edge_grpc` may be a socket. None: not started."""

    host: str
    port: int
    edge_grpc: str
    sockets: Path
    demo: str | None
    local_llm_port: int | None

    def of(self, service: str) -> str:
        return f"unix:{self.sockets / service}.sock"

    @property
    def connect_host(self) -> str:
        """Where a client on this machine connects."""
        loopback = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104
        return loopback.get(self.host, self.host)

    @property
    def url(self) -> str:
        return f"http://{self.connect_host}:{self.port}"


def shared_environment(
    environ: Mapping[str, str], config_file: Path, mesh_secret_file: Path
) -> dict[str, str]:
    """What every process gets: what we were given, without what only one service may be told."""
    ours = ("_LISTEN", "_ADDRESS", "_HOST", "_PORT")
    kept = {
        name: value
        for name, value in environ.items()
        if not (name.startswith("MESHGATE_") and (name.endswith(ours) or name.startswith("MESHGATE_TLS_")))
    }
    return {
        "MESHGATE_DRAIN_GRACE_S": DRAIN_GRACE_S,
        "MESHGATE_MESH_SECRET_FILE": str(mesh_secret_file),
        **kept,
        "CONFIG_FILE_PATH": str(config_file),
        "PYTHONUNBUFFERED": "1",
    }


def plan_processes(addresses: Addresses, shared: Mapping[str, str]) -> list[ProcessSpec]:
    """All but PostgreSQL, in the order in which they are shown."""
    specs = [_service(name, addresses.of(name), shared) for name in MESH_SERVICES]
    if addresses.demo is not None:
        listen = {"MESHGATE_DEMO_LISTEN": addresses.demo}
        probe = Probe(addresses.demo, "/health")
        specs.append(ProcessSpec("demo", "meshgate_demo", probe, {**shared, **listen}))
    if addresses.local_llm_port is not None:
        probe = Probe(f"127.0.0.1:{addresses.local_llm_port}", "/health")
        arguments = (str(addresses.local_llm_port),)
        specs.append(ProcessSpec("local-llm", "meshgate_cli.local_llm", probe, shared, arguments))
    specs.append(_edge(addresses, shared))
    return specs


def _service(name: str, listen: str, shared: Mapping[str, str]) -> ProcessSpec:
    environment = {**shared, f"MESHGATE_{name.upper()}_LISTEN": listen}
    return ProcessSpec(name, f"meshgate_{name}", Probe(listen), environment)


def _edge(addresses: Addresses, shared: Mapping[str, str]) -> ProcessSpec:
    told = {
        "MESHGATE_EDGE_HOST": addresses.host,
        "MESHGATE_EDGE_PORT": str(addresses.port),
        "MESHGATE_EDGE_LISTEN": addresses.edge_grpc,
        **{f"MESHGATE_{name.upper()}_ADDRESS": addresses.of(name) for name in MESH_SERVICES},
    }
    probe = Probe(f"{addresses.connect_host}:{addresses.port}", "/health/readiness")
    return ProcessSpec("edge", "meshgate_edge", probe, {**shared, **told})
