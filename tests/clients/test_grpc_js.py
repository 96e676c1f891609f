"""gRPC's own npm client against a service on our own transport; node and npm come from a wheel."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from meshgate_protos.router.v1 import router_service_pb2 as pb
from tests.support.npm import NODE, installed
from tests.unit.chassis.native.public_service import SERVICE, serving

PROJECT = Path(__file__).parent / "node_grpc"
CHARACTERS = 300_000


@pytest.fixture(scope="session")
def grpc_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client project, as locked; skips when no package index can be reached."""
    return installed(PROJECT, tmp_path_factory.mktemp("node_grpc"))


async def test_the_npm_client_of_grpc(grpc_project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Large answers, many calls at a time, streams and errors: as from any server of gRPC."""
    listen = f"unix:{tmp_path_factory.mktemp('n')}/s"
    variables = {
        "TARGET": listen,
        "SERVICE": SERVICE,
        "REQUEST": pb.CreateChatRequest(request_id=f"long {CHARACTERS}").SerializeToString().hex(),
        "STREAM_REQUEST": pb.StreamChatRequest(request_id="1000 1000").SerializeToString().hex(),
    }
    async with serving(listen):
        node = await asyncio.create_subprocess_exec(
            NODE,
            "client.mjs",
            cwd=grpc_project,
            env={**os.environ, **variables},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, complaints = await node.communicate()
    assert 0 == node.returncode, complaints.decode()
    heard = json.loads(output)

    assert 0 == heard["unary"]["code"]
    assert CHARACTERS < heard["unary"]["bytes"] < CHARACTERS + 100
    assert [heard["unary"]] * 100 == heard["many"]
    assert (0, 1_000) == (heard["stream"]["code"], heard["stream"]["count"])
    assert 1_000 * 1_000 < heard["stream"]["bytes"]
    assert (12, 13) == (heard["unknown"]["code"], heard["malformed"]["code"])
