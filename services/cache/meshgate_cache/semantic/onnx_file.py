"""A sentence transformer's ONNX file, rewritten for ONNX Runtime, its weights left in the file.

What is handed over is the graph, some kilobytes; large weights are told by their place in the file, which
ONNX Runtime maps: so there is one copy of them at most, a table is read where it is looked up, and processes
share what they have read.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from meshgate_cache.semantic.fused_model import PACKAGED_SHA256, fuse
from meshgate_cache.semantic.integer_model import use_integer_products
from meshgate_cache.semantic.onnx_messages import EXTERNAL, message_types

LEFT_BYTES_MIN: Final = 16 * 1024  # smaller ones are not worth a mapping


@dataclass(frozen=True, slots=True)
class Prepared:
    """`graph`: a serialised model whose weights are in a file, in the folder of the one that was read."""

    graph: bytes
    sha256: str


def prepared(path: Path) -> Prepared:
    """Raises google.protobuf.message.DecodeError for what is no ONNX file, OSError."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    model = message_types()["Model"].FromString(content)
    if digest == PACKAGED_SHA256:
        fuse(model)
    use_integer_products(model)
    _leave_weights(model.graph, content, path.name)
    return Prepared(model.SerializeToString(), digest)


def _leave_weights(graph: Any, content: bytes, file: str) -> None:
    """They are in the file in the order of the graph."""
    start = 0
    for tensor in graph.initializer:
        size = len(tensor.raw_data)
        at = content.find(tensor.raw_data, start) if size >= LEFT_BYTES_MIN else -1
        if at < 0:
            continue
        start = at + size
        for key, value in (("location", file), ("offset", str(at)), ("length", str(size))):
            tensor.external_data.add(key=key, value=value)
        tensor.data_location = EXTERNAL
        tensor.ClearField("raw_data")
