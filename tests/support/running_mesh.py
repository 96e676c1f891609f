"""The whole mesh as a user starts it: `meshgate up`, real processes, real PostgreSQL, a port of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READY_DEADLINE_S = 120.0
STOP_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class RunningMesh:
    """`url` has no path. `output`: what `meshgate up` printed, as a file."""

    url: str
    master_key: str
    state: Path
    output: Path
    supervisor: "subprocess.Popen[bytes]"

    def process_ids(self) -> dict[str, int]:
        """Service name -> process id, as the supervisor knows them now."""
        return {
            name: pid
            for name, pid in json.loads((self.state / "processes.json").read_text()).items()
            if isinstance(pid, int)
        }

    def kill(self, service: str) -> int:
        """kill -9; returns the process id that died."""
        pid = self.process_ids()[service]
        os.kill(pid, signal.SIGKILL)
        return pid

    def log(self, service: str) -> str:
        """What the service logged."""
        return (self.state / "logs" / f"{service}.log").read_text(errors="replace")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_mesh(
    *, config: str | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[RunningMesh]:
    """Starts the mesh in a folder of its own, waits until it is ready, and stops it in the end."""
    with tempfile.TemporaryDirectory(prefix="mg") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, PostgreSQL runs as somebody else and has to reach its data
        with _mesh_in(folder, config, environment) as mesh:
            yield mesh


@contextlib.contextmanager
def _mesh_in(
    folder: Path, config: str | None, environment: Mapping[str, str] | None
) -> Iterator[RunningMesh]:
    port = free_port()
    arguments = ["up", "--port", str(port), "--host", "127.0.0.1", "--state-dir", str(folder / "state")]
    if config is not None:
        (folder / "config.yaml").write_text(config)
        arguments += ["--config", str(folder / "config.yaml")]
    output = folder / "output.txt"
    with output.open("wb") as out:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "meshgate_cli", *arguments],
            cwd=folder,
            env=up_environment(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_ready(port, supervisor, output)
        state = folder / "state"
        key = (environment or {}).get("LITELLM_MASTER_KEY") or (state / "master-key").read_text().strip()
        yield RunningMesh(f"http://127.0.0.1:{port}", key, state, output, supervisor)
    finally:
        supervisor.send_signal(signal.SIGTERM)
        try:
            supervisor.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()
            raise


def up_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Ours without anything that would change what is started."""
    unwanted = ("MESHGATE_", "LITELLM_", "REDIS_", "DATABASE_", "OTEL_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(unwanted) and not name.endswith("_API_KEY")
    }
    return {**kept, **extra}


def _wait_until_ready(port: int, supervisor: "subprocess.Popen[bytes]", output: Path) -> None:
    end = time.monotonic() + READY_DEADLINE_S
    while True:
        said = output.read_text(errors="replace")
        assert supervisor.poll() is None, f"meshgate up ended with {supervisor.returncode}:\n{said}"
        assert time.monotonic() < end, f"meshgate up was not ready in time:\n{said}"
        if "meshgate is ready" in said and _ready(port):
            return
        time.sleep(0.05)


def _ready(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"GET /health/readiness HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
