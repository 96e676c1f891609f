"""The worker's side: a child process that compresses one conversation after the other.

Frames on stdin and stdout: four bytes of length, big-endian, then MessagePack. The first frame out
says that the worker is ready. The end of stdin ends the process, so it never outlives its parent;
Ctrl-C is the parent's to handle. Nothing is read from the environment.
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from meshgate_compression.compressor import COMPRESSORS, Compressor
from meshgate_compression.conversation import compress_conversation
from meshgate_compression.jobs import LENGTH_BYTES, READY, Job
from meshgate_compression.llmlingua import LLMLINGUA, LlmLingua
from meshgate_compression.tokens import O200K, Tokenizers


def main() -> None:
    """Serves jobs until stdin ends. Its one argument, if any, is the path of an LLMLingua-2 model."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # A stray print must not look like a frame.
    compressors = dict(COMPRESSORS)
    for model_path in sys.argv[1:]:
        compressors[LLMLINGUA] = LlmLingua(Path(model_path))
    serve(sys.stdin.buffer, replies, compressors)


def serve(jobs: BinaryIO, replies: BinaryIO, compressors: Mapping[str, Compressor | None]) -> None:
    """Answers the jobs of one stream on the other."""
    tokenizers = Tokenizers()
    tokenizers.count(O200K)  # Loaded now, not in the first request.
    decoder = msgspec.msgpack.Decoder(Job)
    encoder = msgspec.msgpack.Encoder()
    _send(replies, READY)
    while (frame := _receive(jobs)) is not None:
        job = decoder.decode(frame)
        count = tokenizers.count(job.tokenizer)
        outcome = compress_conversation(job.messages, job.policy, job.compressor, count, compressors)
        _send(replies, encoder.encode(outcome))


def _receive(stream: BinaryIO) -> bytes | None:
    """The next frame; None at the end of the stream."""
    header = stream.read(LENGTH_BYTES)
    if len(header) < LENGTH_BYTES:
        return None
    length = int.from_bytes(header, "big")
    frame = stream.read(length)
    return frame if len(frame) == length else None


def _send(stream: BinaryIO, frame: bytes) -> None:
    stream.write(len(frame).to_bytes(LENGTH_BYTES, "big") + frame)
    stream.flush()


if __name__ == "__main__":
    main()
