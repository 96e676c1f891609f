"""The watch for a client that goes leaves nothing behind."""

import asyncio
import gc
import weakref
from typing import Any

from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.http.disconnect import UntilDisconnect
from tests.support.eventually import eventually


async def test_a_request_is_gone_without_a_collection() -> None:
    """Who asks for every request must not hold each until the collector comes round."""
    watched = asyncio.Event()

    async def receive() -> Any:
        watched.set()
        await asyncio.Event().wait()

    client = UntilDisconnect(receive, TaskOwner("test", 1))
    gc.disable()
    try:
        async with client:
            await watched.wait()
        known = weakref.ref(client)
        del client
        await eventually(lambda: known() is None, "nothing holds the request")
    finally:
        gc.enable()
