"""The HTTP rim of what was spent."""
