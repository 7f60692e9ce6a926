"""The cluster secret: what a secret file looks like, and what the handshake makes of it.

Duty: text of a secret file to secrets, random bytes to the text of one.
May import: the standard library, attrs and trionet.errors.

A secret file is text.  Lines that begin with ``#`` and empty lines are skipped; each other line is the
word ``trionet-secret-v1``, white space, and the secret in hexadecimal digits, at least 128 random bits.
There may be two.  The first is the one that a node prefers when it dials; either is accepted.  To change
the secret of a running cluster: append the new one on every node, then swap the lines on every node,
then remove the old one.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import attrs

from trionet.errors import ConfigError

#: Least bytes of a secret, 128 bits.
MIN_SECRET: Final = 16
#: Most bytes of a secret.
MAX_SECRET: Final = 256
#: Bytes that ``trionet keygen`` draws.
SECRET_SIZE: Final = 32
#: Most secrets in one file.
MAX_SECRETS: Final = 2
#: Bytes of the id of a secret.
SECRET_ID_SIZE: Final = 8
#: The id that stands for "no secret".
NO_SECRET_ID: Final = bytes(SECRET_ID_SIZE)

_WORD: Final = "trionet-secret-v1"
_MIN_DISTINCT: Final = 8
_TOP: Final = (
    "# The secret of a trionet cluster: whoever can read this file can join the cluster.\n"
    "# Give the same file to every node and keep it readable by its owner only.\n"
    "# A second line of the same form may follow while the secret is being changed.\n"
)


@attrs.frozen
class Secret:
    """One secret of a cluster.

    Args:
        key: its bytes; never shown.
    """

    key: bytes = attrs.field(repr=False)

    @property
    def id(self) -> bytes:
        """What stands for it on the wire; it tells nothing about the secret."""
        digest = hmac.digest(self.key, b"trionet secret id", hashlib.sha256)
        return digest[:SECRET_ID_SIZE]

    def __str__(self) -> str:
        return f"secret {self.id.hex()}"


def format_secret(random: bytes) -> str:
    """Return the text of a secret file that holds one secret.

    Args:
        random: the secret, drawn from a source fit for keys; :data:`SECRET_SIZE` bytes are customary.

    Raises:
        ConfigError: if there are too few or too many bytes, or they are plainly not random.
    """
    problem = _weakness(random)
    if problem is not None:
        raise ConfigError([f"the new secret: {problem}"])
    return f"{_TOP}{_WORD} {random.hex()}\n"


def parse_secrets(text: str, where: str) -> tuple[Secret, ...]:
    """Read the text of a secret file.

    Args:
        text: the text.
        where: what to call it in an error, usually its path.

    Returns:
        One or two secrets, the preferred one first.

    Raises:
        ConfigError: with every problem found: a line of another form, a secret that is too short, too long
            or not random, the same one twice, none at all or more than two.  No text of it shows a secret.
    """
    secrets: list[Secret] = []
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _parse_line(line)
        if isinstance(found, str):
            problems.append(f"{where}: line {number}: {found}")
        elif found in secrets:
            problems.append(f"{where}: line {number}: the same secret a second time")
        else:
            secrets.append(found)
    if len(secrets) > MAX_SECRETS:
        problems.append(f"{where}: {len(secrets)} secrets, expected one, or two during a change")
    if not secrets and not problems:
        problems.append(f"{where}: no secret in it; make one with: trionet keygen")
    if problems:
        raise ConfigError(problems)
    return tuple(secrets)


def _parse_line(line: str) -> Secret | str:
    """Return the secret of a line, or what is wrong with it."""
    words = line.split()
    if words[0] != _WORD or len(words) != 2:
        return f"expected the word {_WORD} and then one secret in hexadecimal digits"
    try:
        key = bytes.fromhex(words[1])
    except ValueError:
        return f"the secret has {len(words[1])} characters, not all of them pairs of hexadecimal digits"
    return _weakness(key) or Secret(key)


def _weakness(key: bytes) -> str | None:
    if len(key) < MIN_SECRET:
        return f"a secret of {8 * len(key)} bits, expected at least {8 * MIN_SECRET}"
    if len(key) > MAX_SECRET:
        return f"a secret of {8 * len(key)} bits, expected at most {8 * MAX_SECRET}"
    if len(set(key)) < _MIN_DISTINCT:
        return "the secret is not random; make one with: trionet keygen"
    return None
