"""An ONNX model with integer weights, rewritten to multiply integers. Pure.

The packaged model keeps its weights as int8 and turns them into float32 before use: correct, but it takes
the memory and the time of a float model. Here its multiplications become ONNX Runtime's integer ones, with
the activations quantised as they come: a third of the time, less than half of the memory.

Invariants: weights and scales are the packaged ones, bit by bit; what does not have the expected form stays
as it is.
"""

from collections.abc import Iterable
from typing import Any

from meshgate_cache.semantic.onnx_messages import FLOAT32, node, replace_nodes


def use_integer_products(model: Any) -> None:
    """Of an onnx_messages.Model: MatMuls by int8 weights, and Gathers of them, work on the integers."""
    graph = model.graph
    rewriting = _Rewriting(graph)
    replace_nodes(graph, [made for each in graph.node for made in rewriting.of(each)])


class _Rewriting:
    """One graph on its way. A weight is Mul(Cast(integers), scale), both initializers."""

    def __init__(self, graph: Any) -> None:
        self._dims = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        casts = {
            node.output[0]: node.input[0]
            for node in graph.node
            if node.op_type == "Cast" and node.input[0] in self._dims
        }
        self._weights = {
            node.output[0]: (casts[node.input[0]], node.input[1])
            for node in graph.node
            if node.op_type == "Mul" and node.input[0] in casts and node.input[1] in self._dims
        }
        self._quantised: set[str] = set()

    def of(self, each: Any) -> Iterable[Any]:
        """What stands for a node."""
        if each.op_type == "MatMul" and each.input[1] in self._weights:
            return self._product(each.input[0], *self._weights[each.input[1]], each.output[0])
        if each.op_type == "Gather" and each.input[0] in self._weights:
            return self._lookup(each.input[1], *self._weights[each.input[0]], each.output[0])
        return (each,)

    def _product(self, data: str, weight: str, scale: str, name: str) -> Iterable[Any]:
        """MatMul(x, w) = Cast(MatMulInteger(q(x), w)) * (scale of x * scale of w)."""
        values, values_scale, zero = f"{data}_u8", f"{data}_u8_scale", f"{data}_u8_zero"
        if data not in self._quantised:
            self._quantised.add(data)
            yield node("DynamicQuantizeLinear", (data,), (values, values_scale, zero))
        yield node("MatMulInteger", (values, weight, zero), (f"{name}_i32",))
        yield node("Cast", (f"{name}_i32",), (f"{name}_f32",), to=FLOAT32)
        yield node("Mul", (values_scale, scale), (f"{name}_scale",))
        yield node("Mul", (f"{name}_f32", f"{name}_scale"), (name,))

    def _lookup(self, rows: str, weight: str, scale: str, name: str) -> Iterable[Any]:
        """Rows of integers, each with its own scale where there is one for each."""
        row_scale = scale
        if self._dims[scale] == (self._dims[weight][0], 1):
            row_scale = f"{name}_scale"
            yield node("Gather", (scale, rows), (row_scale,))
        yield node("Gather", (weight, rows), (f"{name}_i8",))
        yield node("Cast", (f"{name}_i8",), (f"{name}_f32",), to=FLOAT32)
        yield node("Mul", (f"{name}_f32", row_scale), (name,))
