"""The ledger is gone, and then the edge as well, in the middle of calls that went on without a hold."""

import asyncio

import aiohttp
import asyncpg

from tests.support.eventually import eventually
from tests.support.torture import MASTER_KEY, Torture, compare, tortured

SLOW = "demo:tokens=40 demo:delay=0.25"
READY_S = 60.0


async def ask(torture: Torture, session: aiohttp.ClientSession, text: str, *, stream: bool = False) -> int:
    """A status; 0 for a connection that broke."""
    body = {"model": "demo", "stream": stream, "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": f"Bearer {MASTER_KEY}"}
    try:
        async with session.post(f"{torture.url}/v1/chat/completions", json=body, headers=headers) as answer:
            await answer.read()
            return answer.status
    except aiohttp.ClientError:
        return 0


async def test_calls_that_nobody_could_book_are_booked_after_two_deaths() -> None:
    """What was answered is exact; what the edge took with it is charged as it was estimated, and flagged."""
    async with tortured(1, allow=True) as torture, aiohttp.ClientSession() as session:

        async def answered() -> bool:
            return await ask(torture, session, "before") == 200

        await eventually(answered, "the mesh is ready", READY_S)
        ledger = torture.processes.running.pop("ledger")
        ledger.kill()
        await asyncio.to_thread(ledger.join)
        assert 200 == await ask(torture, session, "answered without the ledger demo:tokens=7")
        broken = [
            asyncio.create_task(ask(torture, session, f"{number} {SLOW}", stream=True)) for number in range(3)
        ]

        async def under_way() -> bool:
            async with session.get(f"{torture.provider.url}/demo/requests") as shown:
                requests = (await shown.json())["requests"]
            return sum(each["outcome"] == "serving" and each["chunks_sent"] > 1 for each in requests) == 3

        await eventually(under_way, "three streams are under way")
        await torture.processes.kill("edge")
        assert [0, 0, 0] == await asyncio.gather(*broken)
        await eventually(answered, "the edge is back, the ledger is not", READY_S)
        torture.processes.start("ledger")
        await torture.calm()
        found = await compare(torture.dsn, torture.provider)
        assert found.clean, found
        connection = await asyncpg.connect(torture.dsn)
        rows = await connection.fetch("SELECT * FROM ledger.entries WHERE estimated ORDER BY entry_id")
        await connection.close()
    assert [("EDGE_LOST", True)] * 3 == [(row["error_reason"], row["offline"]) for row in rows]
    assert all(row["amount_nanos"] > 0 for row in rows)
    assert found.served - 3 == found.exact
