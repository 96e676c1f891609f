"""Limits and times of every server and channel, on whichever transport, with their reasons."""

from typing import Final

MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024  # above the edge's largest body, so that the edge's limit decides
METADATA_BYTES_MAX: Final = 128 * 1024  # room for error details
CONCURRENT_CALLS_MAX: Final = 4_096  # of one server; more are refused with RESOURCE_EXHAUSTED

# A peer that hangs, or vanished without a FIN, is given up after both together: a call to the router has no
# sooner limit than its own deadline, and a router goes on paying for an edge that is gone.
KEEPALIVE_TIME_MS: Final = 10_000  # of silence while calls are under way
KEEPALIVE_TIMEOUT_MS: Final = 10_000  # a process may stand still for so long

BACKOFF_MS_MIN: Final = 100  # between two attempts to connect: a restarted service is found at once,
BACKOFF_MS_MAX: Final = 1_000  # and a missing one is not hammered
ATTEMPT_MS_MAX: Final = 2_000  # what one attempt to connect may take: a busy machine is slow

LEFT_ALONE_S_MAX: Final = 5.0  # a unary call with a longer deadline may cost money: who leaves it, cancels it
