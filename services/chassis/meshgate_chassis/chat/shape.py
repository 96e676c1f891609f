"""The one table-driven converter between a JSON object and a protobuf message.

A Shape says which members of the object have typed fields. Every other member, and every member
whose value does not fit its field, is kept in the message's extra member: nothing is lost.

Invariants: `write(fill(message, body)) == body`, with numbers equal as numbers. When a field and
the extra member both name something, the field wins, so a service may set fields at will.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from meshgate_chassis.chat.json import JsonObject, dumps, loads_object

Reader = Callable[[Any, Any], bool]
"""(message, value) -> whether the value fit; when it did not, the message is untouched."""

Writer = Callable[[JsonObject, Any], None]
"""(body, field value) -> sets the member or members the field stands for."""

_INTEGER_EXACT_IN_DOUBLE_MAX: Final = 2**53


@dataclass(frozen=True, slots=True)
class Shape:
    """How one kind of JSON object maps to one message.

    `scalars`: members whose field has the same name, with their one Python type.
    `zero_is_absent`: those of them whose field cannot tell its zero from absence; a zero is extra.
    `readers`, `writers`: every other member by its JSON name, every other field by its own name.
    `extra`: the field that holds all that has no other place.
    """

    scalars: Mapping[str, type]
    zero_is_absent: frozenset[str] = frozenset()
    readers: Mapping[str, Reader] = field(default_factory=dict)
    writers: Mapping[str, Writer] = field(default_factory=dict)
    extra: str = "extra_json"

    def holding(
        self, *, objects: Mapping[str, "Shape"] | None = None, lists: Mapping[str, "Shape"] | None = None
    ) -> Self:
        """The same with members that are objects, or lists of objects, in fields of the same name."""
        readers, writers = dict(self.readers), dict(self.writers)
        for name, shape in (objects or {}).items():
            readers[name], writers[name] = _read_object(name, shape), _write_object(name, shape)
        for name, shape in (lists or {}).items():
            readers[name], writers[name] = _read_objects(name, shape), _write_objects(name, shape)
        return replace(self, readers=readers, writers=writers)

    def fill(self, message: Any, body: JsonObject) -> None:
        """Sets the fields of an empty message. Raises only what `dumps` raises."""
        extra: JsonObject = {}
        for name, value in body.items():
            kind = self.scalars.get(name)
            if kind is None:
                reader = self.readers.get(name)
                if reader is None or not reader(message, value):
                    extra[name] = value
            elif type(value) is not kind or not (value or name not in self.zero_is_absent):
                extra[name] = value
            else:
                try:
                    setattr(message, name, value)
                except ValueError:  # An integer of more than 64 bits.
                    extra[name] = value
        if extra:
            setattr(message, self.extra, dumps(extra))

    def write(self, message: Any) -> JsonObject:
        """The JSON object the message stands for. Raises what `loads_object` raises."""
        body: JsonObject = {}
        extra: JsonObject = {}
        for descriptor, value in message.ListFields():
            name = descriptor.name
            if name in self.scalars:
                body[name] = value
            elif name == self.extra:
                extra = loads_object(value)
            else:
                self.writers[name](body, value)
        return merged(body, extra)


def merged(body: JsonObject, extra: JsonObject) -> JsonObject:
    """Both, members of `body` first; where both have a member, that of `body`."""
    if not extra:
        return body
    both = body | extra
    if len(both) != len(body) + len(extra):
        both |= body
    return both


def _read_object(name: str, shape: Shape) -> Reader:
    """A member that is an object with a shape of its own."""

    def read(message: Any, value: Any) -> bool:
        if type(value) is not dict:
            return False
        child = getattr(message, name)
        child.SetInParent()
        shape.fill(child, value)
        return True

    return read


def _write_object(name: str, shape: Shape) -> Writer:
    """The inverse of `_read_object`."""

    def write(body: JsonObject, value: Any) -> None:
        body[name] = shape.write(value)

    return write


def _read_objects(name: str, shape: Shape) -> Reader:
    """A member that is a list of such objects. An empty list does not fit: it would be lost."""

    def read(message: Any, value: Any) -> bool:
        if type(value) is not list or not value:
            return False
        for item in value:
            if type(item) is not dict:
                return False
        children = getattr(message, name)
        for item in value:
            shape.fill(children.add(), item)
        return True

    return read


def _write_objects(name: str, shape: Shape) -> Writer:
    """The inverse of `_read_objects`."""

    def write(body: JsonObject, value: Any) -> None:
        body[name] = [shape.write(item) for item in value]

    return write


def read_number(name: str) -> Reader:
    """A member that is any number which a double holds exactly."""

    def read(message: Any, value: Any) -> bool:
        kind = type(value)
        if kind is not float and (kind is not int or abs(value) > _INTEGER_EXACT_IN_DOUBLE_MAX):
            return False
        setattr(message, name, value)
        return True

    return read


def write_as(name: str) -> Writer:
    """The field's value as it is."""

    def write(body: JsonObject, value: Any) -> None:
        body[name] = value

    return write


def read_raw_object(field_name: str) -> Reader:
    """A member that is any object, kept as JSON text in a field."""

    def read(message: Any, value: Any) -> bool:
        if type(value) is not dict:
            return False
        setattr(message, field_name, dumps(value))
        return True

    return read


def write_raw_object(name: str) -> Writer:
    """The inverse of `read_raw_object`."""

    def write(body: JsonObject, value: Any) -> None:
        body[name] = loads_object(value)

    return write
