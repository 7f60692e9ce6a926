"""What a handshake starts from and what comes out of it.

Duty: the values of :mod:`trionet.wire.handshake`, and the keys that follow from secret and transcript.
May import: the standard library, attrs, trionet.wire.framing, hellos and secrets.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from typing import Final

import attrs

from trionet.wire.framing import frame
from trionet.wire.hellos import Purpose
from trionet.wire.secrets import MAX_SECRETS, Secret

#: The protocol versions that this code speaks, least and greatest.
VERSIONS: Final = (1, 1)

_TRANSCRIPT: Final = b"trionet 1 transcript"
_EXTRACT: Final = b"trionet 1 key"
#: Takes the place of a secret where there is none.
NO_SECRET: Final = Secret(b"")


@attrs.frozen(kw_only=True)
class LinkIdentity:
    """What one end brings into a handshake.

    Args:
        cluster: name of the cluster, at most 255 bytes.
        harbor: its harbor id; 0 where it has none (a console, a node that lets the master choose).
        incarnation: the incarnation of its node.
        secrets: the secrets it accepts, the one to offer first in front.  Empty means no secret at all, which
            is for loopback, Unix sockets and mutual TLS only; whoever has a secret never goes without.
        records: whether this end needs records; they are used when either end does.
        binding: digest of the TLS certificate of the accepting end, empty outside TLS.
        versions: least and greatest protocol version it speaks.
    """

    cluster: str
    harbor: int
    incarnation: int
    secrets: tuple[Secret, ...] = attrs.field(validator=attrs.validators.max_len(MAX_SECRETS))
    records: bool
    binding: bytes = attrs.field(default=b"", validator=attrs.validators.max_len(64))
    versions: tuple[int, int] = VERSIONS


@attrs.frozen
class LinkPeer:
    """Who is at the other end.

    Args:
        harbor: its harbor id, or 0.
        incarnation: the incarnation of its node.
        purpose: what the link is for.
        version: the protocol version both use.
        secret_id: id of the secret both used; all zero for none.
    """

    harbor: int
    incarnation: int
    purpose: Purpose
    version: int
    secret_id: bytes


@attrs.frozen
class Agreement:
    """What a link is made from.

    Args:
        peer: who is at the other end.
        send_key: key of the records to send, or None where no records are used.
        receive_key: key of the records to receive, or None.
        received: bytes that arrived after the handshake and belong to the link.
    """

    peer: LinkPeer
    send_key: bytes | None = attrs.field(repr=False)
    receive_key: bytes | None = attrs.field(repr=False)
    received: bytes = attrs.field(repr=False)


@attrs.frozen
class Authenticated:
    """Both proofs were right; the handshake holds until ``agree()`` or ``refuse()``."""

    peer: LinkPeer


class Verdict(enum.Enum):
    """What a handshake that failed says about the other end."""

    #: It closed without having said a word.
    SILENT = "silent"
    #: It may have been stopping, or too busy, or this end decided against it.
    UNCLEAR = "unclear"
    #: It closed upon the proof of this end, as it does if that is wrong.
    REFUSED = "refused"
    #: It said what no end of a link with this one says; the next time it will be no other.
    FOREIGN = "foreign"


@attrs.frozen
class HandshakeFailed:
    """The handshake is over without a link; close the stream and send nothing more.

    Args:
        reason: why, for the log of this end only.
        verdict: what that says about the other end.
    """

    reason: str
    verdict: Verdict


HandshakeEvent = Authenticated | HandshakeFailed


class Keys:
    """Everything that comes from the secret and the transcript.

    Args:
        secret: the secret, or :data:`NO_SECRET`.
        hello: the dialer's hello, without its length.
        answer: the accepter's hello, without its length.
        binding: digest of the TLS certificate, empty outside TLS.
    """

    __slots__ = ("_key", "transcript")

    def __init__(self, secret: Secret, hello: bytes, answer: bytes, binding: bytes) -> None:
        parts = (_TRANSCRIPT, frame(hello), frame(answer), bytes([len(binding)]), binding)
        self.transcript: bytes = hashlib.sha256(b"".join(parts)).digest()
        self._key = hmac.digest(secret.key, _EXTRACT + self.transcript, hashlib.sha256)

    def expand(self, label: bytes) -> bytes:
        """Return the key for one use."""
        return hmac.digest(self._key, label + b"\x01", hashlib.sha256)

    def proof(self, kind: int, label: bytes) -> bytes:
        """Return the frame, without its length, by which one end proves that it knows the secret."""
        return bytes([kind]) + hmac.digest(self.expand(label), self.transcript, hashlib.sha256)
