"""A whole answer and its usage: OpenAI's JSON object <-> ChatResponse, losing nothing."""

from meshgate_protos.chat.v1 import chat_pb2 as pb

from meshgate_chassis.chat.json import JsonObject


def response_from_json(body: JsonObject) -> pb.ChatResponse:
    """Never refuses a shape."""
    raise NotImplementedError


def response_to_json(response: pb.ChatResponse) -> JsonObject:
    """The inverse of `response_from_json`."""
    raise NotImplementedError


def usage_from_json(body: JsonObject) -> pb.Usage:
    """Never refuses a shape."""
    raise NotImplementedError


def usage_to_json(usage: pb.Usage) -> JsonObject:
    """The inverse of `usage_from_json`."""
    raise NotImplementedError
