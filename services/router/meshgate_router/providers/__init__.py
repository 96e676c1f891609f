"""Translations between OpenAI's chat shape and each provider's own: pure, one family in a file."""
