"""Bytes as a socket may hand them over."""

from hypothesis import strategies as st

CUTS = st.lists(st.integers(0, 400), max_size=12)  # how long each piece is; what is left comes as one


def pieces_of(data: bytes, lengths: list[int]) -> list[bytes]:
    """`data` in pieces of these lengths, some of them empty, and the rest."""
    pieces, at = [], 0
    for length in lengths:
        pieces.append(data[at : at + length])
        at += length
    return [*pieces, data[at:]]
