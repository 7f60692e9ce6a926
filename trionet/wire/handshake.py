"""The handshake of a link: who is there, and do both know the secret.

Duty: both ends of the five steps before a link, without sockets, clock or randomness; nonces are given.
May import: the standard library, trionet.wire.errors, agreement, framing, hellos and secrets.

Theory of operation.  The dialer says hello, the accepter says hello; a digest over both hellos, as they
went over the wire, and over the TLS certificate where there is one, is the *transcript*.  From the secret
and the transcript comes a key, from that key a proof for each end and a record key for each direction.
The dialer proves itself first, so a prober learns nothing it could guess against; then the accepter does.
Whatever a third party changed, repeated or reflected, down to the version range and the wish for records,
is in the transcript, so the proofs do not fit.

An accepter that finds something wrong with a hello goes on as if it were right and refuses the proof,
whatever that is: from outside all failures look alike.  The reason is for its own log only.

Neither end decides alone.  Once the proofs are checked each end yields :class:`~.agreement.Authenticated`
and *holds*: its user asks the directory and calls ``agree()``, which gives what a link is made from, or
``refuse()``.
"""

from __future__ import annotations

import abc
import hmac
from collections import deque
from collections.abc import Collection
from typing import Final

from trionet.wire.agreement import (
    NO_SECRET,
    Agreement,
    Authenticated,
    HandshakeEvent,
    HandshakeFailed,
    Keys,
    LinkIdentity,
    LinkPeer,
    Verdict,
)
from trionet.wire.errors import ProtocolError
from trionet.wire.framing import FrameBuffer, frame
from trionet.wire.hellos import (
    ACCEPTER_PROOF,
    DIALER_PROOF,
    MAX_HELLO,
    NONCE_SIZE,
    AccepterHello,
    DialerHello,
    Purpose,
    decode_accepter,
    decode_dialer,
)
from trionet.wire.secrets import NO_SECRET_ID, Secret

#: Bytes that may arrive ahead while this end has not agreed yet: the peer's ``open``, in a record.
MAX_HELD: Final = 512

_DIALER_AUTH: Final = b"dialer auth"
_ACCEPTER_AUTH: Final = b"accepter auth"
_DIALER_RECORDS: Final = b"dialer records"
_ACCEPTER_RECORDS: Final = b"accepter records"


class Handshake(abc.ABC):
    """What both ends have in common; see :class:`Dialer` and :class:`Accepter`."""

    def __init__(self, identity: LinkIdentity, nonce: bytes) -> None:
        if len(nonce) != NONCE_SIZE:
            raise ValueError(f"a nonce of {len(nonce)} bytes, expected {NONCE_SIZE}")
        self._identity = identity
        self._nonce = nonce
        self._buffer = FrameBuffer(MAX_HELLO)
        self._out = bytearray()
        self._events: deque[HandshakeEvent] = deque()
        self._over = False
        self._keys: Keys | None = None
        self._peer: LinkPeer | None = None
        self._authenticated = False
        self._records = False

    def receive_data(self, data: bytes) -> None:
        """Take bytes that arrived; then ask :meth:`next_event` and :meth:`data_to_send`.

        It never raises because of what a peer sent.
        """
        if self._over:
            return
        self._buffer.hold(data)
        try:
            self._advance()
        except ProtocolError as error:
            self._fail(self._describe(str(error)), Verdict.FOREIGN)

    def receive_eof(self) -> None:
        """Take note that the peer closed the stream."""
        silent = self._keys is None and not len(self._buffer)
        self._fail(self._closed_reason(), Verdict.SILENT if silent else self._closed_verdict())

    def next_event(self) -> HandshakeEvent | None:
        """Return the next event, or None while nothing happened."""
        return self._events.popleft() if self._events else None

    def data_to_send(self) -> bytes:
        """Return the bytes to send now, and forget them."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def agree(self) -> Agreement:
        """Accept the authenticated peer: the handshake is over, a link takes its place.

        Send what :meth:`data_to_send` still has before anything of the link.

        Raises:
            RuntimeError: if there is no authenticated peer.
        """
        if self._over or not self._authenticated or self._keys is None or self._peer is None:
            raise RuntimeError("there is no authenticated peer to agree with")
        self._over = True
        received = self._buffer.rest()
        if not self._records:
            return Agreement(self._peer, None, None, received)
        dialer, accepter = self._keys.expand(_DIALER_RECORDS), self._keys.expand(_ACCEPTER_RECORDS)
        send, receive = (dialer, accepter) if isinstance(self, Dialer) else (accepter, dialer)
        return Agreement(self._peer, send, receive, received)

    def refuse(self, reason: str) -> None:
        """End the handshake, authenticated or not; the peer is not told why.

        Args:
            reason: why, for the log of this end.
        """
        self._fail(reason, Verdict.UNCLEAR)

    def _fail(self, reason: str, verdict: Verdict) -> None:
        if self._over:
            return
        self._over = True
        self._out.clear()
        self._buffer.rest()
        self._events.append(HandshakeFailed(reason, verdict))

    def _advance(self) -> None:
        while not self._authenticated:
            body = self._buffer.take()
            if body is None:
                return
            self._take(body)
        if len(self._buffer) > MAX_HELD:
            raise ProtocolError("the peer sent messages before both ends had agreed")

    def _verified(self) -> None:
        assert self._peer is not None
        self._authenticated = True
        self._events.append(Authenticated(self._peer))

    @abc.abstractmethod
    def _take(self, body: bytes) -> None:
        """Go one step on with a frame that arrived."""

    @abc.abstractmethod
    def _describe(self, breach: str) -> str:
        """Say for the log what the peer has done."""

    @abc.abstractmethod
    def _closed_reason(self) -> str:
        """Say for the log what it means that the peer closed now."""

    @abc.abstractmethod
    def _closed_verdict(self) -> Verdict:
        """Tell what it says about the peer that it closed now."""


class Dialer(Handshake):
    """The end that opened the stream.

    Args:
        identity: what this end brings.
        nonce: 32 random bytes.
        purpose: what the link shall be for.
        wanted_harbor: the harbor id to reach, or 0 where it is not known (a master, a console).
        wanted_incarnation: the incarnation to reach, or 0.
    """

    def __init__(
        self,
        identity: LinkIdentity,
        nonce: bytes,
        purpose: Purpose,
        wanted_harbor: int = 0,
        wanted_incarnation: int = 0,
    ) -> None:
        super().__init__(identity, nonce)
        self._purpose = purpose
        self._wanted = (wanted_harbor, wanted_incarnation)
        self._has_answer = False
        self._hello = DialerHello(
            versions=identity.versions,
            purpose=purpose,
            records=identity.records,
            secret_ids=tuple(each.id for each in identity.secrets),
            nonce=nonce,
            harbor=identity.harbor,
            incarnation=identity.incarnation,
            wanted_harbor=wanted_harbor,
            wanted_incarnation=wanted_incarnation,
            cluster=identity.cluster,
        ).encode()
        self._out += frame(self._hello)

    def _take(self, body: bytes) -> None:
        if self._keys is None:
            self._answered(body)
            return
        if not hmac.compare_digest(body, self._keys.proof(ACCEPTER_PROOF, _ACCEPTER_AUTH)):
            raise ProtocolError("the accepter's proof is wrong")
        self._verified()

    def _answered(self, body: bytes) -> None:
        answer = decode_accepter(body)
        self._has_answer = True
        secret = self._check(answer)
        self._keys = Keys(secret, self._hello, body, self._identity.binding)
        self._records = answer.records
        self._peer = LinkPeer(
            answer.harbor, answer.incarnation, self._purpose, answer.version, answer.secret_id
        )
        self._out += frame(self._keys.proof(DIALER_PROOF, _DIALER_AUTH))

    def _check(self, answer: AccepterHello) -> Secret:
        identity = self._identity
        least, greatest = identity.versions
        if not least <= answer.version <= greatest:
            raise ProtocolError(f"the accepter wants version {answer.version}, not in {least} to {greatest}")
        if answer.nonce == self._nonce:
            raise ProtocolError("the accepter sent the nonce of the dialer back")
        if identity.records and not answer.records:
            raise ProtocolError("the accepter leaves out the records that this end needs")
        if self._purpose is Purpose.PEER and answer.harbor == identity.harbor:
            raise ProtocolError(f"the accepter has the harbor id of this node, {answer.harbor}")
        wanted_harbor, wanted_incarnation = self._wanted
        if wanted_harbor not in (0, answer.harbor):
            raise ProtocolError(f"harbor {answer.harbor} answered where {wanted_harbor} was expected")
        if wanted_incarnation not in (0, answer.incarnation):
            raise ProtocolError(f"another incarnation of harbor {answer.harbor} answered")
        secret = _find_secret(identity, (answer.secret_id,) if any(answer.secret_id) else ())
        if secret is None:
            raise ProtocolError("the accepter chose a secret that was not offered")
        return secret

    def _describe(self, breach: str) -> str:
        return breach if self._has_answer else f"the other end is no trionet node: {breach}"

    def _closed_reason(self) -> str:
        if self._authenticated:
            return "the other end decided against the link"
        if self._keys is None:
            return "the other end closed before it answered: is it a trionet node, and does it want TLS?"
        refused = "the other end refused this node: secret, name of the cluster, version or "
        return refused + ("purpose differ" if self._purpose is Purpose.MASTER else "harbor id differ")

    def _closed_verdict(self) -> Verdict:
        return Verdict.UNCLEAR if self._authenticated or self._keys is None else Verdict.REFUSED


class Accepter(Handshake):
    """The end that accepted the stream.

    Args:
        identity: what this end brings.
        nonce: 32 random bytes.
        purposes: what a link on this listener may be for.
    """

    def __init__(self, identity: LinkIdentity, nonce: bytes, purposes: Collection[Purpose]) -> None:
        super().__init__(identity, nonce)
        self._purposes = frozenset(purposes)
        self._doom: str | None = None

    def _take(self, body: bytes) -> None:
        if self._keys is None:
            self._greeted(body)
            return
        proven = hmac.compare_digest(body, self._keys.proof(DIALER_PROOF, _DIALER_AUTH))
        if self._doom is not None:
            raise ProtocolError(self._doom)
        if not proven:
            raise ProtocolError("the dialer's proof is wrong")
        self._out += frame(self._keys.proof(ACCEPTER_PROOF, _ACCEPTER_AUTH))
        self._verified()

    def _greeted(self, body: bytes) -> None:
        hello, identity = decode_dialer(body), self._identity
        secret = _find_secret(identity, hello.secret_ids)
        self._doom = self._check(hello, secret)
        answer = AccepterHello(
            version=min(hello.versions[1], identity.versions[1]),
            records=hello.records or identity.records,
            secret_id=_answer_id(secret, hello),
            nonce=self._nonce,
            harbor=identity.harbor,
            incarnation=identity.incarnation,
        )
        encoded = answer.encode()
        self._keys = Keys(secret or NO_SECRET, body, encoded, identity.binding)
        self._records = answer.records
        self._peer = LinkPeer(
            hello.harbor, hello.incarnation, hello.purpose, answer.version, answer.secret_id
        )
        self._out += frame(encoded)

    def _check(self, hello: DialerHello, secret: Secret | None) -> str | None:
        """Return what is wrong with a hello, or None."""
        identity = self._identity
        least, greatest = identity.versions
        if hello.versions[0] > greatest or hello.versions[1] < least:
            return f"the dialer speaks versions {hello.versions[0]} to {hello.versions[1]} only"
        if hello.purpose not in self._purposes:
            return f"the dialer wants a {hello.purpose.name.lower()} link, which is not offered here"
        if hello.cluster != identity.cluster:
            return f"the dialer belongs to the cluster {hello.cluster!r}"
        if secret is None:
            return "the dialer knows no secret of this node" if identity.secrets else "no secret here"
        if hello.nonce == self._nonce:
            return "the dialer sent the nonce of this end"
        return self._check_harbors(hello)

    def _check_harbors(self, hello: DialerHello) -> str | None:
        own = self._identity
        is_peer = hello.purpose is Purpose.PEER
        if is_peer and not (hello.harbor and hello.incarnation):
            return "the dialer has no harbor id or no incarnation"
        if is_peer and hello.harbor == own.harbor:
            return f"the dialer has the harbor id of this node, {own.harbor}"
        if hello.wanted_harbor != own.harbor and (is_peer or hello.wanted_harbor):
            return f"the dialer wants harbor {hello.wanted_harbor}, this is {own.harbor}"
        if hello.wanted_incarnation != own.incarnation and (is_peer or hello.wanted_incarnation):
            return "the dialer wants another incarnation of this node"
        return None

    def _describe(self, breach: str) -> str:
        return breach

    def _closed_verdict(self) -> Verdict:
        return Verdict.UNCLEAR if self._doom is None else Verdict.FOREIGN

    def _closed_reason(self) -> str:
        if self._authenticated:
            return "the dialer closed while it was held"
        if self._keys is None:
            return "the dialer closed before its hello was whole"
        return f"the dialer closed before it proved itself{f' ({self._doom})' if self._doom else ''}"


def _find_secret(identity: LinkIdentity, offered: Collection[bytes]) -> Secret | None:
    """Return the first secret both know; no secret counts only where neither has any."""
    if not identity.secrets and not offered:
        return NO_SECRET
    known = {each.id: each for each in identity.secrets}
    return next((known[each] for each in offered if each in known), None)


def _answer_id(secret: Secret | None, hello: DialerHello) -> bytes:
    """The id to answer with; where no secret fits, one that looks as if it did."""
    if secret is None:
        return hello.secret_ids[0] if hello.secret_ids else NO_SECRET_ID
    return secret.id if secret is not NO_SECRET else NO_SECRET_ID
