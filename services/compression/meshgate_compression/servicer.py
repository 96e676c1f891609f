"""CompressionService over the worker pool: proto in, proto out, nothing decided here."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError, invalid_field
from meshgate_compression.convert import messages_from_proto, messages_to_proto, policy_from_proto
from meshgate_compression.jobs import Job
from meshgate_compression.metrics import CompressionMetrics
from meshgate_compression.policy import Policy
from meshgate_compression.worker import WorkerPool
from meshgate_protos.compression.v1 import compression_service_pb2 as pb
from meshgate_protos.compression.v1.compression_service_mesh import CompressionServiceServicer
from meshgate_protos.rpc import Call


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds when a request says nothing. `compressors`: those at hand. `chars_max`: longer prompts are
    refused."""

    policy: Policy
    compressor: str
    compressors: tuple[str, ...]
    chars_max: int


class CompressionServicer(CompressionServiceServicer):
    """`tokenizer_of`: public model name -> tokenizer name."""

    def __init__(
        self,
        pool: WorkerPool,
        defaults: Defaults,
        tokenizer_of: Callable[[str], str],
        metrics: CompressionMetrics,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._defaults = defaults
        self._tokenizer_of = tokenizer_of
        self._metrics = metrics
        self._clock = clock

    async def compress_prompt(
        self, request: pb.CompressPromptRequest, call: Call
    ) -> pb.CompressPromptResponse:
        job = self._job(request)
        start_s = self._clock.monotonic_s()
        try:
            outcome = await self._pool.run(job, call.remaining_s())
        except MeshError as error:
            self._metrics.failed(error.reason)
            raise
        self._metrics.compressed(outcome, self._clock.monotonic_s() - start_s)
        return pb.CompressPromptResponse(
            messages=messages_to_proto(request.messages, outcome.messages) if outcome.messages else (),
            compressed=bool(outcome.messages),
            original_tokens=outcome.tokens_before,
            compressed_tokens=outcome.tokens_after,
            reason=outcome.reason.value,
            compressor=job.compressor,
            original_message_tokens=outcome.message_tokens_before,
            compressed_message_tokens=outcome.message_tokens_after,
        )

    def _job(self, request: pb.CompressPromptRequest) -> Job:
        compressor = request.policy.compressor or self._defaults.compressor
        if compressor not in self._defaults.compressors:
            known = ", ".join(self._defaults.compressors)
            raise invalid_field("policy.compressor", f"is not one of those at hand: {known}")
        messages = messages_from_proto(request.messages)
        chars = sum(len(part.text or "") for message in messages for part in message.parts)
        if chars > self._defaults.chars_max:
            raise MeshError(
                Code.RESOURCE_EXHAUSTED,
                "PROMPT_TOO_LONG",
                f"prompts of more than {self._defaults.chars_max} characters are not compressed",
            )
        untouched = request.untouched_message_count
        if not 0 <= untouched <= len(messages):
            raise invalid_field("untouched_message_count", f"must be 0 to {len(messages)}")
        policy = policy_from_proto(request.policy, self._defaults.policy)
        return Job(
            messages=messages,
            policy=replace(policy, untouched_messages=untouched),
            compressor=compressor,
            tokenizer=self._tokenizer_of(request.model),
        )
