"""Streams that broke off where the other call has to be paid for first: told to the caller, then resumed."""

from typing import Any

import pytest

from meshgate_chassis.chat.json import loads
from meshgate_chassis.config.model import RouterConfig
from meshgate_chassis.errors import MeshError
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_router.convert import told_of
from meshgate_router.recovery import RECOVERIES_MAX, Told
from meshgate_router.resume import RESUME, UNCOVERED
from meshgate_router.stream import Continued, Delta, Finished, Started
from tests.support.demo_provider import DemoProvider, demo_provider
from tests.unit.router.support import RouterUnderTest, chat, deployment, router
from tests.unit.router.test_recovery import asking, question, served

CONFIG = RouterConfig(num_retries=0, fallbacks={"first": ["second"]}, allowed_fails=1_000_000)
NOTHING = frozenset[str]()


class Client:
    """What a client has of one answer, through as many RPCs as it takes."""

    def __init__(self, subject: RouterUnderTest, request: chat_pb.ChatRequest) -> None:
        self.subject = subject
        self.request = request
        self.chunks: list[chat_pb.ChatChunk] = []
        self.calls = 0

    @property
    def text(self) -> str:
        return "".join(choice.delta.content for chunk in self.chunks for choice in chunk.choices)

    async def read(self, covered: frozenset[str] = NOTHING, resume: str = "") -> list[Any]:
        """The events of one RPC but chunks. Raises what it raised."""
        told = None
        if resume:
            first = self.chunks[0]
            said = pb.Told(
                id=first.id, created=first.created, model=first.model, text=self.text, calls=self.calls
            )
            told = Told.before(said)
        self.calls += 1
        task = self.subject.task(self.request, stream=True, covered=covered, resume=resume)
        events: list[Any] = []
        async for event in self.subject.streams.events(task, self.request, told):
            if isinstance(event, Delta):
                self.chunks += event.chunks
            else:
                events.append(event)
        return events

    async def breaks(self, covered: frozenset[str] = NOTHING, resume: str = "") -> MeshError:
        with pytest.raises(MeshError) as caught:
            await self.read(covered, resume)
        return caught.value


def named(error: MeshError) -> list[str]:
    names = loads(error.metadata.get(UNCOVERED, "[]").encode())
    assert isinstance(names, list)
    return names


@pytest.mark.parametrize("cut", [3, 9, 20])
async def test_a_stream_goes_on_in_another_rpc(cut: int) -> None:
    """Nobody is called before; then it is one answer, to the character."""
    async with demo_provider() as provider, _pair(provider) as subject:
        whole = Client(subject, asking(question(12, 1)))
        await whole.read()
        client = Client(subject, asking(question(12, 1), f"demo:fail=cut_mid_stream:{cut}@first-upstream"))
        error = await client.breaks()
        before = len(await served(provider))
        started, finished = await client.read(frozenset({"second"}), error.metadata[RESUME])
        after = len(await served(provider))

    assert ("PROVIDER_STREAM_BROKEN", ["second"]) == (error.reason, named(error))
    assert (2, 3) == (before, after)
    assert isinstance(started, Started) and isinstance(finished, Finished)
    assert ("second", 1) == (started.served.group.name, started.served.journey.counts.fallbacks)
    assert whole.text == client.text
    assert 1 == len({(chunk.id, chunk.created, chunk.model) for chunk in client.chunks})


async def test_the_group_itself_is_named_first() -> None:
    """Its other deployments; and who broke off is not asked again."""
    async with demo_provider() as provider:
        base = f"{provider.url}/v1"
        group = [deployment("first", id=name, upstream_model=name, api_base=base) for name in ("a", "b")]
        async with router([*group, deployment("second", api_base=base)], config=CONFIG) as subject:
            for _ in range(6):
                client = Client(subject, asking(question(12, 1), "demo:fail=cut_mid_stream:5"))
                error = await client.breaks()
                client.request = asking(question(12, 1))
                started, _ = await client.read(frozenset({"first"}), error.metadata[RESUME])
                broken = error.metadata["deployment_id"]

                assert ["first", "second"] == named(error)
                assert {"a", "b"} == {broken, started.served.deployment.id}


async def test_an_answer_breaks_off_so_often_and_no_more() -> None:
    """However many RPCs it took."""
    everywhere = "demo:fail=cut_mid_stream:3"
    fallbacks = {"first": ["second"], "second": ["third"], "third": ["fourth"], "fourth": ["fifth"]}
    config = RouterConfig(num_retries=0, fallbacks=fallbacks, allowed_fails=1_000_000)
    names = ["first", *(names[0] for names in fallbacks.values())]
    async with demo_provider() as provider:
        deployments = [deployment(name, api_base=f"{provider.url}/v1") for name in names]
        async with router(deployments, config=config) as subject:
            client = Client(subject, asking(question(30, 1), everywhere))
            error, covered = await client.breaks(), NOTHING
            while named(error):
                covered |= {named(error)[0]}
                error = await client.breaks(covered, error.metadata[RESUME])

    assert "PROVIDER_STREAM_BROKEN" == error.reason
    assert 1 + RECOVERIES_MAX == client.calls


async def test_what_cannot_be_continued_names_nobody() -> None:
    """Several choices, for example."""
    async with demo_provider() as provider, _pair(provider) as subject:
        directives = "demo:fail=cut_mid_stream:5@first-upstream"
        error = await Client(subject, asking(question(12, 1), directives, n=2)).breaks()

    assert ("PROVIDER_STREAM_BROKEN", []) == (error.reason, named(error))


async def test_without_a_budget_it_is_the_router_that_goes_on() -> None:
    """In the same RPC."""
    async with demo_provider() as provider, _pair(provider) as subject:
        request = asking(question(12, 1), "demo:fail=cut_mid_stream:5@first-upstream")
        events = (await subject.stream(request)).events

    assert any(isinstance(event, Continued) for event in events)


async def test_who_cannot_go_on_with_an_answer_is_not_named() -> None:
    """Nobody is to be paid for who is not asked."""
    async with demo_provider() as provider:
        base, cannot = f"{provider.url}/v1", {"supports_assistant_prefill": False}
        names = ("first", "second")
        deployments = [deployment(name, api_base=base, model_info=cannot) for name in names]
        async with router(deployments, config=CONFIG) as subject:
            directives = "demo:fail=cut_mid_stream:5@first-upstream"
            error = await Client(subject, asking(question(12, 1), directives)).breaks()

    assert ("PROVIDER_STREAM_BROKEN", []) == (error.reason, named(error))


@pytest.mark.parametrize(("resume", "calls"), [("", 1), ("[]", 0), ("[]", 33)])
def test_what_nobody_told(resume: str, calls: int) -> None:
    """Is refused."""
    request = pb.StreamChatRequest(chat=chat(), told=pb.Told(text="Hello", calls=calls))
    request.options.resume = resume
    with pytest.raises(MeshError, match="FIELD_INVALID"):
        told_of(request)


def _pair(provider: DemoProvider) -> Any:
    base = f"{provider.url}/v1"
    return router([deployment(name, api_base=base) for name in ("first", "second")], config=CONFIG)
