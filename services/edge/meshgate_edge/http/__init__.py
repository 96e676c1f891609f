"""The HTTP rim: bytes to calls and back, and every error as clients see it."""
