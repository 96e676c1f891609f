"""Tokens, counted here."""
