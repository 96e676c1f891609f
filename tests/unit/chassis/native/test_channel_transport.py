"""Which transport a process has: named by a setting, and the other one is not even imported."""

import subprocess
import sys

import pytest
from pydantic_settings import SettingsConfigDict

from meshgate_chassis.errors import MeshError
from meshgate_chassis.settings import ServiceSettings, load_settings

# A server and a channel that calls it, then what of grpcio was loaded. Contracts come with modules for it.
BOTH_ENDS = """
import asyncio, sys
from prometheus_client import CollectorRegistry
from meshgate_chassis.rpc import Identity, Server, ServerOptions, connect
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient

async def main(target, transport):
    identity, off = Identity("router", b"a secret of the mesh, for tests"), Telemetry(None)
    metrics = RpcMetrics(CollectorRegistry())
    async with Server(ServerOptions(target, identity), off, metrics, transport=transport):
        channel = connect(target, callee="router", identity=identity, telemetry=off, transport=transport)
        RouterServiceClient(channel)
        assert await channel.serving(20.0)
        await channel.close()
    print("grpc" in sys.modules)

asyncio.run(main(*sys.argv[1:]))
"""


class SampleSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="MESHGATE_SAMPLE_")

    listen: str = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHGATE_MESH_SECRET", "0123456789abcdef")


@pytest.mark.parametrize("name", ["native", "grpcio"])
def test_it_is_named_by_a_setting(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The same for every service."""
    assert "native" == load_settings(SampleSettings).rpc_transport

    monkeypatch.setenv("MESHGATE_RPC_TRANSPORT", name)

    assert name == load_settings(SampleSettings).rpc_transport


def test_one_that_nobody_knows_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the names that are known."""
    monkeypatch.setenv("MESHGATE_RPC_TRANSPORT", "carrier-pigeon")

    with pytest.raises(MeshError) as caught:
        load_settings(SampleSettings)

    assert "MESHGATE_RPC_TRANSPORT: Input should be 'native' or 'grpcio'" == caught.value.message


@pytest.mark.parametrize(("transport", "loaded"), [("native", "False"), ("grpcio", "True")])
def test_only_the_one_that_is_used_is_imported(
    tmp_path_factory: pytest.TempPathFactory, transport: str, loaded: str
) -> None:
    """grpcio costs each process its memory."""
    target = f"unix:{tmp_path_factory.mktemp('m')}/s"
    command = [sys.executable, "-c", BOTH_ENDS, target, transport]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)

    assert loaded == told.stdout.splitlines()[-1]
