"""HTTP and gRPC in, mesh out: the pipeline of one request."""
