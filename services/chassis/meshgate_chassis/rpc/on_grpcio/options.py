"""What grpcio is told explicitly: every channel argument, with its reason."""

from typing import Final

from meshgate_chassis.rpc.options import (
    ATTEMPT_MS_MAX,
    BACKOFF_MS_MAX,
    BACKOFF_MS_MIN,
    KEEPALIVE_TIME_MS,
    KEEPALIVE_TIMEOUT_MS,
    MESSAGE_BYTES_MAX,
    METADATA_BYTES_MAX,
)

COMMON: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),  # what counts in fact; a minute by default
    ("grpc.http2.max_pings_without_data", 0),  # unlimited: else one a minute, for a call that is silent
)
SERVER: Final[tuple[tuple[str, int], ...]] = (
    *COMMON,
    ("grpc.so_reuseport", 0),  # a second server on the same port is a mistake, not a feature
    # Else a server closes a connection with calls on it that has been silent for minutes, because its client
    # pings it: while a model thinks nothing else may pass there.
    ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_TIME_MS // 2),
)
CHANNEL: Final[tuple[tuple[str, int | str], ...]] = (
    *COMMON,
    ("grpc.lb_policy_name", "round_robin"),  # headless Services give one address per replica
    ("grpc.initial_reconnect_backoff_ms", BACKOFF_MS_MIN),
    ("grpc.min_reconnect_backoff_ms", ATTEMPT_MS_MAX),  # in fact the limit of one attempt to connect
    ("grpc.max_reconnect_backoff_ms", BACKOFF_MS_MAX),
    ("grpc.enable_retries", 0),  # the mesh retries where it is safe, in plain sight
    ("grpc.use_local_subchannel_pool", 1),  # channels do not share fate
)
