"""What servers of our own say on the wire, to a client that looks."""

from collections.abc import AsyncIterator

import pytest

from meshgate_chassis.rpc.http2 import frames
from meshgate_protos.router.v1 import router_service_pb2 as pb
from tests.support.eventually import eventually
from tests.unit.chassis.native.bare_client import BareClient
from tests.unit.chassis.native.public_service import SERVICE, Echo

CREATE_CHAT = f"/{SERVICE}/CreateChat"
PINGS = 500  # grpcio's servers leave after two too many


@pytest.fixture
async def client(listen: str, echo: Echo) -> AsyncIterator[BareClient]:
    async with BareClient.connected(listen) as client:
        yield client


def request(text: str) -> bytes:
    return pb.CreateChatRequest(request_id=text).SerializeToString()


async def test_an_answer_is_headers_a_message_and_trailers(client: BareClient) -> None:
    """With the content type of gRPC, and what may be sent here."""
    client.call(CREATE_CHAT, request("yes"), ("grpc-timeout", "10S"))

    headers, message = await client.headers(), (await client.next(frames.DATA))[3]
    trailers = await client.headers()

    assert {":status": "200", "content-type": "application/grpc"}.items() <= headers.items()
    assert "yes" == pb.CreateChatResponse.FromString(message[5:]).served_by.provider
    assert {"grpc-status": "0"} == trailers


async def test_who_compresses_is_told_what_may_be_sent(client: BareClient) -> None:
    """UNIMPLEMENTED, with grpc-accept-encoding, as the specification has it."""
    client.call(CREATE_CHAT, request("x"), ("grpc-encoding", "gzip"))

    headers = await client.headers()

    assert ("12", "identity") == (headers["grpc-status"], headers["grpc-accept-encoding"])


async def test_an_error_comes_without_a_message(client: BareClient) -> None:
    """As a block of trailers alone, with details that are standard."""
    client.call(f"/{SERVICE}/StreamChat", b"")  # two numbers are missing: a defect of the servicer

    headers = await client.headers()

    assert ("200", "13") == (headers[":status"], headers["grpc-status"])
    assert headers["grpc-status-details-bin"]


@pytest.mark.parametrize(
    ("field", "status"), [(("content-type", "text/plain"), "415"), ((":method", "GET"), "405")]
)
async def test_what_is_no_call_gets_an_answer_of_http(
    client: BareClient, field: tuple[str, str], status: str
) -> None:
    """And the connection goes on."""
    client.call(CREATE_CHAT, request("x"), field)
    refused = await client.headers()
    client.call(CREATE_CHAT, request("yes"))

    assert status == refused[":status"]
    assert "200" == (await client.headers())[":status"]


async def test_pings_are_answered_while_a_call_thinks(client: BareClient, echo: Echo) -> None:
    """Each, and however many: a client may ask whether a silent server lives."""
    client.call(CREATE_CHAT, request("wait"))
    await eventually(lambda: echo.inside, "the call is under way")
    answered = set()
    for number in range(PINGS):
        client.say(frames.ping(number.to_bytes(8, "big")))
        answered.add((await client.next(frames.PING))[3])
    echo.opened.set()

    assert {number.to_bytes(8, "big") for number in range(PINGS)} == answered
    assert "200" == (await client.headers())[":status"]


async def test_a_reset_before_the_request_is_whole_reaches_nobody(client: BareClient, echo: Echo) -> None:
    """And what comes behind it is served."""
    stream_id = client.call(CREATE_CHAT, None)
    client.say(frames.rst_stream(stream_id, frames.CANCEL))
    second = client.call(CREATE_CHAT, request("yes"))

    assert second == (await client.next(frames.HEADERS))[2]
    assert 0 == echo.cancelled


async def test_a_client_that_hangs_up_cancels_its_calls(listen: str, echo: Echo) -> None:
    """Without a word of goodbye."""
    async with BareClient.connected(listen) as client:
        for _ in range(3):
            client.call(CREATE_CHAT, request("wait"))
        await eventually(lambda: 3 == echo.inside, "all are inside")

    await eventually(lambda: (0, 3) == (echo.inside, echo.cancelled), "all were cancelled")
