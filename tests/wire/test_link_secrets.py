"""Secret files: what is read, what is refused and with which text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionet.errors import ConfigError
from trionet.wire.secrets import NO_SECRET_ID, Secret, format_secret, parse_secrets

GOOD = bytes(range(32))
LINE = f"trionet-secret-v1 {GOOD.hex()}"
OTHER = f"trionet-secret-v1 {bytes(range(40, 72)).hex()}"


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_secrets(text, "cluster.key")
    return caught.value.problems


@given(st.binary(min_size=16, max_size=256).filter(lambda key: len(set(key)) >= 8))
def test_what_keygen_writes_is_read(key: bytes) -> None:
    assert parse_secrets(format_secret(key), "cluster.key") == (Secret(key),)


def test_two_secrets_the_preferred_one_first() -> None:
    text = f"# old and new\n\n  {LINE}\r\n{OTHER}\n"
    assert parse_secrets(text, "k") == (Secret(GOOD), Secret(bytes(range(40, 72))))


def test_ids_differ_and_are_never_the_one_for_none() -> None:
    first, second = parse_secrets(f"{LINE}\n{OTHER}", "k")
    assert len({first.id, second.id, NO_SECRET_ID}) == 3
    assert Secret(GOOD).id == first.id


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "cluster.key: no secret in it; make one with: trionet keygen"),
        ("# only a comment\n", "cluster.key: no secret in it; make one with: trionet keygen"),
        ("hunter2", "expected the word trionet-secret-v1 and then one secret in hexadecimal digits"),
        ("trionet-secret-v2 " + GOOD.hex(), "expected the word trionet-secret-v1"),
        (LINE + " more", "expected the word trionet-secret-v1"),
        ("trionet-secret-v1 " + "0g" * 32, "has 64 characters, not all of them pairs of hexadecimal digits"),
        ("trionet-secret-v1 " + GOOD.hex()[:-1], "has 63 characters, not all of them pairs"),
        ("trionet-secret-v1 " + GOOD[:15].hex(), "a secret of 120 bits, expected at least 128"),
        ("trionet-secret-v1 " + (GOOD * 9).hex(), "a secret of 2304 bits, expected at most 2048"),
        ("trionet-secret-v1 " + bytes(32).hex(), "the secret is not random"),
        (f"{LINE}\n{LINE}", "line 2: the same secret a second time"),
        (f"{LINE}\n{OTHER}\ntrionet-secret-v1 {GOOD[::-1].hex()}", "3 secrets, expected one, or two"),
    ],
)
def test_what_is_refused(text: str, problem: str) -> None:
    (found,) = problems(text)
    assert problem in found
    assert found.startswith("cluster.key")


def test_every_problem_is_told_at_once() -> None:
    assert len(problems("hunter2\n\ntrionet-secret-v1 00\n" + LINE)) == 2


def test_no_text_shows_a_secret() -> None:
    assert GOOD.hex()[:-1] not in str(problems(LINE[:-1]))
    assert GOOD.hex() not in repr(Secret(GOOD)) + str(Secret(GOOD))


@pytest.mark.parametrize("key", [b"", GOOD[:15], bytes(32)])
def test_keygen_refuses_weak_bytes(key: bytes) -> None:
    with pytest.raises(ConfigError):
        format_secret(key)
