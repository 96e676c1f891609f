"""OpenAI chat JSON <-> chat.v1 messages, and streams of them: pure functions, no I/O."""
