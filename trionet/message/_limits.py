"""How large a message may be, and what each part of it weighs."""

from __future__ import annotations

from typing import Final

import attrs

#: Largest integer that may travel, in bits.
MAX_INT_BITS: Final = 4096
#: What each item of a container weighs, in bytes, besides its text.
ITEM_WEIGHT: Final = 8
#: What a container weighs besides, and every value but None, bool, int, float, str and bytes: so much more
#: memory and time does it take.  A value of a declared class weighs it twice.
PART_WEIGHT: Final = 56
#: Larger integers weigh something.
SMALL_INT: Final = 1 << 62
LEAST_INT: Final = -SMALL_INT
#: Arguments, at most, of a message that is not walked through.
_FEW: Final = 8


@attrs.frozen
class Limits:
    """How large a message may be.

    Args:
        size: weight of a message in bytes: the UTF-8 of its text, its bytes, 8 for each item of a container,
            and 56 for each container and for each value that is not None, bool, int, float, str or bytes,
            112 for one of a declared class.
        depth: how many containers may be nested.

    Attributes:
        plain_text: characters or bytes that a value may have which is not walked through: so many that a
            message of few of them is within the size.
        plain_arguments: how many such values a message may have.
    """

    size: int = 16 * 1024 * 1024
    depth: int = 64
    plain_text: int = attrs.field(init=False, eq=False, repr=False)
    plain_arguments: int = attrs.field(init=False, eq=False, repr=False)

    @plain_text.default
    def _plain_text(self) -> int:
        return (self.size - PART_WEIGHT) // _FEW - ITEM_WEIGHT

    @plain_arguments.default
    def _plain_arguments(self) -> int:
        return _FEW if self.plain_text > 0 else 0
