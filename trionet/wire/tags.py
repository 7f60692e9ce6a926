"""The tags of the wire format: how the values that CBOR does not have of its own are written.

Duty: one table, shared by both directions of the codec.
May import: nothing.

A message is one CBOR item (RFC 8949) of definite lengths.  None, bool, int within 64 bits, float, str, bytes,
list, and dict whose keys are all str or bytes are written as CBOR writes them.  All else is a tagged item;
a tag that is not in this table is refused, and so are ``undefined`` and the other simple values.

======  ==============  ==============================================================================
tag     value           content
======  ==============  ==============================================================================
2, 3    int             byte string, as in RFC 8949; up to 4,096 bits
37      UUID            byte string of 16
100     date            int: days since 1970-01-01, as in RFC 8943
258     set             array of the members
49152   tuple           array of the items
49153   frozenset       array of the members
49154   dict            array of key, value, key, value...: a dict with keys other than str and bytes
49155   datetime        byte string of 16: microseconds since 1970-01-01T00:00 on the clock of its own
                        time zone, then the offset of that zone from UTC in microseconds; two signed
                        64-bit integers
49156   timedelta       byte string of 12: days (signed), seconds within the day, microseconds within the
                        second; three 32-bit integers
49157   Decimal         text, in the scientific notation of the General Decimal Arithmetic
49158   enum            array: registered name of the class, then the name of the member; of a combination
                        of flags that has no name of its own, the number
49159   attrs class     array: registered name, then field name, value, field name, value...
49160   exception       array: registered name, number of ``args``, number of attrs fields; then the args,
                        then field name, value..., then attribute name, value...
49161   handle          byte string of 12: the handle (32 bits), the incarnation of its node (64 bits)
49162   reference       array: a handle or a global name, then the name of the interface or null
======  ==============  ==============================================================================

All integers in byte strings are big-endian.
"""

from __future__ import annotations

from typing import Final

POSITIVE_BIGNUM: Final = 2
NEGATIVE_BIGNUM: Final = 3
UUID: Final = 37
DATE: Final = 100
SET: Final = 258
TUPLE: Final = 49152
FROZENSET: Final = 49153
MAP: Final = 49154
DATETIME: Final = 49155
TIMEDELTA: Final = 49156
DECIMAL: Final = 49157
ENUM: Final = 49158
RECORD: Final = 49159
EXCEPTION: Final = 49160
HANDLE: Final = 49161
REFERENCE: Final = 49162

#: Tags whose array is no container of the message: it does not count for the depth.
SCALARS: Final = frozenset({ENUM, REFERENCE})
#: Tags of declared classes, each of which counts as two parts of the message.
DECLARED: Final = frozenset({ENUM, RECORD, EXCEPTION})
