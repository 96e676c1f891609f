"""One event of a streamed answer: OpenAI's chat.completion.chunk <-> ChatChunk, losing nothing."""

from meshgate_protos.chat.v1 import chat_pb2 as pb

from meshgate_chassis.chat.json import JsonObject


def chunk_from_json(body: JsonObject) -> pb.ChatChunk:
    """Never refuses a shape."""
    raise NotImplementedError


def chunk_to_json(chunk: pb.ChatChunk) -> JsonObject:
    """The inverse of `chunk_from_json`."""
    raise NotImplementedError
