"""Whether and how to compress a call's prompt: by request, else by key, by model, by configuration.

Pure. Each member is decided for itself: a request that only says `target_ratio` takes the rest from its key.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

from meshgate_chassis.chat.json import loads
from meshgate_chassis.config.model import CompressionConfig
from meshgate_edge.call import CompressionOptions
from meshgate_protos.compression.v1 import compression_service_pb2 as pb

NUMBER_MAX: Final = 10**9  # of anything a key or the configuration says
_MEMBERS: Final = tuple(field.name for field in fields(CompressionOptions))
_KINDS: Final[dict[str, type | tuple[type, ...]]] = {
    "target_ratio": (int, float),
    "rag_target_ratio": (int, float),
    "min_tokens": int,
    "compressor": str,
}


@dataclass(frozen=True, slots=True)
class CompressionPolicy:
    """What is in force for one call. `policy`: for the service, which knows the configuration itself."""

    enabled: bool
    min_tokens: int
    guard: bool
    policy: pb.Policy


def decide(
    asked: CompressionOptions, key_metadata_json: str, config: CompressionConfig, model: str
) -> CompressionPolicy:
    """The policy in force. `key_metadata_json`: of the key, may be empty."""
    layers = (asked, of_key(key_metadata_json), config.models.get(model))
    said: dict[str, Any] = {}
    for layer in layers:
        for name in _MEMBERS:
            value = getattr(layer, name, None)
            if value is not None:
                said.setdefault(name, value)
    if "min_tokens" in said:
        said["min_tokens"] = min(said["min_tokens"], NUMBER_MAX)
    told = ("target_ratio", "rag_target_ratio", "min_tokens", "compressor", "rag", "allow_system")
    return CompressionPolicy(
        enabled=said.get("enabled", config.enabled),
        min_tokens=said.get("min_tokens", config.min_tokens),
        guard=said.get("guard", config.guard),
        policy=pb.Policy(**{name: said[name] for name in told if name in said}),
    )


def of_key(metadata_json: str) -> CompressionOptions:
    """What the key's metadata says: `{"compression": true}`, or an object like the request's.

    Members of a wrong kind say nothing: whoever made the key is not here to be told.
    """
    if '"compression"' not in metadata_json:
        return CompressionOptions()
    metadata = loads(metadata_json)
    said = metadata.get("compression") if isinstance(metadata, dict) else None
    if isinstance(said, bool):
        return CompressionOptions(enabled=said)
    if not isinstance(said, dict):
        return CompressionOptions()
    known = {name: said[name] for name in _MEMBERS if _is_of_kind(name, said.get(name))}
    return CompressionOptions(**{"enabled": True} | known)


def _is_of_kind(name: str, value: object) -> bool:
    kind = _KINDS.get(name, bool)
    if isinstance(value, int | float) and not isinstance(value, bool) and not 0 <= value <= NUMBER_MAX:
        return False
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
