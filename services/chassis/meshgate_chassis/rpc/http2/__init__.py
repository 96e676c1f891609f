"""The wire: HTTP/2 as gRPC uses it, without protobuf and without knowledge of meshgate's services."""
