"""RPC on grpcio."""
