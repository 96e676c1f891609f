"""gateway/v1: the same pipeline for internal clients, by the plain generated stubs of any gRPC client."""

import grpc
import pytest

from meshgate_protos.chat.v1 import chat_pb2
from meshgate_protos.gateway.v1 import gateway_service_pb2 as pb
from meshgate_protos.gateway.v1 import gateway_service_pb2_grpc
from tests.mesh.subject import Subject


def hello(text: str = "What is the capital of France?", model: str = "demo") -> chat_pb2.ChatRequest:
    return chat_pb2.ChatRequest(model=model, messages=[chat_pb2.Message(role="user", text=text)])


def credentials(subject: Subject) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {subject.mesh.master_key}"),)


async def test_an_answer(subject: Subject) -> None:
    """With its cost, and an entry under its id."""
    async with grpc.aio.insecure_channel(subject.mesh.gateway) as channel:
        stub = gateway_service_pb2_grpc.GatewayServiceStub(channel)
        answer = await stub.CreateChat(
            pb.CreateChatRequest(chat=hello()), metadata=credentials(subject), timeout=30
        )

    (entry,) = await subject.entries()
    assert "Paris" in answer.response.choices[0].message.text
    assert answer.info.cost_usd_nanos == entry["amount_nanos"] > 0
    assert answer.info.call_id == entry["request_id"]


async def test_a_stream(subject: Subject) -> None:
    """Started, deltas, and Finished exactly once, with the usage."""
    async with grpc.aio.insecure_channel(subject.mesh.gateway) as channel:
        stub = gateway_service_pb2_grpc.GatewayServiceStub(channel)
        call = stub.StreamChat(pb.StreamChatRequest(chat=hello()), metadata=credentials(subject), timeout=30)
        events = [event async for event in call]

    kinds = [event.WhichOneof("event") for event in events]
    text = "".join(
        choice.delta.content for event in events for chunk in event.delta.chunks for choice in chunk.choices
    )
    assert ("started", "finished") == (kinds[0], kinds[-1])
    assert {"delta"} == set(kinds[1:-1])
    assert "Paris" in text
    assert events[-1].finished.usage.completion_tokens > 0


@pytest.mark.parametrize(
    ("metadata", "model", "code"),
    [
        ((), "demo", grpc.StatusCode.UNAUTHENTICATED),
        ((("authorization", "Bearer sk-unknown"),), "demo", grpc.StatusCode.UNAUTHENTICATED),
        (None, "no-such-model", grpc.StatusCode.NOT_FOUND),
        (None, "", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_errors_are_typed(
    subject: Subject, metadata: tuple[tuple[str, str], ...] | None, model: str, code: grpc.StatusCode
) -> None:
    """By their canonical code."""
    async with grpc.aio.insecure_channel(subject.mesh.gateway) as channel:
        stub = gateway_service_pb2_grpc.GatewayServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.CreateChat(
                pb.CreateChatRequest(chat=hello(model=model)),
                metadata=credentials(subject) if metadata is None else metadata,
                timeout=30,
            )

    assert code == caught.value.code()


async def test_a_request_id_is_used_once(subject: Subject) -> None:
    """A repeat is refused, and never billed twice."""
    request = pb.CreateChatRequest(request_id="11111111-1111-4111-8111-111111111111", chat=hello())
    async with grpc.aio.insecure_channel(subject.mesh.gateway) as channel:
        stub = gateway_service_pb2_grpc.GatewayServiceStub(channel)
        await stub.CreateChat(request, metadata=credentials(subject), timeout=30)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.CreateChat(request, metadata=credentials(subject), timeout=30)

    assert grpc.StatusCode.ALREADY_EXISTS == caught.value.code()
    assert 1 == len(await subject.entries())
    assert 1 == len(await subject.served())
