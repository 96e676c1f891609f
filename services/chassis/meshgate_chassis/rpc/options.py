"""What every server and channel is told explicitly, with its reason."""

MESSAGE_BYTES_MAX = 64 * 1024 * 1024  # above the edge's largest body, so that the edge's limit decides
METADATA_BYTES_MAX = 128 * 1024  # room for error details
CONCURRENT_CALLS_MAX = 4_096  # of one server; more are refused with RESOURCE_EXHAUSTED

# A peer that hangs, or vanished without a FIN, is given up after both together: a call to the router has no
# sooner limit than its own deadline, and a router goes on paying for an edge that is gone.
KEEPALIVE_TIME_MS = 10_000  # of silence while calls are under way
KEEPALIVE_TIMEOUT_MS = 10_000  # a process may stand still for so long

COMMON: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),  # what counts in fact; a minute by default
    ("grpc.http2.max_pings_without_data", 0),  # unlimited: else one a minute, for a call that is silent
)
SERVER: tuple[tuple[str, int], ...] = (
    *COMMON,
    ("grpc.so_reuseport", 0),  # a second server on the same port is a mistake, not a feature
    # Else a server closes a connection with calls on it that has been silent for minutes, because its client
    # pings it: while a model thinks nothing else may pass there.
    ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_TIME_MS // 2),
)
CHANNEL: tuple[tuple[str, int | str], ...] = (
    *COMMON,
    ("grpc.lb_policy_name", "round_robin"),  # headless Services give one address per replica
    ("grpc.initial_reconnect_backoff_ms", 100),  # a restarted service is found at once,
    ("grpc.min_reconnect_backoff_ms", 2_000),  # what one attempt to connect may take: a busy machine is slow
    ("grpc.max_reconnect_backoff_ms", 1_000),  # and a missing one is not hammered
    ("grpc.enable_retries", 0),  # the mesh retries where it is safe, in plain sight
    ("grpc.use_local_subchannel_pool", 1),  # channels do not share fate
)
