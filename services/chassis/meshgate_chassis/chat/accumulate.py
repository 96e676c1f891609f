"""Folds the chunks of a stream into the response the unstreamed call would have given.

Invariants: choices are told apart by their index, tool calls by theirs. A null says nothing once
something was said. Members without a typed field are joined as `merge` says.
"""

from typing import Any, Final

from meshgate_chassis.chat.accumulate_choice import ChoiceAccumulator
from meshgate_chassis.chat.json import JsonObject, loads_object
from meshgate_chassis.chat.response_json import response_from_json
from meshgate_chassis.chat.shape import merged
from meshgate_chassis.errors import Code, MeshError
from meshgate_protos.chat.v1 import chat_pb2 as pb

STREAM_BYTES_MAX: Final = 64 << 20

_FIRST_WINS: Final = frozenset({"system_fingerprint", "service_tier"})

# Members of chunks alone: padding against traffic analysis, and what is folded by itself.
_DROPPED: Final = frozenset({"object", "choices", "usage", "obfuscation", "p"})


class ChunkAccumulator:
    """Add each chunk in order; ask for the response at any time.

    `size_bytes_max` limits the chunks taken in, as protobuf bytes; beyond it `add` raises
    RESOURCE_EXHAUSTED/STREAM_TOO_LARGE and the chunk is not added.
    """

    def __init__(self, size_bytes_max: int = STREAM_BYTES_MAX) -> None:
        self._size_bytes_max = size_bytes_max
        self._size_bytes = 0
        self._id = ""
        self._created = 0
        self._model = ""
        self._extra: JsonObject = {}
        self._extra_json_last = b""
        self._choices: dict[int, ChoiceAccumulator] = {}
        self._last_choice: ChoiceAccumulator | None = None
        self._usage: pb.Usage | None = None

    def add(self, chunk: pb.ChatChunk) -> None:
        """Keeps what the chunk adds. The chunk stays the caller's."""
        self._add_size(chunk)
        self._id = self._id or chunk.id
        self._created = self._created or chunk.created
        self._model = self._model or chunk.model
        for delta in chunk.choices:
            choice = self._choices.get(delta.index)
            if choice is None:
                choice = self._choices[delta.index] = ChoiceAccumulator()
            choice.add(delta)
            self._last_choice = choice
        if chunk.HasField("usage"):
            self._usage = chunk.usage
        extra_json = chunk.extra_json
        if extra_json and extra_json != self._extra_json_last:
            self._extra_json_last = extra_json
            self._add_extra(loads_object(extra_json))

    def add_text(self, chunk: pb.ChatChunk, text: str) -> None:
        """As `add`, of a chunk that differs from the last one in its text alone, and says nothing else that
        would count each time."""
        self._add_size(chunk)
        assert self._last_choice is not None, "it is as the chunk before"
        self._last_choice.add_text(text)

    def response(self) -> pb.ChatResponse:
        """What the chunks so far amount to; no usage when no chunk had any."""
        body: JsonObject = {"id": self._id, "object": "chat.completion"}
        body |= {"created": self._created, "model": self._model}
        # A zero is absence; the extra members may say better what stood there.
        body = {name: value for name, value in body.items() if value}
        body["choices"] = [
            {"index": index, **choice.body()} for index, choice in sorted(self._choices.items())
        ]
        response = response_from_json(merged(body, self._extra))
        if self._usage is not None:
            response.usage.CopyFrom(self._usage)
        return response

    def _add_size(self, chunk: pb.ChatChunk) -> None:
        self._size_bytes += chunk.ByteSize()
        if self._size_bytes > self._size_bytes_max:
            raise MeshError(
                Code.RESOURCE_EXHAUSTED,
                "STREAM_TOO_LARGE",
                f"the streamed answer exceeds {self._size_bytes_max} bytes",
            )

    def _add_extra(self, extra: JsonObject) -> None:
        for name, value in extra.items():
            if name in _DROPPED:
                continue
            held: Any = self._extra.get(name)
            if held is None or (value is not None and name not in _FIRST_WINS):
                self._extra[name] = value
