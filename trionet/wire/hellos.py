"""The two hellos of a handshake, byte by byte.

Duty: fixed structures to bytes and back; nothing is decided here.
May import: the standard library, attrs and trionet.wire.errors.
"""

from __future__ import annotations

import enum
from struct import Struct
from typing import Final

import attrs

from trionet.wire.errors import ProtocolError
from trionet.wire.secrets import MAX_SECRETS, NO_SECRET_ID

#: Bytes that a frame of the handshake may have.
MAX_HELLO: Final = 512
#: Bytes of a nonce.
NONCE_SIZE: Final = 32
#: Bytes of the cluster's name, in UTF-8.
MAX_CLUSTER: Final = 255

#: First byte of each frame of the handshake.
DIALER_HELLO: Final = 1
ACCEPTER_HELLO: Final = 2
DIALER_PROOF: Final = 3
ACCEPTER_PROOF: Final = 4

_MAGIC: Final = b"trionet\x00"
# kind, magic, versions, purpose, records, secret ids, nonce, harbor and incarnation, wanted ones, length of
# the cluster's name
_DIALER: Final = Struct(">B8sHHBB8s8s32sBQBQB")
# kind, magic, version, records, secret id, nonce, harbor, incarnation
_ACCEPTER: Final = Struct(">B8sHB8s32sBQ")


class Purpose(enum.Enum):
    """What a link is for."""

    #: Between two nodes of a cluster: calls, sends, watches.
    PEER = 1
    #: From a slave to the master.
    MASTER = 2
    #: From a person's console to a node.
    CONSOLE = 3


@attrs.frozen(kw_only=True)
class DialerHello:
    """What the dialer says first.

    Args:
        versions: least and greatest protocol version it speaks.
        purpose: what the link shall be for.
        records: whether it needs records.
        secret_ids: ids of the secrets it knows, the preferred one first; empty for none.
        nonce: 32 bytes, never used before.
        harbor: its harbor id, or 0.
        incarnation: the incarnation of its node.
        wanted_harbor: the harbor id it means to reach, or 0 for whoever is there.
        wanted_incarnation: the incarnation it means to reach, or 0.
        cluster: name of the cluster.
    """

    versions: tuple[int, int]
    purpose: Purpose
    records: bool
    secret_ids: tuple[bytes, ...]
    nonce: bytes
    harbor: int
    incarnation: int
    wanted_harbor: int
    wanted_incarnation: int
    cluster: str

    def encode(self) -> bytes:
        """Return its bytes, without a length."""
        cluster = self.cluster.encode()
        if len(cluster) > MAX_CLUSTER:
            raise ValueError(f"the name of the cluster has {len(cluster)} bytes, more than {MAX_CLUSTER}")
        first, second = (*self.secret_ids, *[NO_SECRET_ID] * MAX_SECRETS)[:MAX_SECRETS]
        fixed = _DIALER.pack(
            DIALER_HELLO,
            _MAGIC,
            *self.versions,
            self.purpose.value,
            self.records,
            first,
            second,
            self.nonce,
            self.harbor,
            self.incarnation,
            self.wanted_harbor,
            self.wanted_incarnation,
            len(cluster),
        )
        return fixed + cluster


@attrs.frozen(kw_only=True)
class AccepterHello:
    """What the accepter answers.

    Args:
        version: the protocol version both will use.
        records: whether both will use records.
        secret_id: id of the secret both will use; all zero for none.
        nonce: 32 bytes, never used before.
        harbor: its harbor id, or 0.
        incarnation: the incarnation of its node.
    """

    version: int
    records: bool
    secret_id: bytes
    nonce: bytes
    harbor: int
    incarnation: int

    def encode(self) -> bytes:
        """Return its bytes, without a length."""
        return _ACCEPTER.pack(
            ACCEPTER_HELLO,
            _MAGIC,
            self.version,
            self.records,
            self.secret_id,
            self.nonce,
            self.harbor,
            self.incarnation,
        )


def decode_dialer(body: bytes) -> DialerHello:
    """Read a dialer's hello.

    Raises:
        ProtocolError: if it is anything else.
    """
    if len(body) < _DIALER.size or body[: 1 + len(_MAGIC)] != bytes([DIALER_HELLO]) + _MAGIC:
        raise ProtocolError("the first frame is no hello of a dialer")
    (_, _, least, greatest, purpose, records, first, second, nonce, *rest) = _DIALER.unpack_from(body)
    harbor, incarnation, wanted_harbor, wanted_incarnation, length = rest
    cluster = body[_DIALER.size :]
    if len(cluster) != length or least > greatest or purpose not in _PURPOSES or records > 1:
        raise ProtocolError("a malformed hello of a dialer")
    return DialerHello(
        versions=(least, greatest),
        purpose=_PURPOSES[purpose],
        records=bool(records),
        secret_ids=tuple(each for each in (first, second) if each != NO_SECRET_ID),
        nonce=nonce,
        harbor=harbor,
        incarnation=incarnation,
        wanted_harbor=wanted_harbor,
        wanted_incarnation=wanted_incarnation,
        cluster=_text(cluster),
    )


def decode_accepter(body: bytes) -> AccepterHello:
    """Read an accepter's hello.

    Raises:
        ProtocolError: if it is anything else.
    """
    if len(body) != _ACCEPTER.size or body[: 1 + len(_MAGIC)] != bytes([ACCEPTER_HELLO]) + _MAGIC:
        raise ProtocolError("the answer is no hello of an accepter")
    _, _, version, records, secret_id, nonce, harbor, incarnation = _ACCEPTER.unpack(body)
    if records > 1:
        raise ProtocolError("a malformed hello of an accepter")
    return AccepterHello(
        version=version,
        records=bool(records),
        secret_id=secret_id,
        nonce=nonce,
        harbor=harbor,
        incarnation=incarnation,
    )


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ProtocolError("the name of the cluster is not UTF-8") from None


_PURPOSES: Final = {each.value: each for each in Purpose}
