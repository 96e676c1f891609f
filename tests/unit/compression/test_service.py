"""The whole service over real gRPC, built by its own composition root."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config.model import CompressionConfig, GatewayConfig
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc import Identity
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.runtime import Runtime
from meshgate_chassis.telemetry import Telemetry
from meshgate_compression.app import compression_service
from meshgate_compression.settings import CompressionSettings
from meshgate_protos.chat.v1 import chat_pb2 as chat
from meshgate_protos.compression.v1 import compression_service_pb2 as pb
from meshgate_protos.compression.v1.compression_service_mesh import CompressionServiceClient
from tests.unit.compression.passages import document

SECRET = b"a secret of the mesh, for tests"
TIMEOUT_S = 20.0
PROMPT = [
    chat.Message(role="system", text="Be brief."),
    chat.Message(role="user", text=f"<context>{document()}</context>\nWho paid for the lighthouse?"),
]


@dataclass(frozen=True, slots=True)
class Subject:
    """A running service and its client."""

    client: CompressionServiceClient
    registry: CollectorRegistry

    async def compress(self, messages: list[chat.Message], **policy: object) -> pb.CompressPromptResponse:
        request = pb.CompressPromptRequest(model="gpt-4o", messages=messages, policy=pb.Policy(**policy))
        return await self.client.compress_prompt(request, timeout_s=TIMEOUT_S)

    def prompts(self, result: str) -> float | None:
        return self.registry.get_sample_value("meshgate_compression_prompts_total", {"result": result})


@pytest.fixture
async def subject(tmp_path: Path) -> AsyncIterator[Subject]:
    """One service with one worker and a limit of 20,000 characters."""
    registry = CollectorRegistry()
    runtime = Runtime(
        service="compression",
        config=GatewayConfig(compression=CompressionConfig(min_tokens=100)),
        clock=SystemClock(),
        telemetry=Telemetry(None),
        registry=registry,
        rpc_metrics=RpcMetrics(registry),
        identity=Identity("compression", SECRET),
    )
    settings = CompressionSettings(
        listen=f"unix:{tmp_path}/s",
        workers=1,
        prompt_chars_max=20_000,
        MESHGATE_MESH_SECRET=SECRET.decode(),
        MESHGATE_DRAIN_GRACE_S=0.2,
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(compression_service(settings, runtime))
        edge = replace(runtime, service="edge", identity=Identity("edge", SECRET))
        channel = edge.channel("compression", settings.listen)
        stack.push_async_callback(channel.close)
        yield Subject(CompressionServiceClient(channel), registry)


async def test_a_prompt_comes_back_shorter(subject: Subject) -> None:
    """To the ratio of retrieved context, with the system prompt and the question as they were."""
    answer = await subject.compress(PROMPT)

    assert answer.compressed
    assert "extractive" == answer.compressor
    assert 0.3 < answer.compressed_tokens / answer.original_tokens < 0.37
    assert PROMPT[0] == answer.messages[0]
    assert answer.messages[1].text.endswith("</context>\nWho paid for the lighthouse?")
    assert "Oskar Lindlighthouse paid for the lighthouse" in answer.messages[1].text
    assert 1.0 == subject.prompts("compressed")


async def test_a_request_chooses_ratio_minimum_and_compressor(subject: Subject) -> None:
    """Each overrides the configuration; why nothing was done is told."""
    half = await subject.compress(PROMPT, target_ratio=0.5)
    short = await subject.compress(PROMPT, min_tokens=5_000)
    off = await subject.compress(PROMPT, compressor="none")

    assert 0.45 < half.compressed_tokens / half.original_tokens < 0.55
    assert (False, "BELOW_MINIMUM") == (short.compressed, short.reason)
    assert (False, "DISABLED", "none") == (off.compressed, off.reason, off.compressor)
    assert [] == list(off.messages)
    assert off.original_tokens == off.compressed_tokens > 0


@pytest.mark.parametrize(
    ("policy", "field"),
    [({"compressor": "zip"}, "policy.compressor"), ({"target_ratio": 7.0}, "policy.target_ratio")],
)
async def test_a_bad_policy_names_the_field(subject: Subject, policy: dict[str, object], field: str) -> None:
    """INVALID_ARGUMENT/FIELD_INVALID."""
    with pytest.raises(MeshError) as caught:
        await subject.compress(PROMPT, **policy)

    assert (Code.INVALID_ARGUMENT, [field]) == (caught.value.code, list(caught.value.fields))


async def test_a_prompt_beyond_the_limit_is_refused(subject: Subject) -> None:
    """Before it costs anything; the edge sends it uncompressed."""
    with pytest.raises(MeshError) as caught:
        await subject.compress([chat.Message(role="user", text="x" * 20_001)])

    assert (Code.RESOURCE_EXHAUSTED, "PROMPT_TOO_LONG") == (caught.value.code, caught.value.reason)
