"""A mesh whose processes are killed at random during traffic, beside a provider that keeps its own books.

The edge, the ledger and the router are processes of their own and are started again at once; PostgreSQL and
the provider live. A point is a kill at any moment, now and then several in a row while they start, a process
that hangs for a while, or the end of all sessions at PostgreSQL. Some callers go away in the middle of a
stream, some answers are cut by the provider. Afterwards the ledger's books are compared with the provider's,
call by call (`compare`).
"""

import asyncio
import random
import socket
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg

from meshgate_cli.embedded_postgres import EmbeddedPostgres
from meshgate_demo.settings import DemoSettings
from meshgate_ledger.verify import verify
from tests.support.demo_provider import DemoProvider, demo_provider
from tests.support.eventually import eventually
from tests.support.running_mesh import up_environment
from tests.support.torture_processes import SERVICES, Processes

MASTER_KEY: Final = "sk-torture-master-key"
CALLERS: Final = 6
HOLD_S: Final = 6  # what an abandoned hold waits before it is charged
CALL_DEADLINE_S: Final = 60.0
CALM_DEADLINE_S: Final = 90.0
FREEZE_S_MAX: Final = 8.0  # more than a reservation and a settlement wait
START_S: Final = 1.0  # a process starts within about that
PORTS: Final = range(10_000, 30_000)  # no system takes them for the near end of a connection
CONFIG: Final = """
model_list:
  - model_name: demo
    litellm_params:
      {{model: openai/demo, api_base: {url}/v1, api_key: none-needed,
        input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
router_settings: {{num_retries: 0, allowed_fails: 1000000}}
general_settings: {{hold_duration: {hold_s}, allow_requests_on_db_unavailable: {allow}}}
"""


@dataclass
class Torture:
    """A mesh under torture. `statuses`: how calls ended for their clients."""

    url: str
    dsn: str
    provider: DemoProvider
    processes: Processes
    dice: random.Random
    statuses: Counter[str] = field(default_factory=Counter)
    key: str = ""
    stopping: bool = False
    number: int = 0

    async def run(self, points: int) -> None:
        """Traffic, and `points` kills in it."""
        async with aiohttp.ClientSession() as session:
            await eventually(lambda: self._made_key(session), "the mesh is ready", CALM_DEADLINE_S)
            seeds = [self.dice.randrange(2**32) for _ in range(CALLERS)]
            callers = [asyncio.create_task(self._caller(session, random.Random(seed))) for seed in seeds]
            try:
                for _ in range(points):
                    await self._point()
            finally:
                self.stopping = True
                await asyncio.gather(*callers)

    async def calm(self) -> None:
        """Until nothing is under way: every hold is closed, every spool is empty."""
        connection = await asyncpg.connect(self.dsn)
        try:

            async def nothing_open() -> bool:
                spools = (self.processes.folder / "spool").glob("*.spool")
                if any(path.stat().st_size for path in spools):
                    return False
                return not await connection.fetchval("SELECT count(*) FROM ledger.holds WHERE state = 'open'")

            await eventually(nothing_open, "every call is closed", CALM_DEADLINE_S)
        finally:
            await connection.close()

    async def _point(self) -> None:
        """Some traffic, then a blow at any moment of it."""
        before, lately = self.statuses["200"], Counter(self.statuses)

        def recovered() -> bool:
            self.processes.assert_alive()
            assert not self.statuses["hung"], f"a call did not end within {CALL_DEADLINE_S} s"
            return self.statuses["200"] > before

        try:
            await eventually(recovered, "a call succeeds", CALM_DEADLINE_S)
        except AssertionError as late:
            ended = dict(self.statuses - lately)
            words = await self.processes.last_words()
            raise AssertionError(f"{late}; meanwhile calls ended {ended}\n{words}") from late
        await asyncio.sleep(self.dice.random() * 0.25)  # the point is random, not waited for
        await self._blow()

    async def _blow(self) -> None:
        """Nearly always a kill. Of what is killed now and then a second one close by, or the same one again
        and again while it starts."""
        kind, name = self.dice.random(), self.dice.choice(SERVICES)
        if kind < 0.08:
            await self.processes.freeze(name, self.dice.random() * FREEZE_S_MAX)
            return
        if kind < 0.12:
            await self.processes.cut_off()
            return
        await self.processes.kill(name)
        if kind < 0.3:
            await asyncio.sleep(self.dice.random() * 0.5)
            await self.processes.kill(self.dice.choice(SERVICES))
        elif kind < 0.4:
            for _ in range(self.dice.randrange(1, 4)):
                await asyncio.sleep(self.dice.random() * START_S)
                await self.processes.kill(name)

    async def _made_key(self, session: aiohttp.ClientSession) -> bool:
        headers = {"authorization": f"Bearer {MASTER_KEY}"}
        body = {"max_budget": 1_000_000.0}
        try:
            async with session.post(f"{self.url}/key/generate", json=body, headers=headers) as answer:
                if answer.status != 200:
                    return False
                self.key = (await answer.json())["key"]
        except aiohttp.ClientError:
            return False
        return True

    async def _caller(self, session: aiohttp.ClientSession, dice: random.Random) -> None:
        while not self.stopping:
            try:
                async with asyncio.timeout(CALL_DEADLINE_S):
                    status = await self._call(session, dice)
            except TimeoutError:
                status = "hung"
            except (aiohttp.ClientError, ConnectionError):
                status = "cut"
            self.statuses[status] += 1
            if status not in ("200", "left"):
                await asyncio.sleep(0.1)

    async def _call(self, session: aiohttp.ClientSession, dice: random.Random) -> str:
        self.number += 1
        stream = dice.random() < 0.6
        leaves_after = dice.randrange(1, 12) if stream and dice.random() < 0.25 else None
        fault = ""
        if dice.random() < 0.2:
            fault = dice.choice(["500", "cut_mid_stream:2", "cut_mid_stream:7", "error_mid_stream:4"])
            fault = f"demo:fail={fault}"
        tokens, delay_s = dice.randrange(1, 40), dice.choice([0, 0.002, 0.01])
        text = f"Call {self.number} demo:tokens={tokens} demo:delay={delay_s} {fault}"
        body = {"model": "demo", "stream": stream, "messages": [{"role": "user", "content": text}]}
        headers = {"authorization": f"Bearer {self.key if dice.random() < 0.8 else MASTER_KEY}"}
        async with session.post(f"{self.url}/v1/chat/completions", json=body, headers=headers) as answer:
            if leaves_after is not None and answer.status == 200:
                for _ in range(leaves_after):
                    if not await answer.content.readline():
                        break
                answer.close()
                return "left"
            content = await answer.read()
        if answer.status == 200 and stream and not content.endswith(b"data: [DONE]\n\n"):
            return "cut"
        return str(answer.status)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What both books say. Everything but the counts has to be empty."""

    served: int
    exact: int
    estimated: int
    expired: int
    lost: Sequence[str]
    doubled: Sequence[str]
    wrong: Sequence[str]
    differences: Sequence[Any]

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.wrong or self.differences)


async def compare(dsn: str, provider: DemoProvider) -> Comparison:
    """The ledger's entries beside the provider's record.

    Lost: served and not charged. Doubled: charged twice. Wrong: said to be exact, and not what the provider
    counted.
    """
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{provider.url}/demo/requests") as answer,
    ):
        record = await answer.json()
    assert record["count"] == len(record["requests"]), "the record is complete"
    served = {request["request_id"]: request for request in record["requests"]}
    assert len(served) == record["count"], "the router calls the provider once for each request"
    connection = await asyncpg.connect(dsn)
    try:
        books = await verify(connection)
        rows = await connection.fetch("SELECT * FROM ledger.entries ORDER BY entry_id")
    finally:
        await connection.close()
    last: dict[str, asyncpg.Record] = {}
    kinds: dict[str, list[str]] = {}
    for row in rows:
        last[row["request_id"]] = row
        kinds.setdefault(row["request_id"], []).append(row["kind"])
    allowed = (["charge"], ["expiry"], ["expiry", "correction"], ["void"], ["expiry", "void"])
    charged = {name: row for name, row in last.items() if row["kind"] != "void"}
    asked = {name: row for name, row in charged.items() if row["outcome"] != "cache_hit"}
    exact = {name: row for name, row in asked.items() if not row["estimated"] and row["prompt_tokens"]}
    return Comparison(
        served=len(served),
        exact=len(exact),
        estimated=sum(row["estimated"] for row in asked.values()),
        expired=sum(row["kind"] == "expiry" for row in asked.values()),
        lost=[name for name, request in served.items() if name not in charged and request["status"] == 200],
        doubled=[name for name, found in kinds.items() if found not in allowed],
        wrong=[name for name, row in exact.items() if not _agrees(row, served.get(name))],
        differences=books.differences,
    )


def _agrees(row: asyncpg.Record, request: Mapping[str, Any] | None) -> bool:
    if request is None:
        return False
    counted = (request["prompt_tokens"], request["completion_tokens"])
    return counted == (row["prompt_tokens"], row["completion_tokens"])


@asynccontextmanager
async def tortured(seed: int, *, allow: bool) -> AsyncIterator[Torture]:
    """Everything is started; nothing is ready yet."""
    with tempfile.TemporaryDirectory(prefix="mgt") as name:
        folder = Path(name)
        folder.chmod(0o755)
        database = EmbeddedPostgres(folder / "postgres", durable=False)
        settings = DemoSettings(chunk_delay_s=0.0, records_max=100_000)
        async with demo_provider(settings) as provider:
            try:
                dsn = await asyncio.to_thread(database.start)
                config = CONFIG.format(url=provider.url, hold_s=HOLD_S, allow=str(allow).lower())
                (folder / "config.yaml").write_text(config)
                port = _free_port()
                processes = Processes(folder, _environments(folder, dsn, port), dsn)
                try:
                    for service in SERVICES:
                        await asyncio.to_thread(processes.start, service)
                    dice = random.Random(seed)
                    yield Torture(f"http://127.0.0.1:{port}", dsn, provider, processes, dice)
                finally:
                    await asyncio.to_thread(processes.stop)
            finally:
                await asyncio.to_thread(database.stop)


def _free_port() -> int:
    """One that stays ours while nobody listens: callers that try it meanwhile are given other ports for their
    own end, and never this one, which would connect them to themselves and hold it against the edge."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def _environments(folder: Path, dsn: str, port: int) -> dict[str, dict[str, str]]:
    shared = {
        **up_environment({}),
        "CONFIG_FILE_PATH": str(folder / "config.yaml"),
        "LITELLM_MASTER_KEY": MASTER_KEY,
        "MESHGATE_MESH_SECRET": "the secret of a tortured mesh",
        "MESHGATE_DRAIN_GRACE_S": "5",
        "PYTHONUNBUFFERED": "1",
    }
    addresses = {
        f"MESHGATE_{name.upper()}_ADDRESS": f"unix:{folder / name}.sock"
        for name in ("ledger", "cache", "compression", "router")
    }
    return {
        "ledger": {
            **shared,
            "DATABASE_URL": dsn,
            "MESHGATE_LEDGER_LISTEN": f"unix:{folder / 'ledger'}.sock",
            "MESHGATE_LEDGER_SWEEP_INTERVAL_S": "1",
        },
        "router": {**shared, "MESHGATE_ROUTER_LISTEN": f"unix:{folder / 'router'}.sock"},
        "edge": {
            **shared,
            **addresses,
            "MESHGATE_EDGE_HOST": "127.0.0.1",
            "MESHGATE_EDGE_PORT": str(port),
            "MESHGATE_EDGE_LISTEN": f"unix:{folder / 'edge'}.sock",
            "MESHGATE_EDGE_SPOOL_DIR": str(folder / "spool"),
        },
    }
