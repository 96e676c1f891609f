"""Turns a whole response into the chunks a live stream would have brought."""

from collections.abc import Iterator

from meshgate_protos.chat.v1 import chat_pb2 as pb


def chunks_of(response: pb.ChatResponse, text_characters_max: int = 256) -> Iterator[pb.ChatChunk]:
    """Role, content, tool calls and finish of each choice; no usage (see `usage_chunk`)."""
    raise NotImplementedError


def usage_chunk(response: pb.ChatResponse) -> pb.ChatChunk:
    """The last chunk of a stream with `include_usage`: no choices, the usage if there is one."""
    raise NotImplementedError
