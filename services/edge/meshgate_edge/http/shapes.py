"""How one kind of endpoint reads its requests and writes its answers: what differs between them."""

from collections.abc import Callable
from typing import Protocol

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.chat.request_json import request_from_json
from meshgate_chassis.chat.response_json import response_to_json
from meshgate_chassis.chat.validate import validate_request
from meshgate_edge.call import Chunks, Completed, Ended
from meshgate_edge.http.sse import ChunkEvents, cost_of, last_events
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb


class Shape(Protocol):
    """One endpoint's JSON; the pipeline behind it only knows conversations."""

    @property
    def call_type(self) -> str:
        """LiteLLM's name, for the ledger."""

    def request(self, body: JsonObject) -> chat_pb.ChatRequest:
        """Raises `invalid_field`."""

    def answer(self, completed: Completed) -> JsonObject:
        """A whole answer."""

    def events(self) -> Callable[[Chunks], bytes]:
        """For one stream: what turns chunks that are ready at the same time into server-sent events."""

    def last(self, ended: Ended, *, include_usage: bool) -> bytes:
        """What follows the last chunk of a whole answer."""


class ChatShape:
    """OpenAI's chat completions."""

    call_type = "acompletion"

    def request(self, body: JsonObject) -> chat_pb.ChatRequest:
        validate_request(body)
        return request_from_json(body)

    def answer(self, completed: Completed) -> JsonObject:
        body = response_to_json(completed.response)
        body.setdefault("object", "chat.completion")
        cost = cost_of(completed.info)
        if cost is not None:
            body["cost"] = cost
        return body

    def events(self) -> Callable[[Chunks], bytes]:
        return ChunkEvents().of

    def last(self, ended: Ended, *, include_usage: bool) -> bytes:
        return last_events(ended, include_usage=include_usage)
