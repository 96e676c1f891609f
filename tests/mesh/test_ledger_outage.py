"""PostgreSQL goes away and comes back: by policy calls are refused at once, or go on and are billed later."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp

from meshgate_chassis.rpc import Identity, connect
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient
from meshgate_protos.ledger.v1.ledger_service_pb2 import WatchAccountsRequest
from tests.mesh.subject import CONFIG, Subject
from tests.support.demo_provider import demo_provider
from tests.support.eventually import eventually
from tests.support.mesh_in_process import SECRET, mesh_in_process
from tests.support.postgres import DatabaseServer

PREFIX = "meshgate_edge_spool_"
POLICY = "general_settings: {{allow_requests_on_db_unavailable: {allow}}}\n"


@asynccontextmanager
async def mesh_with(server: DatabaseServer, *, allow: bool) -> AsyncIterator[Subject]:
    """A mesh on a PostgreSQL that the test may stop."""
    folder = Path(tempfile.mkdtemp(prefix="mg"))
    try:
        async with demo_provider() as provider:
            config = CONFIG.format(url=provider.url) + POLICY.format(allow=str(allow).lower())
            async with mesh_in_process(config, folder, server.new_database()) as mesh:
                async with aiohttp.ClientSession() as session:
                    yield Subject(mesh, provider, session)
    finally:
        shutil.rmtree(folder)


async def entries_of(subject: Subject, count: int) -> list[dict[str, object]]:
    """The ledger's entries when there are so many; its books were proved."""

    async def enough() -> list[dict[str, object]]:
        found = await subject.entries()
        return found if len(found) >= count else []

    return await eventually(enough, f"{count} entries")


async def test_with_allow_known_callers_go_on_and_are_billed_once(
    own_postgres_server: DatabaseServer,
) -> None:
    """Whole answers and streams; each provider call has one entry afterwards, flagged as offline."""
    async with mesh_with(own_postgres_server, allow=True) as subject:
        key = await subject.new_key(team_id="t")
        assert 200 == (await subject.ask("before", key=key)).status
        await entries_of(subject, 1)  # posted: it is none of those that wait
        own_postgres_server.stop()
        answers = [await subject.ask(f"during {number} demo:tokens=9", key=key) for number in range(6)]
        answers += [await subject.ask(f"streamed {number}", key=key, stream=True) for number in range(3)]
        answers.append(await subject.ask("as the admin"))
        assert {200} == {answer.status for answer in answers}
        assert all(b"[DONE]" in answer.body for answer in answers[6:9])
        own_postgres_server.start()
        found = await entries_of(subject, 11)
        served = [request["request_id"] for request in await subject.served()]
        assert sorted(served) == sorted(str(entry["request_id"]) for entry in found)
        offline = [entry for entry in found if entry["offline"]]
        assert 10 == len(offline)
        assert all(entry["amount_nanos"] and not entry["estimated"] for entry in offline)
        assert [9] * 6 == [entry["completion_tokens"] for entry in offline if entry["completion_tokens"] == 9]
        await eventually(lambda: _spool_is(subject, items=0.0, posted=10.0), "the spool is empty")
        assert 11 == len(await subject.entries())
        info = (await subject.get(f"/key/info?key={key}")).json["info"]
        charged = sum(int(str(e["amount_nanos"])) for e in found if str(e["account_id"]).startswith("key:"))
        assert charged == round(info["spend"] * 1e9)


async def test_with_allow_unknown_keys_are_told_that_nothing_can_be_decided(
    own_postgres_server: DatabaseServer,
) -> None:
    """503 and not 401: it may well be right. The same for a model that the key was never admitted to."""
    async with mesh_with(own_postgres_server, allow=True) as subject:
        unused, used = await subject.new_key(), await subject.new_key(user_id="u")
        assert 200 == (await subject.ask("before", key=used)).status
        own_postgres_server.stop()
        assert 503 == (await subject.ask("during", key=unused)).status
        assert 503 == (await subject.ask("during", key="sk-nobody-made-this-one")).status
        assert 503 == (await subject.ask("during", key=used, model="claude")).status
        assert 1 == len(await subject.served())
        own_postgres_server.start()


async def test_with_allow_a_keys_rules_of_calls_hold(own_postgres_server: DatabaseServer) -> None:
    """Members that it wants and controls that it may not use; what was refused is not billed later."""
    async with mesh_with(own_postgres_server, allow=True) as subject:
        key = await subject.new_key(enforced_params=["user"], allowed_cache_controls=["ttl"])
        assert 200 == (await subject.ask("before", key, user="u")).status
        await entries_of(subject, 1)
        own_postgres_server.stop()
        assert 400 == (await subject.ask("during", key)).status
        assert 403 == (await subject.ask("during", key, user="u", cache={"no-cache": True})).status
        assert 200 == (await subject.ask("during", key, user="u")).status
        own_postgres_server.start()
        served = sorted(request["request_id"] for request in await subject.served())

        assert 2 == len(served)

        async def billed() -> bool:
            entries = await subject.entries()
            paid = [str(entry["request_id"]) for entry in entries if entry["amount_nanos"]]
            return (await _spool(subject))["items"] == 0.0 and served == sorted(paid)

        await eventually(billed, "what was served is billed, and nothing else")


async def test_with_allow_a_key_that_was_deleted_before_stays_out(
    own_postgres_server: DatabaseServer,
) -> None:
    """The edge has heard of it although the key was not used since."""
    async with mesh_with(own_postgres_server, allow=True) as subject:
        key = await subject.new_key()
        assert 200 == (await subject.ask("before", key=key)).status
        assert 200 == (await subject.post("/key/delete", {"keys": [key]})).status
        await asyncio.sleep(3.0)  # it is to hear of it within one; nothing tells from outside that it has
        own_postgres_server.stop()
        assert 503 == (await subject.ask("during", key=key)).status
        own_postgres_server.start()


async def test_with_deny_everybody_is_refused_and_nothing_is_lost(
    own_postgres_server: DatabaseServer,
) -> None:
    """A stream that was admitted before goes on to its end and is billed when PostgreSQL is back."""
    async with mesh_with(own_postgres_server, allow=False) as subject:
        key = await subject.new_key()
        assert 200 == (await subject.ask("before", key=key)).status
        text = "slowly demo:tokens=30 demo:delay=0.05"
        stream = asyncio.create_task(subject.ask(text, key=key, stream=True))

        async def under_way() -> bool:
            served = await subject.served()
            return len(served) == 2 and served[1]["chunks_sent"] > 2

        await eventually(under_way, "the stream is under way")
        own_postgres_server.stop()
        refused = [await subject.ask(f"during {number}", key=key) for number in range(5)]
        assert {503} == {answer.status for answer in refused}
        assert "retry-after" in refused[-1].headers
        assert b"cannot be checked" in refused[-1].body
        assert b"[DONE]" in (await stream).body
        own_postgres_server.start()
        found = await entries_of(subject, 2)
        charges = [entry for entry in found if entry["kind"] == "charge"]
        assert 2 == len(charges)
        assert (30, False) == (charges[1]["completion_tokens"], charges[1]["estimated"])
        assert 2 == len(await subject.served())

        async def served_again() -> bool:
            return (await subject.ask("after", key=key)).status == 200

        await eventually(served_again, "calls are answered again")


async def test_the_spool_is_told_by_metrics(own_postgres_server: DatabaseServer) -> None:
    """How many calls wait, and how many bytes."""
    async with mesh_with(own_postgres_server, allow=True) as subject:
        own_postgres_server.stop()
        await subject.ask("during")
        assert await _spool_is(subject, items=1.0, posted=0.0)
        assert (await _spool(subject))["bytes"] > 100
        own_postgres_server.start()
        await eventually(lambda: _spool_is(subject, items=0.0, posted=1.0), "the spool is empty")
        assert 0 == (await _spool(subject))["bytes"]


async def _spool(subject: Subject) -> dict[str, float]:
    """The edge's metrics of it."""
    lines = (await subject.get("/metrics")).body.decode().splitlines()
    found = [line.removeprefix(PREFIX).rsplit(" ", 1) for line in lines if line.startswith(PREFIX)]
    return {name: float(value) for name, value in found}


async def _spool_is(subject: Subject, *, items: float, posted: float) -> bool:
    metrics = await _spool(subject)
    return (metrics["items"], metrics["posted_total"]) == (items, posted)


@asynccontextmanager
async def _told_by_the_ledger(subject: Subject) -> AsyncIterator[set[str]]:
    """What every edge is told: the accounts that change while this is open."""
    target = subject.mesh.gateway.removesuffix("edge") + "ledger"
    identity = Identity("edge", SECRET.encode())
    channel = connect(target, callee="ledger", identity=identity, telemetry=Telemetry(None))
    told: set[str] = set()
    first = asyncio.Event()

    async def listen() -> None:
        watch = LedgerServiceClient(channel).watch_accounts(WatchAccountsRequest(), timeout_s=60)
        async for change in watch:
            first.set()
            told.update(change.account_ids)

    task = asyncio.create_task(listen())
    await first.wait()
    yield told
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await channel.close()
