"""Answers given before, by tenant."""
