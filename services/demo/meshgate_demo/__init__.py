"""A small model provider that always answers, and that can be told to fail. It knows nothing of meshgate."""
