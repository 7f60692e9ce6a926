"""The handshake: who gets in, and that nobody else does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.link_world import (
    DIALER_NONCE,
    NEW_SECRET,
    SECRET,
    accepter,
    agreements,
    dialer,
    identity,
    outcome,
    reason,
    shake,
)
from tests.wire.test_framing import split
from trionet.wire.agreement import Authenticated, HandshakeFailed, LinkPeer, Verdict
from trionet.wire.handshake import MAX_HELD, Accepter, Dialer
from trionet.wire.hellos import MAX_HELLO, Purpose
from trionet.wire.secrets import NO_SECRET_ID, Secret

OLD_SECRET = Secret(bytes(range(200, 232)))


# --- those who belong together ----------------------------------------------------------------------


def test_both_learn_who_is_there_and_get_the_same_keys() -> None:
    first, second = agreements(dialer(), accepter())
    assert first.peer == LinkPeer(2, 2222, Purpose.PEER, 1, SECRET.id)
    assert second.peer == LinkPeer(1, 1111, Purpose.PEER, 1, SECRET.id)
    assert first.send_key == second.receive_key != first.receive_key == second.send_key
    assert first.send_key is not None
    assert len(first.send_key) == 32
    assert first.received == second.received == b""


@given(st.lists(st.integers(0, 10_000), max_size=10), st.lists(st.integers(0, 10_000), max_size=10))
def test_however_the_stream_is_split(there: list[int], back: list[int]) -> None:
    one, other = dialer(), accepter()
    for _ in range(2):
        for piece in split(one.data_to_send(), there):
            other.receive_data(piece)
        for piece in split(other.data_to_send(), back):
            one.receive_data(piece)
    assert isinstance(outcome(one), Authenticated)
    assert isinstance(outcome(other), Authenticated)


@pytest.mark.parametrize(
    ("dials", "accepts", "chosen"),
    [
        ((SECRET, NEW_SECRET), (SECRET,), SECRET),
        ((SECRET,), (SECRET, NEW_SECRET), SECRET),
        ((NEW_SECRET, SECRET), (SECRET, NEW_SECRET), NEW_SECRET),
        ((NEW_SECRET, SECRET), (NEW_SECRET,), NEW_SECRET),
        ((NEW_SECRET, SECRET), (OLD_SECRET, SECRET), SECRET),
    ],
)
def test_a_secret_that_both_know_while_it_is_changed(
    dials: tuple[Secret, ...], accepts: tuple[Secret, ...], chosen: Secret
) -> None:
    first, second = agreements(dialer(secrets=dials), accepter(secrets=accepts))
    assert first.peer.secret_id == second.peer.secret_id == chosen.id


def test_without_secrets_where_neither_has_one() -> None:
    first, _ = agreements(dialer(secrets=()), accepter(secrets=()))
    assert first.peer.secret_id == NO_SECRET_ID


@pytest.mark.parametrize(("dials", "accepts"), [(False, True), (True, False), (True, True), (False, False)])
def test_records_where_either_needs_them(dials: bool, accepts: bool) -> None:
    for agreement in agreements(dialer(records=dials), accepter(records=accepts)):
        assert (agreement.send_key is not None) is (dials or accepts)
        assert (agreement.receive_key is not None) is (dials or accepts)


def test_the_greatest_version_of_both() -> None:
    first, second = agreements(dialer(versions=(1, 5)), accepter(versions=(2, 3)))
    assert first.peer.version == second.peer.version == 3


def test_a_slave_without_harbor_id_and_a_master_that_is_not_known() -> None:
    first, second = agreements(
        dialer(Purpose.MASTER, wanted=(0, 0), harbor=0, incarnation=77), accepter((Purpose.MASTER,))
    )
    assert (first.peer.harbor, first.peer.incarnation) == (2, 2222)
    assert (second.peer.harbor, second.peer.incarnation) == (0, 77)


def test_the_masters_own_node_may_be_its_slave() -> None:
    agreements(dialer(Purpose.MASTER, wanted=(0, 0), harbor=2), accepter())


def test_the_same_certificate_on_both_ends() -> None:
    agreements(dialer(binding=b"c" * 32), accepter(binding=b"c" * 32))


def test_what_comes_ahead_is_kept_for_the_link() -> None:
    one, other = dialer(), accepter()
    shake(one, other)
    other.receive_data(b"the peer's ")
    other.receive_data(b"open")
    assert isinstance(outcome(other), Authenticated)
    assert other.agree().received == b"the peer's open"


def test_neither_end_is_let_in_before_both_are_asked() -> None:
    one, other = dialer(), accepter()
    shake(one, other)
    assert isinstance(outcome(other), Authenticated)
    other.refuse("not in the directory")
    assert reason(other) == "not in the directory"
    with pytest.raises(RuntimeError, match="no authenticated peer"):
        other.agree()
    assert isinstance(outcome(one), Authenticated)
    one.receive_eof()
    assert reason(one) == "the other end decided against the link"


# --- those who do not ------------------------------------------------------------------------------

MISFITS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("the dialer knows no secret of this node", {"secrets": (NEW_SECRET,)}, {}),
    ("the dialer knows no secret of this node", {"secrets": ()}, {}),
    ("no secret here", {}, {"secrets": ()}),
    ("the dialer's proof is wrong", {"binding": b"1" * 32}, {"binding": b"2" * 32}),
    ("the dialer's proof is wrong", {"binding": b"1" * 32}, {}),
    ("the dialer belongs to the cluster 'other'", {"cluster": "other"}, {}),
    ("the dialer wants a peer link, which is not offered here", {}, {"purposes": (Purpose.MASTER,)}),
    ("the dialer has no harbor id or no incarnation", {"harbor": 0}, {}),
    ("the dialer has no harbor id or no incarnation", {"incarnation": 0}, {}),
    ("the dialer wants harbor 3, this is 2", {"wanted": (3, 2222)}, {}),
    ("the dialer wants harbor 0, this is 2", {"wanted": (0, 2222)}, {}),
    ("the dialer wants another incarnation of this node", {"wanted": (2, 999)}, {}),
    ("the dialer wants another incarnation of this node", {"wanted": (2, 0)}, {}),
    (
        "the dialer wants harbor 3, this is 2",
        {"purpose": Purpose.MASTER, "wanted": (3, 0)},
        {},
    ),
    (
        "the dialer wants another incarnation of this node",
        {"purpose": Purpose.MASTER, "wanted": (0, 9)},
        {},
    ),
]


@pytest.mark.parametrize(("text", "dials", "accepts"), MISFITS)
def test_the_accepter_refuses_and_knows_why(
    text: str, dials: dict[str, Any], accepts: dict[str, Any]
) -> None:
    one, other = dialer(**dials), accepter(**accepts)
    shake(one, other)
    for end in (one, other):  # an end that saw nothing wrong learns it by the end of the stream
        end.receive_eof()
    assert text in reason(other)
    assert isinstance(outcome(one), HandshakeFailed)


@pytest.mark.parametrize(("_text", "dials", "accepts"), MISFITS)
def test_all_failures_look_alike_to_the_dialer(
    _text: str, dials: dict[str, Any], accepts: dict[str, Any]
) -> None:
    right, wrong = accepter(), accepter(**accepts)
    right.receive_data(dialer().data_to_send())
    wrong.receive_data(dialer(**dials).data_to_send())
    assert len(wrong.data_to_send()) == len(right.data_to_send())
    assert outcome(wrong) is None
    for end in (right, wrong):
        end.receive_data(b"\0\0\0\x21\x03" + b"a guess of thirty-two bytes,long")
        assert end.data_to_send() == b""
        assert isinstance(outcome(end), HandshakeFailed)


def test_an_accepter_that_has_this_nodes_harbor_id() -> None:
    one, other = dialer(harbor=2), accepter()
    shake(one, other)
    assert reason(one) == "the accepter has the harbor id of this node, 2"
    other.receive_eof()
    assert reason(other) == (
        "the dialer closed before it proved itself (the dialer has the harbor id of this node, 2)"
    )


@pytest.mark.parametrize("versions", [(2, 4), (0, 0)])
def test_no_version_in_common(versions: tuple[int, int]) -> None:
    one, other = dialer(versions=versions), accepter()
    shake(one, other)
    for end in (one, other):
        end.receive_eof()
    assert isinstance(outcome(one), HandshakeFailed)
    low, high = versions
    assert f"the dialer speaks versions {low} to {high} only" in reason(other)


@pytest.mark.parametrize(
    ("accepts", "text"),
    [
        ({"harbor": 3}, "harbor 3 answered where 2 was expected"),
        ({"incarnation": 9}, "another incarnation of harbor 2 answered"),
    ],
)
def test_the_dialer_checks_whom_it_reached(accepts: dict[str, Any], text: str) -> None:
    one = dialer()
    other = accepter(**accepts)
    shake(one, other)
    assert reason(one) == text


def test_an_impostor_cannot_answer_without_the_secret() -> None:
    """It claims the secret's id and another's harbor id, and proves with a secret of its own."""
    one, other = dialer(), accepter()
    other.receive_data(one.data_to_send())
    answer = other.data_to_send()
    one.receive_data(answer)
    one.data_to_send()
    one.receive_data(b"\0\0\0\x21\x04" + b"a guess of thirty-two bytes,long")
    assert reason(one) == "the accepter's proof is wrong"


# --- those in between --------------------------------------------------------------------------------


@given(frame=st.integers(0, 3), place=st.integers(0), bit=st.integers(0, 7))
def test_no_changed_bit_goes_unnoticed(frame: int, place: int, bit: int) -> None:
    one, other = dialer(), accepter()
    ends = [(one, other), (other, one)] * 2
    for number, (source, target) in enumerate(ends):
        said = bytearray(source.data_to_send())
        if number == frame and said:
            said[place % len(said)] ^= 1 << bit
        target.receive_data(bytes(said))
    assert not isinstance(outcome(one), Authenticated)
    changed_last = frame == 3
    assert isinstance(outcome(other), Authenticated) is changed_last


def test_a_recorded_dialer_is_of_no_use_against_a_new_nonce() -> None:
    one, other = dialer(), accepter()
    hello = one.data_to_send()
    other.receive_data(hello)
    one.receive_data(other.data_to_send())
    proof = one.data_to_send()
    later = Accepter(identity(2), b"l" * 32, tuple(Purpose))
    later.receive_data(hello + proof)
    assert reason(later) == "the dialer's proof is wrong"


def test_a_recorded_accepter_is_of_no_use_against_a_new_nonce() -> None:
    one, other = dialer(), accepter()
    other.receive_data(one.data_to_send())
    answer = other.data_to_send()
    one.receive_data(answer)
    other.receive_data(one.data_to_send())
    proof = other.data_to_send()
    later = Dialer(identity(1), b"l" * 32, Purpose.PEER, 2, 2222)
    later.receive_data(answer + proof)
    assert reason(later) == "the accepter's proof is wrong"


def test_a_dialer_that_hears_itself() -> None:
    one = dialer()
    one.receive_data(one.data_to_send())
    assert reason(one) == "the other end is no trionet node: the answer is no hello of an accepter"


def test_the_dialers_proof_reflected() -> None:
    one, other = dialer(), accepter()
    other.receive_data(one.data_to_send())
    one.receive_data(other.data_to_send())
    one.receive_data(one.data_to_send())
    assert reason(one) == "the accepter's proof is wrong"


def test_equal_nonces_are_refused_by_both() -> None:
    one = dialer()
    other = Accepter(identity(2), DIALER_NONCE, tuple(Purpose))
    hello = one.data_to_send()
    other.receive_data(hello)
    one.receive_data(other.data_to_send())
    assert reason(one) == "the accepter sent the nonce of the dialer back"
    other.receive_eof()
    assert "the dialer sent the nonce of this end" in reason(other)


def replaced(hello: bytes, old: bytes, new: bytes) -> bytes:
    assert hello.count(old) == 1
    return hello.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"trionet\0\0\x01\0\x05\x01\x01", b"trionet\0\0\x01\0\x01\x01\x01"),  # versions up to 1 only
        (b"trionet\0\0\x01\0\x05\x01\x01", b"trionet\0\0\x01\0\x05\x01\x00"),  # no records
        (b"trionet\0\0\x01\0\x05\x01\x01", b"trionet\0\0\x01\0\x05\x02\x01"),  # another purpose
        (NEW_SECRET.id, NO_SECRET_ID),  # one secret only
    ],
)
def test_a_downgrade_is_noticed(old: bytes, new: bytes) -> None:
    one = dialer(versions=(1, 5), secrets=(SECRET, NEW_SECRET))
    other = accepter(versions=(1, 5), secrets=(SECRET, NEW_SECRET), records=False)
    other.receive_data(replaced(one.data_to_send(), old, new))
    one.receive_data(other.data_to_send())
    other.receive_data(one.data_to_send())
    assert isinstance(outcome(one), HandshakeFailed) is (new[-1:] == b"\0" and len(new) > 8)
    if other.next_event() is None:
        other.receive_eof()
    with pytest.raises(RuntimeError):
        other.agree()


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b"trionet\0\0\x01\x01", b"trionet\0\0\x01\x00", "leaves out the records that this end needs"),
        (b"trionet\0\0\x01\x01", b"trionet\0\0\x02\x01", "wants version 2, not in 1 to 1"),
        (b"trionet\0\0\x01\x01", b"trionet\0\0\x01\x02", "malformed hello of an accepter"),
        (SECRET.id, NO_SECRET_ID, "chose a secret that was not offered"),
        (SECRET.id, NEW_SECRET.id, "chose a secret that was not offered"),
    ],
)
def test_an_answer_that_weakens_is_refused(old: bytes, new: bytes, text: str) -> None:
    one, other = dialer(), accepter()
    other.receive_data(one.data_to_send())
    one.receive_data(replaced(other.data_to_send(), old, new))
    assert text in reason(one)


# --- garbage and limits ------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=600), max_size=4))
def test_garbage_ends_the_handshake_or_waits_for_more(pieces: list[bytes]) -> None:
    for end in (dialer(), accepter()):
        greeting = end.data_to_send()
        for piece in pieces:
            end.receive_data(piece)
        assert not isinstance(end.next_event(), Authenticated)
        assert end.data_to_send() == b"" != greeting or not greeting


@given(body=st.binary(max_size=MAX_HELLO), start=st.sampled_from([b"\x01trionet\0", b"\x02trionet\0"]))
def test_malformed_hellos(body: bytes, start: bytes) -> None:
    frame = (start + body)[:MAX_HELLO]
    for end in (dialer(), accepter()):
        end.data_to_send()
        end.receive_data(len(frame).to_bytes(4, "big") + frame)
        assert not isinstance(end.next_event(), Authenticated)


def test_a_name_of_the_cluster_that_is_no_text() -> None:
    end = accepter()
    end.receive_data(replaced(dialer().data_to_send(), b"\x04test", b"\x04te\xfft"))
    assert reason(end) == "the name of the cluster is not UTF-8"


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\n", b"\0\0\x02\x01", b"\xff\xff\xff\xff", bytes(4)])
def test_a_frame_above_the_limit_is_refused_at_its_length(start: bytes) -> None:
    end = accepter()
    end.receive_data(start)
    assert "expected 1 to 512" in reason(end)


def test_what_may_come_ahead_is_bounded() -> None:
    one, other = dialer(), accepter()
    shake(one, other)
    assert isinstance(outcome(other), Authenticated)
    other.receive_data(bytes(MAX_HELD))
    assert outcome(other) is None
    other.receive_data(b"x")
    assert reason(other) == "the peer sent messages before both ends had agreed"


def test_after_the_end_nothing_counts() -> None:
    end = accepter()
    end.refuse("too many connections")
    end.refuse("once more")
    end.receive_data(dialer().data_to_send())
    end.receive_eof()
    assert reason(end) == "too many connections"


@pytest.mark.parametrize(
    ("steps", "dialer_says", "accepter_says"),
    [
        (
            0,
            ("the other end closed before it answered", Verdict.SILENT),
            ("the dialer closed before its hello was whole", Verdict.SILENT),
        ),
        (
            1,
            ("the other end closed before it answered", Verdict.SILENT),
            ("the dialer closed before it proved itself", Verdict.UNCLEAR),
        ),
        (
            2,
            ("the other end refused this node: secret", Verdict.REFUSED),
            ("the dialer closed before it proved itself", Verdict.UNCLEAR),
        ),
        (
            3,
            ("the other end refused this node: secret", Verdict.REFUSED),
            ("the dialer closed while it was held", Verdict.UNCLEAR),
        ),
        (
            4,
            ("the other end decided against the link", Verdict.UNCLEAR),
            ("the dialer closed while it was held", Verdict.UNCLEAR),
        ),
    ],
)
def test_a_stream_that_ends_at_each_step(
    steps: int, dialer_says: tuple[str, Verdict], accepter_says: tuple[str, Verdict]
) -> None:
    one, other = dialer(), accepter()
    for source, target in [(one, other), (other, one), (one, other), (other, one)][:steps]:
        target.receive_data(source.data_to_send())
    for end, says in ((one, dialer_says), (other, accepter_says)):
        if isinstance(event := end.next_event(), Authenticated):
            event = None
        assert event is None
        end.receive_eof()
        failure = end.next_event()
        assert isinstance(failure, HandshakeFailed)
        assert failure.reason.startswith(says[0])
        assert failure.verdict is says[1]


def verdict(end: Dialer | Accepter) -> Verdict:
    failure = end.next_event()
    assert isinstance(failure, HandshakeFailed)
    return failure.verdict


def test_what_a_failure_says_about_the_other_end() -> None:
    """For the ends of a handshake of which each knows another secret, or that is none, or was given up."""
    one, other = dialer(), accepter(secrets=(NEW_SECRET,))
    shake(one, other)
    assert verdict(other) is Verdict.FOREIGN
    one.receive_eof()
    assert verdict(one) is Verdict.REFUSED
    one = dialer()
    one.receive_data(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    failure = one.next_event()
    assert isinstance(failure, HandshakeFailed)
    assert failure.reason.startswith("the other end is no trionet node: a frame of ")
    assert failure.verdict is Verdict.FOREIGN
    other = accepter()
    other.receive_data(b"\0")
    other.receive_eof()
    assert verdict(other) is Verdict.UNCLEAR
    one, other = dialer(cluster="another"), accepter()
    other.receive_data(one.data_to_send())
    other.receive_eof()
    assert verdict(other) is Verdict.FOREIGN
    other = accepter()
    other.refuse("too many")
    assert verdict(other) is Verdict.UNCLEAR


def test_a_slave_is_told_that_this_may_be_no_master() -> None:
    one, other = dialer(Purpose.MASTER, wanted=(0, 0)), accepter((Purpose.PEER,))
    shake(one, other)
    one.receive_eof()
    assert reason(one).endswith("version or purpose differ")


def test_mistakes_of_the_user() -> None:
    with pytest.raises(ValueError, match="a nonce of 31 bytes"):
        Dialer(identity(1), b"d" * 31, Purpose.PEER)
    with pytest.raises(ValueError, match="name of the cluster has 256 bytes"):
        dialer(cluster="ö" * 128)
    with pytest.raises(ValueError, match="secrets"):
        identity(1, secrets=(SECRET, NEW_SECRET, OLD_SECRET))
    with pytest.raises(ValueError, match="binding"):
        identity(1, binding=b"the whole certificate" * 10)
    with pytest.raises(RuntimeError, match="no authenticated peer"):
        dialer().agree()
