"""The ids of call chains, and which of them are recorded (C1's messages carry them from end to end).

Duty: arithmetic on one number, which every message has.  Below 2**64 it is the id of a chain that nobody
records.  The number of a recorded chain has 128 bits: above the id, below the id of the span within which
the message was made, 0 at the beginning.  So who hands the number on, as each handler does for what it calls
and sends, hands on both, and whether to record is decided once, where the chain begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Final

from trionet.kernel.seams import Random

#: The largest number of a chain that is not recorded, and the bits of the id of a span.
LARGEST_ID: Final = (1 << 64) - 1
SPAN_BITS: Final = 64


def trace_ids(sample: float, random: Random) -> Iterator[int]:
    """Numbers for new chains, without end.

    Args:
        sample: the share of the chains that are recorded.
        random: draws the first id, and which of them are.
    """
    ids = count(random.getrandbits(62))
    return _sampled(ids, sample, random) if sample else ids


def _sampled(ids: Iterator[int], sample: float, random: Random) -> Iterator[int]:
    for each in ids:
        yield each << SPAN_BITS if random.random() < sample else each


def id_of(trace: int) -> int:
    """The id of the chain."""
    return trace if trace <= LARGEST_ID else trace >> SPAN_BITS


def text_of_trace(trace: int) -> str:
    """The id as people write it: 16 hexadecimal digits."""
    return f"{id_of(trace):016x}"
