"""Folds the chunks of a stream into the response the unstreamed call would have given."""

from meshgate_protos.chat.v1 import chat_pb2 as pb


class ChunkAccumulator:
    """Add each chunk in order; ask for the response at any time.

    `size_bytes_max` limits what is kept; beyond it `add` raises RESOURCE_EXHAUSTED/STREAM_TOO_LARGE.
    """

    def __init__(self, size_bytes_max: int = 64 << 20) -> None:
        self._size_bytes_max = size_bytes_max

    def add(self, chunk: pb.ChatChunk) -> None:
        """Keeps what the chunk adds."""
        raise NotImplementedError

    def response(self) -> pb.ChatResponse:
        """What the chunks so far amount to."""
        raise NotImplementedError
