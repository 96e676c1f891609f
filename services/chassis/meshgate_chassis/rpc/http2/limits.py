"""What one connection may hold, keep waiting and be asked; each with its reason."""

from typing import Final

# What a peer may send on one stream before somebody here took it: the most that a reader who is slow, or a
# client who left, keeps in memory.
STREAM_WINDOW_BYTES: Final = 256 * 1024
# Of all streams together. It is given back as it is used: streams are what holds a peer up, so that a slow
# reader of one does not hold up the others.
CONNECTION_WINDOW_BYTES: Final = 16 * 1024 * 1024
FRAME_BYTES_MAX: Final = (
    64 * 1024
)  # that we take; a large prompt is few frames, and none blocks others for long

SEND_BUFFER_BYTES_MAX: Final = 64 * 1024  # of one stream, waiting for the peer; then its sender waits
OUTPUT_BYTES_MAX: Final = 512 * 1024  # of one turn of the event loop; what is more goes in the next

HANDSHAKE_S: Final = 10.0  # for a client to say that it speaks HTTP/2
HOUSEKEEPING_S: Final = 5.0  # between two looks at who is silent
CONTROL_FRAMES_MAX: Final = 10_000  # pings, settings, resets between two looks; more is an attack
CONTROL_FRAMES_UNREAD_MAX: Final = 1_000  # to be answered while the peer reads nothing
CONTINUATIONS_MAX: Final = 32  # frames of one block of headers
GO_AWAY_S: Final = 1.0  # for a client to hear that it is asked to leave, before its new calls are refused
