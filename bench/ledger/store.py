"""What the ledger's benchmark runs on: one PostgreSQL, ledger processes, and keys to spend from."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench.environment import environment
from meshgate_chassis.rpc import check_health
from meshgate_cli.embedded_postgres import EmbeddedPostgres

SECRET = "a secret of the mesh, for benchmarks"  # noqa: S105 - of a mesh that lives for a minute
START_TIMEOUT_S = 30.0

# One nano-USD for a prompt token and ten for a completion token.
CONFIG = """
model_list:
  - model_name: paid
    litellm_params:
      model: openai/paid
      api_base: http://127.0.0.1:9/v1
      api_key: none-needed
      input_cost_per_token: 0.000000001
      output_cost_per_token: 0.00000001
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """A running PostgreSQL with the ledger's tables, and a folder for everything else."""

    folder: Path
    dsn: str
    postgres_pid: int

    def ledger_environment(self, name: str, told: Mapping[str, str]) -> dict[str, str]:
        """What a ledger process is started with; `told` may add settings."""
        return {
            **environment(),
            "MESHGATE_MESH_SECRET": SECRET,
            "MESHGATE_LEDGER_LISTEN": self.address(name),
            "MESHGATE_DRAIN_GRACE_S": "1",
            "DATABASE_URL": self.dsn,
            "CONFIG_FILE_PATH": str(self.folder / "config.yaml"),
            **told,
        }

    def address(self, name: str) -> str:
        return f"unix:{self.folder / name}.sock"


@contextmanager
def stage(*, durable: bool = True) -> Iterator[Stage]:
    """Durable, as in production: a settlement waits for the disk."""
    with tempfile.TemporaryDirectory(prefix="meshgate-bench-ledger-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, PostgreSQL runs as somebody else
        (folder / "config.yaml").write_text(CONFIG)
        server = EmbeddedPostgres(folder / "postgres", durable=durable)
        try:
            yield Stage(folder, server.start(), server.process_id)
        finally:
            server.stop()


@contextmanager
def ledgers(
    place: Stage, names: list[str], told: Mapping[str, str] | None = None
) -> Iterator[dict[str, int]]:
    """One ledger process for each name; name -> process id. All are ready."""
    processes = {}
    try:
        for name in names:
            with (place.folder / f"{name}.log").open("wb") as log:
                processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "meshgate_ledger"],
                    env=place.ledger_environment(name, told or {}),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        asyncio.run(_await_ready([place.address(name) for name in names]))
        yield {name: process.pid for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait(30)


async def _await_ready(addresses: list[str]) -> None:
    end_s = time.monotonic() + START_TIMEOUT_S
    for address in addresses:
        while not await check_health(address, tls=None, server_name="ledger", timeout_s=1.0):
            if time.monotonic() > end_s:
                raise TimeoutError(f"the ledger at {address} did not start")
            await asyncio.sleep(0.05)


def key_hash(number: int) -> str:
    """Of key `number`."""
    return f"{number:064x}"


async def add_key(dsn: str, number: int, budget_nanos: int | None) -> str:
    """A key with a budget, made as /key/generate would; its account."""
    connection = await asyncpg.connect(dsn)
    account_id = f"key:{key_hash(number)}"
    try:
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO ledger.accounts (account_id, kind) VALUES ($1, 'key')", account_id
            )
            await connection.execute(
                "INSERT INTO ledger.keys (key_hash, key_name, key_alias, user_id, team_id, models, aliases,"
                " blocked, metadata, settings, created_at, created_by_request)"
                " VALUES ($1, 'sk-...', '', '', '', '{}', '{}', false, '', '', now(), 'bench')",
                key_hash(number),
            )
            if budget_nanos is not None:
                await set_budget(connection, account_id, budget_nanos)
    finally:
        await connection.close()
    return account_id


async def set_budget(connection: asyncpg.Connection, account_id: str, budget_nanos: int) -> None:
    """The key's max_budget."""
    await connection.execute(
        "INSERT INTO ledger.limits (account_id, metric, period, maximum) VALUES ($1, 'spend', '', $2)",
        account_id,
        budget_nanos,
    )


def line(message: Mapping[str, object]) -> bytes:
    """One line of JSON, as children and parents talk."""
    return json.dumps(message).encode() + b"\n"
