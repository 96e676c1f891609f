"""Compression's part of the pipeline: a shorter prompt when it is asked for, else the prompt as it is.

On by request, else by key (metadata.compression), else by model, else by the configuration. Any failure
means uncompressed; a prompt is never half compressed.
"""

from dataclasses import replace

import structlog

from meshgate_chassis.chat.json import loads
from meshgate_chassis.config.model import CompressionConfig
from meshgate_chassis.errors import MeshError
from meshgate_edge.call import CompressionOptions
from meshgate_edge.call_run import CallRun
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.compression.v1 import compression_service_pb2 as pb
from meshgate_protos.compression.v1.compression_service_mesh import CompressionServiceClient

log = structlog.get_logger("meshgate.edge.compression")


class CompressionStep:
    """Compresses the prompts of calls that want it."""

    def __init__(
        self, compression: CompressionServiceClient, config: CompressionConfig, timeout_s: float
    ) -> None:
        self._compression = compression
        self._config = config
        self._timeout_s = timeout_s

    async def compress(self, run: CallRun, request: chat_pb.ChatRequest) -> chat_pb.ChatRequest:
        """The request to send on: a new one with shorter messages, or the same object."""
        options = decide(run.call.options.compression, run.account.metadata_json, self._config, request.model)
        if not options.enabled or run.prompt_tokens < self._minimum(options):
            return request
        try:
            answer = await self._compression.compress_prompt(
                pb.CompressPromptRequest(
                    request_id=run.call.call_id,
                    model=request.model,
                    messages=request.messages,
                    policy=_policy(options),
                ),
                timeout_s=self._timeout_s,
            )
        except MeshError as error:
            log.info("prompt not compressed", error=error.reason)
            return request
        if not answer.compressed or len(answer.messages) != len(request.messages):
            return request
        run.info.original_prompt_tokens = answer.original_tokens
        run.info.compressed_prompt_tokens = answer.compressed_tokens
        run.prompt_tokens = max(0, run.prompt_tokens - (answer.original_tokens - answer.compressed_tokens))
        shorter = chat_pb.ChatRequest()
        shorter.CopyFrom(request)
        del shorter.messages[:]
        shorter.messages.extend(answer.messages)
        return shorter

    def _minimum(self, options: CompressionOptions) -> int:
        return self._config.min_tokens if options.min_tokens is None else options.min_tokens


def decide(
    asked: CompressionOptions, key_metadata_json: str, config: CompressionConfig, model: str
) -> CompressionOptions:
    """The options in force, with `enabled` decided: request, then key, then model, then configuration."""
    if asked.enabled is not None:
        return asked
    by_key = _of_key(key_metadata_json)
    if by_key is not None:
        return CompressionOptions(
            enabled=by_key.enabled,
            target_ratio=by_key.target_ratio if asked.target_ratio is None else asked.target_ratio,
            min_tokens=by_key.min_tokens if asked.min_tokens is None else asked.min_tokens,
            compressor=asked.compressor or by_key.compressor,
            rag=by_key.rag if asked.rag is None else asked.rag,
        )
    return replace(asked, enabled=config.enabled or model in config.models)


def _of_key(metadata_json: str) -> CompressionOptions | None:
    """What the key's metadata says: `{"compression": true}` or an object with our option names."""
    if '"compression"' not in metadata_json:
        return None
    metadata = loads(metadata_json)
    said = metadata.get("compression") if isinstance(metadata, dict) else None
    if isinstance(said, bool):
        return CompressionOptions(enabled=said)
    if not isinstance(said, dict):
        return None
    ratio, minimum = said.get("target_ratio"), said.get("min_tokens")
    compressor, rag = said.get("compressor"), said.get("rag")
    return CompressionOptions(
        enabled=said.get("enabled") is not False,
        target_ratio=float(ratio) if isinstance(ratio, int | float) else None,
        min_tokens=minimum if isinstance(minimum, int) else None,
        compressor=compressor if isinstance(compressor, str) else "",
        rag=rag if isinstance(rag, bool) else None,
    )


def _policy(options: CompressionOptions) -> pb.Policy:
    policy = pb.Policy(compressor=options.compressor)
    if options.target_ratio is not None:
        policy.target_ratio = options.target_ratio
    if options.min_tokens is not None:
        policy.min_tokens = options.min_tokens
    if options.rag is not None:
        policy.rag = options.rag
    return policy
