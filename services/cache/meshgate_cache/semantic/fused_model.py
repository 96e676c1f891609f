"""The packaged sentence transformer with one node for each attention and each GELU. Pure.

As it is exported, its attention is 26 small nodes a layer, which for a question of ten words take as long as
half of its products. ONNX Runtime's own fusions do not know this form of export. The numbers are the same but
for the order of summation.

Only for the very file that it was written for: whether a mask is one of padding only cannot be seen from the
form of a graph. Any other model stays as it is.
"""

from collections.abc import Iterator
from typing import Any, Final

from meshgate_cache.semantic.onnx_messages import INT32, node, replace_nodes

PACKAGED_SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
HEADS: Final = 12
_DOMAIN: Final = "com.microsoft"
_MASK: Final = "attention_mask"
_MASK_INT32: Final = "attention_mask_int32"
_LAYER: Final = "inner.encoder.layer."
_QUERY, _KEY, _VALUE = (f".attention.self.{part}.bias" for part in ("query", "key", "value"))
_AFTER: Final = ".attention.output.dense.bias"


def fuse(model: Any) -> None:
    """Of an onnx_messages.Model that is the packaged one."""
    graph = model.graph
    made = dict(_attentions(graph)) | dict(_gelus(graph))
    mask = node("Cast", (_MASK,), (_MASK_INT32,), to=INT32)
    nodes = [mask, *(made.get(each.output[0], each) for each in graph.node)]
    replace_nodes(graph, nodes)
    model.opset_import.add(domain=_DOMAIN, version=1)


def _attentions(graph: Any) -> Iterator[tuple[str, Any]]:
    """Name of a result, and the node that makes it of the projected queries, keys and values."""
    made_by = {name: each for each in graph.node for name in each.output}
    biased = {each.input[1]: each for each in graph.node if each.op_type == "Add" and _is_bias(each.input[1])}
    for name in biased:
        if not name.endswith(_QUERY):
            continue
        layer = name.removesuffix(_QUERY)
        projected = [biased[f"{layer}{part}"].output[0] for part in (_QUERY, _KEY, _VALUE)]
        product = made_by[biased[f"{layer}{_AFTER}"].input[0]]
        result = product.input[0]
        inputs = (*projected, "", _MASK_INT32)
        yield result, node("MultiHeadAttention", inputs, (result,), _DOMAIN, num_heads=HEADS)


def _is_bias(name: str) -> bool:
    return name.startswith(_LAYER) and name.endswith((_QUERY, _KEY, _VALUE, _AFTER))


def _gelus(graph: Any) -> Iterator[tuple[str, Any]]:
    """GELU(x) = x * (0.5 * (1 + Erf(x / sqrt(2))))."""
    made_by = {name: each for each in graph.node for name in each.output}
    reader = {name: each for each in graph.node for name in each.input}
    for each in graph.node:
        if each.op_type == "Erf":
            data = made_by[each.input[0]].input[0]
            half = reader[reader[each.output[0]].output[0]]
            result = reader[half.output[0]].output[0]
            yield result, node("Gelu", (data,), (result,), _DOMAIN)
