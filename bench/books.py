"""Whether every request of a run is on the books, once, and what the ledger says of them.

Read from the ledger's own database, and proved by `meshgate ledger verify`.
"""

import asyncio
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench.environment import environment
from bench.mesh import Running
from meshgate_cli.embedded_postgres import EmbeddedPostgres

SETTLED_WITHIN_S = 90.0
POLL_INTERVAL_S = 0.25

_OPEN = "SELECT count(*) FROM ledger.holds WHERE state = 'open'"
_LINES = """
SELECT model, kind, outcome, estimated, count(*) AS entries, count(DISTINCT request_id) AS requests,
    min(amount_nanos) AS least_nanos, max(amount_nanos) AS most_nanos
FROM ledger.entries WHERE leg = 0
GROUP BY model, kind, outcome, estimated ORDER BY model, kind, outcome, estimated
"""


@dataclass(frozen=True, slots=True)
class Line:
    """Entries that are alike. Amounts: what the cheapest and the dearest of them charged."""

    model: str
    kind: str
    outcome: str
    estimated: bool
    entries: int
    requests: int
    least_nanos: int
    most_nanos: int


@dataclass(frozen=True, slots=True)
class Books:
    """The ledger after a run. `verified`: what `meshgate ledger verify` printed."""

    lines: tuple[Line, ...]
    open_holds: int
    balanced: bool
    verified: str

    def entries(self, model: str) -> int:
        return sum(line.entries for line in self.lines if line.model == model)


async def read_books(running: Running, python: Path, sent: Mapping[str, int]) -> Books:
    """Waits until nothing is under way and every request has its entry, or until it is certain that some
    have none. `sent`: requests by model. `python`: of the venv that holds the meshgate.
    """
    connection = await asyncpg.connect(ledger_dsn(running.state))
    try:
        ends_s = time.monotonic() + SETTLED_WITHIN_S
        while True:
            open_holds = await connection.fetchval(_OPEN)
            entries = await connection.fetchval("SELECT count(*) FROM ledger.entries WHERE leg = 0")
            if (not open_holds and entries >= sum(sent.values())) or time.monotonic() > ends_s:
                break
            await asyncio.sleep(POLL_INTERVAL_S)
        lines = tuple(Line(*row.values()) for row in await connection.fetch(_LINES))
    finally:
        await connection.close()
    command: list[str | Path] = [python, "-m", "meshgate_cli", "ledger", "verify"]
    command += ["--config", running.config, "--state-dir", running.state]
    proved = await asyncio.to_thread(
        subprocess.run, command, env=environment(), capture_output=True, text=True, check=False
    )
    return Books(lines, open_holds, proved.returncode == 0, (proved.stdout + proved.stderr).strip())


def problems(books: Books, sent: Mapping[str, int]) -> list[str]:
    """What is wrong; empty: every request is on the books once, and they balance."""
    found = [] if books.balanced else [f"the books do not balance: {books.verified[-400:]}"]
    if books.open_holds:
        found.append(f"{books.open_holds} holds are still open")
    for model, count in sent.items():
        if books.entries(model) != count:
            found.append(f"{model}: {count} requests, {books.entries(model)} entries")
    strangers = sum(line.entries for line in books.lines if line.model not in sent)
    if strangers:
        found.append(f"{strangers} entries that nobody asked for")
    for line in books.lines:
        if line.entries != line.requests:
            found.append(f"{line.model}: a request has several entries of kind {line.kind}")
        if line.kind in ("expiry", "correction"):
            found.append(f"{line.model}: {line.entries} calls were closed by their expiry, not by the edge")
    return found


def wrong_amounts(lines: Sequence[Line], nanos: Mapping[str, int]) -> list[str]:
    """Charges that are not what the provider's usage comes to. `nanos`: by model; cache hits are free."""
    found = []
    for line in lines:
        if line.model not in nanos:
            continue
        free = line.outcome == "cache_hit"
        expected = 0 if free else nanos[line.model]
        if (line.least_nanos, line.most_nanos) != (expected, expected):
            charged = f"{line.least_nanos} to {line.most_nanos}"
            found.append(f"{line.model}, {line.outcome}: {expected} nanos expected, {charged} charged")
        if line.estimated and not free:
            found.append(f"{line.model}, {line.outcome}: {line.entries} charges are estimates")
    return found


def ledger_dsn(state: Path) -> str:
    """Of the PostgreSQL that a running `meshgate up` brought along."""
    dsn = EmbeddedPostgres(state / "postgres").running_dsn()
    assert dsn is not None, f"no PostgreSQL runs in {state}"
    return dsn
