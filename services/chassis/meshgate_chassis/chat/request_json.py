"""A chat completion request: OpenAI's JSON object <-> ChatRequest, losing nothing."""

from meshgate_protos.chat.v1 import chat_pb2 as pb

from meshgate_chassis.chat.json import JsonObject


def request_from_json(body: JsonObject) -> pb.ChatRequest:
    """Never refuses a shape; `validate.validate_request` does that."""
    raise NotImplementedError


def request_to_json(request: pb.ChatRequest) -> JsonObject:
    """The inverse of `request_from_json`."""
    raise NotImplementedError


def message_from_json(body: JsonObject) -> pb.Message:
    """One message of a request or a response."""
    raise NotImplementedError


def message_to_json(message: pb.Message) -> JsonObject:
    """The inverse of `message_from_json`."""
    raise NotImplementedError
