"""What the tests of the codec share."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest

from tests.values_table import Reference
from trionet.errors import BadMessage
from trionet.message import Limits
from trionet.wire.codec import Codec

CODEC = Codec(Limits(), Reference)
SMALL = Codec(Limits(size=16_000, depth=8), Reference)


def tagged(tag: int, content: Any) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(tag, content))


def refused(body: bytes, reason: str = ".", codec: Codec = CODEC) -> BadMessage:
    with pytest.raises(BadMessage, match=reason) as caught:
        codec.decode(body)
    assert len(str(caught.value)) < 1000
    assert caught.value.executed is None
    assert codec.decode(b"\x01") == (1, []), "the next message is read as if nothing had happened"
    return caught.value
