"""A real Redis Cluster of three servers, for tests: made by CLUSTER MEET and ADDSLOTS, on loopback.

redis_cluster    shared by the module; parametrise indirectly with CLUSTER_KINDS for all kinds
"""

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.redis_server import RedisServer

__all__ = ["CLUSTER_KINDS", "RedisCluster", "redis_cluster"]

CLUSTER_KINDS = ("valkey", "redis", "redis-6.2")
SERVER_COUNT = 3
SLOTS = 16_384
BUS_OFFSET = 10_000  # where servers of a cluster speak to each other
DEADLINE_S = 30.0
POLL_INTERVAL_S = 0.02


@dataclass(frozen=True, slots=True)
class RedisCluster:
    """`servers` share the slots in equal parts, in order."""

    servers: list[RedisServer]

    @property
    def nodes(self) -> tuple[tuple[str, int], ...]:
        return tuple(("127.0.0.1", server.port) for server in self.servers)

    @property
    def url(self) -> str:
        return self.servers[0].url.removesuffix("/0")

    def flush(self) -> None:
        for server in self.servers:
            server.command("FLUSHALL")

    def key_counts(self) -> list[int]:
        return [int(server.command("DBSIZE").strip().removeprefix(":")) for server in self.servers]

    def join(self) -> None:
        """Makes one cluster of them, and waits until all of them say so."""
        first, *others = self.servers
        for number, server in enumerate(self.servers):
            start, end = (SLOTS * part // SERVER_COUNT for part in (number, number + 1))
            assert "OK" in server.command("CLUSTER", "ADDSLOTS", *map(str, range(start, end)))
        for other in others:
            assert "OK" in first.command("CLUSTER", "MEET", "127.0.0.1", str(other.port))
        end_s = time.monotonic() + DEADLINE_S
        while not all(self._is_whole(server) for server in self.servers):
            assert time.monotonic() < end_s, first.command("CLUSTER", "INFO")
            time.sleep(POLL_INTERVAL_S)

    def _is_whole(self, server: RedisServer) -> bool:
        info = server.command("CLUSTER", "INFO")
        return "cluster_state:ok" in info and f"cluster_known_nodes:{SERVER_COUNT}" in info


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError, OverflowError), socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
        return True
    return False


@pytest.fixture(scope="module")
def redis_cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisCluster]:
    """See the module."""
    kind = getattr(request, "param", "valkey")
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    with contextlib.ExitStack() as stack:
        servers = []
        for _ in range(SERVER_COUNT):
            server = RedisServer(kind, tmp_path_factory.mktemp("r"), options)
            while not _is_free(server.port + BUS_OFFSET):
                server = RedisServer(kind, tmp_path_factory.mktemp("r"), options)
            servers.append(stack.enter_context(server))
        cluster = RedisCluster(servers)
        cluster.join()
        yield cluster
