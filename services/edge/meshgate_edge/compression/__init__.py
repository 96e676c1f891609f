"""Compression: when, and whether it pays."""
