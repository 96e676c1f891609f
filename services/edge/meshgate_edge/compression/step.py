"""Compression's part of the pipeline: a shorter prompt when it is asked for and pays, else the same.

Any failure means uncompressed; a prompt is never half compressed. The one error is a compressor that the
request names and nobody has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from opentelemetry import trace

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import CompressionConfig
from meshgate_chassis.errors import MeshError, invalid_field
from meshgate_edge.call_run import CallRun
from meshgate_edge.circuit import Circuit
from meshgate_edge.compression.guard import UNPRICED, Measured, TokenPrices, saving
from meshgate_edge.compression.policy import CompressionPolicy, decide
from meshgate_edge.compression.prompt_memory import Mark, Outlook, PromptMemory, marks_of
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.compression.v1 import compression_service_pb2 as pb
from meshgate_protos.compression.v1.compression_service_mesh import CompressionServiceClient
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb

log = structlog.get_logger("meshgate.edge.compression")

FRESH_CHARACTERS_MIN: Final = 400  # the compressors leave shorter texts alone

COMPRESSED: Final = "compressed"
BELOW_MINIMUM: Final = "below_minimum"
PREFIX_CACHED: Final = "prefix_cached"  # what could be shortened is in the provider's cache as it is
NO_SAVING: Final = "no_saving"  # compressed it would be expected to cost more
LEFT_OUT: Final = "service_left_out"  # the service did not answer lately


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one prompt is to be compressed. `marks`: empty when the guard is off."""

    policy: CompressionPolicy
    outlook: Outlook
    prices: TokenPrices
    marks: list[Mark]


class CompressionStep:
    """Compresses the prompts of calls that want it."""

    def __init__(
        self, compression: CompressionServiceClient, config: CompressionConfig, timeout_s: float, clock: Clock
    ) -> None:
        self._compression = compression
        self._config = config
        self._timeout_s = timeout_s
        self._clock = clock
        self._memory = PromptMemory()
        self._circuit = Circuit("compression", clock)

    async def compress(self, run: CallRun, request: chat_pb.ChatRequest) -> chat_pb.ChatRequest:
        """The request to send on: a new one with shorter messages, or the same object.

        Raises INVALID_ARGUMENT/FIELD_INVALID for a compressor that is not at hand.
        """
        options = run.call.options.compression
        policy = decide(options, run.account.metadata_json, self._config, request.model)
        if not policy.enabled:
            return request
        if run.prompt_tokens < policy.min_tokens:
            run.info.compression = BELOW_MINIMUM
            return request
        plan = self._plan(run, request, policy)
        answer = await self._answer(run, request, plan)
        first_touched = None if answer is None else _first_shortened(answer)
        if plan.marks:
            self._memory.remember(plan.marks, first_touched)
        if answer is None:
            return request
        run.info.compression = COMPRESSED
        _note(run, answer)
        shorter = chat_pb.ChatRequest()
        shorter.CopyFrom(request)
        del shorter.messages[:]
        shorter.messages.extend(answer.messages)
        return shorter

    def _plan(self, run: CallRun, request: chat_pb.ChatRequest, policy: CompressionPolicy) -> _Plan:
        prices = prices_of(run.prompt_price)
        if not policy.guard:
            return _Plan(policy, Outlook(), prices, [])
        told = policy.policy.SerializeToString(deterministic=True)
        scope = f"{run.account.tenant_id}\0{request.model}\0{told!r}"
        marks = marks_of(scope, request.messages)
        outlook = self._memory.outlook(marks, request.messages)
        if prices.cached >= prices.input:  # a cache that saves nothing is not worth keeping
            outlook = Outlook()
        return _Plan(policy, outlook, prices, marks)

    async def _answer(
        self, run: CallRun, request: chat_pb.ChatRequest, plan: _Plan
    ) -> pb.CompressPromptResponse | None:
        """The service's answer if it is to be used; notes why not."""
        info = run.info
        if _characters(request.messages[plan.outlook.first_touched :]) < FRESH_CHARACTERS_MIN:
            info.compression = PREFIX_CACHED if plan.outlook.first_touched else BELOW_MINIMUM
            return None
        if not self._circuit.allows():
            info.compression = LEFT_OUT
            return None
        asked_s = self._clock.monotonic_s()
        try:
            answer = await self._asked(run, request, plan)
        except MeshError as error:
            _refuse_unknown_compressor(run, error)
            log.info("prompt not compressed", error=error.reason)
            info.compression = error.reason.lower()
            return None
        info.compression_duration_s = self._clock.monotonic_s() - asked_s
        if not answer.compressed or len(answer.messages) != len(request.messages):
            info.compression = answer.reason.lower() or "answer_unusable"
            return None
        if plan.policy.guard and _saving(run, answer, plan) <= 0:
            info.compression = NO_SAVING
            return None
        return answer

    async def _asked(
        self, run: CallRun, request: chat_pb.ChatRequest, plan: _Plan
    ) -> pb.CompressPromptResponse:
        try:
            answer = await self._compression.compress_prompt(
                pb.CompressPromptRequest(
                    request_id=run.call.call_id,
                    model=request.model,
                    messages=request.messages,
                    policy=plan.policy.policy,
                    untouched_message_count=plan.outlook.first_touched,
                ),
                timeout_s=self._timeout_s,
            )
        except MeshError as error:
            self._circuit.ended(error)
            raise
        self._circuit.ended(None)
        return answer


def prices_of(price: ledger_pb.PromptPrice | None) -> TokenPrices:
    """What the ledger said about the model; shares of work when it said nothing, or that it is free."""
    if price is None or price.input_nanos_per_mtok == 0:
        return UNPRICED
    cached = price.cache_read_nanos_per_mtok if price.HasField("cache_read_nanos_per_mtok") else None
    return TokenPrices(price.input_nanos_per_mtok, price.input_nanos_per_mtok if cached is None else cached)


def _saving(run: CallRun, answer: pb.CompressPromptResponse, plan: _Plan) -> int:
    given = answer.original_message_tokens
    fixed = max(0, run.prompt_tokens - sum(given))
    return saving(Measured(given, answer.compressed_message_tokens, fixed), plan.outlook, plan.prices)


def _first_shortened(answer: pb.CompressPromptResponse) -> int:
    pairs = zip(answer.original_message_tokens, answer.compressed_message_tokens, strict=False)
    return next((index for index, (before, after) in enumerate(pairs) if after < before), 0)


def _note(run: CallRun, answer: pb.CompressPromptResponse) -> None:
    """Tells headers, metrics, ledger and trace."""
    run.info.original_prompt_tokens = answer.original_tokens
    run.info.compressed_prompt_tokens = answer.compressed_tokens
    run.prompt_tokens = max(0, run.prompt_tokens - (answer.original_tokens - answer.compressed_tokens))
    span = trace.get_current_span()
    span.set_attribute("meshgate.compression.original_tokens", answer.original_tokens)
    span.set_attribute("meshgate.compression.compressed_tokens", answer.compressed_tokens)
    span.set_attribute("meshgate.compression.compressor", answer.compressor)


def _refuse_unknown_compressor(run: CallRun, error: MeshError) -> None:
    """The client's mistake is told; that of a key or of the configuration is not the client's."""
    if "policy.compressor" in error.fields and run.call.options.compression.compressor is not None:
        message = f"compression.compressor {error.fields['policy.compressor']}"
        raise invalid_field("compression.compressor", message) from error


def _characters(messages: Sequence[chat_pb.Message]) -> int:
    """Of the texts that could be shortened."""
    return sum(
        len(message.text) + sum(len(part.text.text) for part in message.parts.parts) for message in messages
    )
