"""Answers to questions that mean the same. The service does not call this yet."""
