"""Texts of anybody's, made such that they can travel.

Duty: a text of at most so many bytes of UTF-8.
May import: the standard library.
"""

from __future__ import annotations


def shortened(text: str, most: int, *, from_end: bool = False) -> str:
    """Make a text of any length, whatever is in it, one of so many bytes at most; what is too much goes."""
    short = text[-most:] if from_end else text[:most]
    data = short.encode("utf-8", "replace")
    return (data[-most:] if from_end else data[:most]).decode("utf-8", "ignore")
