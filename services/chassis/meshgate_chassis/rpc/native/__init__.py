"""RPC on our own HTTP/2."""
