"""The messages of an ONNX file that are rewritten here, as protobuf classes. Pure.

Only the fields used are declared, of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto: protobuf carries
all others along.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FLOAT32: Final = 1  # TensorProto.DataType
INT32: Final = 6
EXTERNAL: Final = 1  # TensorProto.DataLocation
_INTEGER_ATTRIBUTE: Final = 2  # AttributeProto.AttributeType
_STRING, _BYTES, _MESSAGE, _INT32, _INT64 = 9, 12, 11, 5, 3  # FieldDescriptorProto.Type
_ONE, _MANY = 1, 3  # FieldDescriptorProto.Label
# name, number, type, label
_FIELDS: Final[Mapping[str, tuple[tuple[str, int, int | str, int], ...]]] = {
    "Model": (("graph", 7, "Graph", _ONE), ("opset_import", 8, "Operators", _MANY)),
    "Operators": (("domain", 1, _STRING, _ONE), ("version", 2, _INT64, _ONE)),
    "Graph": (("node", 1, "Node", _MANY), ("initializer", 5, "Tensor", _MANY), ("output", 12, "Info", _MANY)),
    "Node": (
        ("input", 1, _STRING, _MANY),
        ("output", 2, _STRING, _MANY),
        ("op_type", 4, _STRING, _ONE),
        ("attribute", 5, "Attribute", _MANY),
        ("domain", 7, _STRING, _ONE),
    ),
    "Attribute": (("name", 1, _STRING, _ONE), ("i", 3, _INT64, _ONE), ("type", 20, _INT32, _ONE)),
    "Tensor": (
        ("dims", 1, _INT64, _MANY),
        ("name", 8, _STRING, _ONE),
        ("raw_data", 9, _BYTES, _ONE),
        ("external_data", 13, "Entry", _MANY),
        ("data_location", 14, _INT32, _ONE),
    ),
    "Entry": (("key", 1, _STRING, _ONE), ("value", 2, _STRING, _ONE)),
    "Info": (("name", 1, _STRING, _ONE),),
}


@cache
def message_types() -> Mapping[str, Any]:
    """The class of each message."""
    file = descriptor_pb2.FileDescriptorProto(name="onnx_part.proto", package="onnx_part", syntax="proto2")
    for message, fields in _FIELDS.items():
        declared = file.message_type.add(name=message)
        for name, number, kind, label in fields:
            field = declared.field.add(name=name, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = _MESSAGE, f".onnx_part.{kind}"  # type: ignore[assignment]
            else:
                field.type = kind  # type: ignore[assignment]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"onnx_part.{name}"))
        for name in _FIELDS
    }


def node(
    op_type: str, inputs: Iterable[str], outputs: Iterable[str], domain: str = "", **integers: int
) -> Any:
    """A node with integers for attributes."""
    made = message_types()["Node"](input=inputs, output=outputs, op_type=op_type, domain=domain)
    for name, value in integers.items():
        made.attribute.add(name=name, i=value, type=_INTEGER_ATTRIBUTE)
    return made


def replace_nodes(graph: Any, nodes: list[Any]) -> None:
    """Of a graph: those of `nodes` that its results need. Nodes come after what they read."""
    wanted = {info.name for info in graph.output}
    kept = []
    for each in reversed(nodes):
        if not wanted.isdisjoint(each.output):
            wanted.update(each.input)
            kept.append(each)
    copies = message_types()["Graph"](node=kept[::-1])
    del graph.node[:]
    graph.node.extend(copies.node)
