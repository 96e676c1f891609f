"""What one connection may hold, keep waiting and be asked; each with its reason."""

from typing import Final, NamedTuple

from meshgate_chassis.rpc.options import KEEPALIVE_TIME_MS, KEEPALIVE_TIMEOUT_MS, METADATA_BYTES_MAX

# What a peer may send on one stream before somebody here took it: the most that a reader who is slow, or a
# client who left, keeps in memory.
STREAM_WINDOW_BYTES: Final = 256 * 1024
# Of all streams together. It is given back as it is used: streams are what holds a peer up, so that a slow
# reader of one does not hold up the others.
CONNECTION_WINDOW_BYTES: Final = 16 * 1024 * 1024
FRAME_BYTES_MAX: Final = 64 * 1024  # that we take: a large prompt is few frames, none blocks others for long

SEND_BUFFER_BYTES_MAX: Final = 64 * 1024  # of one stream, waiting for the peer; then its sender waits
TURN_BYTES_MAX: Final = 64 * 1024  # of one stream, before the others that wait have their turn
OUTPUT_BYTES_MAX: Final = 512 * 1024  # of one turn of the event loop; what is more goes in the next
UNSENT_BYTES_MAX: Final = 16 * 1024 * 1024  # waiting in the socket; more has a peer who asks and never reads

CONTROL_FRAMES_MAX: Final = 10_000  # pings, settings, resets between two looks; more is an attack
CONTROL_FRAMES_UNREAD_MAX: Final = 1_000  # to be answered while the peer reads nothing
CONTINUATIONS_MAX: Final = 32  # frames of one block of headers
BLOCK_BYTES_MAX: Final = (
    2 * METADATA_BYTES_MAX
)  # above it the connection ends; below, a call whose list is long

HANDSHAKE_S: Final = 10.0  # for a client to say that it speaks HTTP/2
HOUSEKEEPING_S: Final = 5.0  # between two looks at who is silent
GO_AWAY_S: Final = 1.0  # for a client to hear that it is asked to leave, before its new calls are refused
LINGER_S: Final = 5.0  # for a peer to read what was written last, before it is left


class Times(NamedTuple):
    """Of one connection, in seconds."""

    handshake_s: float = HANDSHAKE_S
    look_s: float = HOUSEKEEPING_S
    silent_until_ping_s: float = KEEPALIVE_TIME_MS / 1_000
    silent_until_gone_s: float = (KEEPALIVE_TIME_MS + KEEPALIVE_TIMEOUT_MS) / 1_000
    go_away_s: float = GO_AWAY_S
    linger_s: float = LINGER_S


TIMES: Final = Times()
