"""Requests that mean the same have one canonical form; all others have another."""

from collections.abc import Callable, Iterator

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from meshgate_cache.canonical_chat import IGNORED_MEMBERS, canonical_chat
from meshgate_cache.canonical_json import canonical_json, canonical_members, has_a_value
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from tests.unit.cache.chat_requests import full_chat, text

Path = tuple[str, ...]


def scalar_places(message: Message, path: Path = ()) -> Iterator[tuple[Path, Message, FieldDescriptor, int]]:
    """Every set scalar of a message tree: its path, its owner, its field and its index in a list."""
    for field, value in message.ListFields():
        items = list(value) if field.is_repeated else [value]
        for index, item in enumerate(items):
            here = (*path, f"{field.name}[{index}]" if field.is_repeated else field.name)
            if isinstance(item, Message):
                yield from scalar_places(item, here)
            else:
                yield here, message, field, index


def changed(value: object) -> object:
    """Another value of the same kind; of JSON text, another JSON text."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, bytes):
        return text({"b": 1})
    return f"{value}!"


PATHS = [path for path, *_ in scalar_places(full_chat())]


def test_the_full_request_has_a_value_in_every_field_of_its_messages() -> None:
    """So the tests below see each field of the contract, and a new one fails here until it is added."""
    seen = {(owner.DESCRIPTOR.name, field.name) for _, owner, field, _ in scalar_places(full_chat())}
    choice = {("ToolChoice", "mode"), ("ToolChoice", "function")}  # the other cases of one oneof
    missing = []
    pending = [chat_pb.ChatRequest.DESCRIPTOR]
    while pending:
        descriptor = pending.pop()
        for field in descriptor.fields:
            if field.message_type is not None:
                pending.append(field.message_type)
            elif (descriptor.name, field.name) not in seen | choice:
                missing.append(f"{descriptor.name}.{field.name}")

    assert [] == missing


def test_the_order_of_members_never_matters() -> None:
    """In no JSON field of the whole tree."""
    assert full_chat() != full_chat(reverse=True)
    assert canonical_chat(full_chat()) == canonical_chat(full_chat(reverse=True))


@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_any_changed_value_changes_the_form(path: Path) -> None:
    """Each single field counts, but for the two that say how the answer is delivered."""
    chat = full_chat()
    _, owner, field, index = next(place for place in scalar_places(chat) if place[0] == path)
    if field.is_repeated:
        getattr(owner, field.name)[index] = changed(getattr(owner, field.name)[index])
    else:
        setattr(owner, field.name, changed(getattr(owner, field.name)))
    delivery = path[0] in ("stream", "stream_options_json")

    assert delivery == (canonical_chat(full_chat()) == canonical_chat(chat))


@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_any_missing_value_changes_the_form(path: Path) -> None:
    """Absent is not the same as any value."""
    chat = full_chat()
    _, owner, field, _ = next(place for place in scalar_places(chat) if place[0] == path)
    owner.ClearField(field.name)
    delivery = path[0] in ("stream", "stream_options_json")

    assert delivery == (canonical_chat(full_chat()) == canonical_chat(chat))


CHANGES: dict[str, Callable[[chat_pb.ChatRequest], object]] = {
    "a message less": lambda chat: chat.messages.pop(),
    "a message more": lambda chat: chat.messages.add(role="user", text=""),
    "messages swapped": lambda chat: chat.messages.insert(0, chat.messages.pop(1)),
    "a tool less": lambda chat: chat.tools.pop(),
    "tools swapped": lambda chat: chat.tools.insert(0, chat.tools.pop(1)),
    "a part less": lambda chat: chat.messages[1].parts.parts.pop(),
    "a zero temperature": lambda chat: setattr(chat, "temperature", 0.0),
    "an empty text": lambda chat: setattr(chat.messages[0], "text", ""),
    "a tool by name": lambda chat: setattr(chat.tool_choice, "function", "f"),
    "a mode": lambda chat: setattr(chat.tool_choice, "mode", "auto"),
    "a member unknown to this version": lambda chat: chat.MergeFromString(b"\xfa\x3e\x01x"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_structure_counts(name: str) -> None:
    """Order and number of messages, parts and tools, zero against absent, and fields of a newer contract."""
    chat = full_chat()
    CHANGES[name](chat)

    assert canonical_chat(full_chat()) != canonical_chat(chat)


def test_members_that_steer_the_gateway_do_not_count() -> None:
    """A request that asks for a fresh answer must replace the old one, so it has the same key."""
    plain = chat_pb.ChatRequest(model="m", extra_json=text({"k": 1}))
    for name in sorted(IGNORED_MEMBERS):
        steering = chat_pb.ChatRequest(model="m", extra_json=text({"k": 1, name: {"no-cache": True}}))
        assert canonical_chat(plain) == canonical_chat(steering)
        nothing_else = chat_pb.ChatRequest(model="m", extra_json=text({name: None}))
        assert canonical_chat(chat_pb.ChatRequest(model="m")) == canonical_chat(nothing_else)


def test_the_request_is_left_as_it_was() -> None:
    """The caller's message is not touched."""
    chat = full_chat(reverse=True)
    canonical_chat(chat)

    assert full_chat(reverse=True) == chat


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"1", b"1.0"),
        (b"1", b"true"),
        (b"1", b'"1"'),
        (b"null", b"{}"),
        (b"[1,2]", b"[2,1]"),
        (b"123456789012345678901234567890", b"123456789012345678901234567891"),
        (b'{"a":null}', b'{"b":null}'),
        (b"1e400", b"1e401"),
        (b"not json", b"not json "),
        (b'"\xff"', b'"\xfe"'),
        (b"[" * 100_000, b"[" * 100_001),
    ],
)
def test_different_json_stays_different(first: bytes, second: bytes) -> None:
    """Also what cannot be read: it stands for itself."""
    assert canonical_json(first) != canonical_json(second)
    assert canonical_members(first) != canonical_members(second)


def test_what_is_no_json_is_not_taken_for_json() -> None:
    """Its form is no JSON text either, so nothing else has it."""
    assert canonical_json(b"{a:1}").startswith(b"\x00")


@pytest.mark.parametrize(
    ("members", "expected"),
    [(b"{}", False), (b'{"a":null,"b":[],"c":""}', False), (b'{"a":{"id":1}}', True), (b"x", True)],
)
def test_a_value_is_seen(members: bytes, expected: bool) -> None:
    """Members without a value say nothing; text that is no object is taken as something."""
    assert expected == has_a_value(members)
