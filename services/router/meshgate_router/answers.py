"""Answers in one piece: opened by the attempt loop, raced by the hedger where the configuration wants it."""

from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.attempt import AttemptLoop, Served
from meshgate_router.hedge import Hedger, Received
from meshgate_router.journey import RouteTask
from meshgate_router.lease import Lease
from meshgate_router.provider_call import Answer, ProviderCaller
from meshgate_router.stream import tokens_of


class Answers:
    """All answers that are not streamed."""

    def __init__(self, loop: AttemptLoop, caller: ProviderCaller, hedger: Hedger) -> None:
        self._loop = loop
        self._caller = caller
        self._hedger = hedger

    async def create(self, task: RouteTask, chat: pb.ChatRequest) -> Served[Answer]:
        """Raises MeshError. Its lease is over."""

        async def one(lease: Lease) -> Answer:
            with task.credentials.used_for(lease.deployment) as deployment:
                return await self._caller.create(chat, deployment, lease.timeouts, task.request_id)
            raise AssertionError("it swallows nothing")

        async def first(lease: Lease) -> tuple[Answer, Lease]:
            return await self._hedger.open(task, lease, one, received)

        served = await self._loop.run(task, first)
        served.lease.ended(tokens_of(received(served.value).usage))
        return served


def received(answer: Answer) -> Received:
    """What an answer brought, whether it is needed or not."""
    response = answer.response
    usage = response.usage if response.HasField("usage") else None
    return Received(usage, usage is not None, "".join(choice.message.text for choice in response.choices))
