"""Shorten a prompt without losing what the answer needs."""
