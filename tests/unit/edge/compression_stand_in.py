"""The compression service behind the contract's client, without its process: the real compressor."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from meshgate_chassis.config.model import CompressionConfig
from meshgate_chassis.errors import MeshError
from meshgate_compression.conversation import compress_conversation
from meshgate_compression.convert import messages_from_proto, messages_to_proto, policy_from_proto
from meshgate_compression.policy import Policy
from meshgate_compression.tokens import O200K, Tokenizers
from meshgate_edge.call import CallInfo, CallOptions, ChatCall, CompressionOptions, Principal
from meshgate_edge.call_run import CallRun
from meshgate_edge.compression.step import CompressionStep
from meshgate_protos.chat.v1 import chat_pb2 as chat
from meshgate_protos.compression.v1 import compression_service_pb2 as pb
from meshgate_protos.compression.v1.compression_service_mesh import CompressionServiceClient
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb
from meshgate_protos.rpc import Request, Response, StreamCall, StreamMethod, UnaryCall, UnaryMethod
from tests.support.clock import ManualClock

NOTHING_ASKED = CompressionOptions()
COUNT = Tokenizers().count(O200K)


@dataclass
class CompressionStandIn:
    """Implements meshgate_protos.rpc.Channel. `failure`: raised instead of an answer."""

    asked: list[pb.CompressPromptRequest] = field(default_factory=list)
    failure: MeshError | None = None

    def unary(self, method: UnaryMethod[Request, Response]) -> UnaryCall[Request, Response]:
        async def call(
            request: Any, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
        ) -> Any:
            assert timeout_s is not None, "every call has a deadline"
            self.asked.append(request)
            if self.failure is not None:
                raise self.failure
            return compressed(request)

        return call

    def stream(self, method: StreamMethod[Request, Response]) -> StreamCall[Request, Response]:
        raise NotImplementedError


def compressed(request: pb.CompressPromptRequest) -> pb.CompressPromptResponse:
    """What the service answers."""
    policy = policy_from_proto(request.policy, Policy(min_tokens=0))
    policy = replace(policy, untouched_messages=request.untouched_message_count)
    given = messages_from_proto(request.messages)
    outcome = compress_conversation(given, policy, request.policy.compressor or "extractive", COUNT)
    return pb.CompressPromptResponse(
        messages=messages_to_proto(request.messages, outcome.messages) if outcome.messages else (),
        compressed=bool(outcome.messages),
        original_tokens=outcome.tokens_before,
        compressed_tokens=outcome.tokens_after,
        reason=outcome.reason.value,
        compressor=request.policy.compressor or "extractive",
        original_message_tokens=outcome.message_tokens_before,
        compressed_message_tokens=outcome.message_tokens_after,
    )


class Gateway:
    """The edge's compression step, and calls to put through it."""

    def __init__(self, price: ledger_pb.PromptPrice | None = None, **config: Any) -> None:
        self.service = CompressionStandIn()
        self.clock = ManualClock()
        settings = CompressionConfig(**({"enabled": True, "min_tokens": 0} | config))
        self.step = CompressionStep(CompressionServiceClient(self.service), settings, 0.5, self.clock)
        self.price = price
        self.last: CallRun

    async def send(
        self, messages: list[chat.Message], asked: CompressionOptions = NOTHING_ASKED, tools: int = 0
    ) -> list[chat.Message]:
        """The messages as they go on to the provider. `tools`: tokens of the prompt besides its messages."""
        request = chat.ChatRequest(model="m", messages=messages)
        call = ChatCall("id", Principal("open"), request, CallOptions(compression=asked))
        tokens = sum(COUNT(m.text) for m in messages) + tools
        self.last = CallRun(call, CallInfo("id", "m"), tokens, 0, 0.0, ledger_pb.Account(), self.price)
        return list((await self.step.compress(self.last, request)).messages)

    @property
    def result(self) -> str:
        """What became of the last prompt."""
        return self.last.info.compression
