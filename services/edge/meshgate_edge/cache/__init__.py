"""Asking the cache: early, by one of many, and answering to it."""
