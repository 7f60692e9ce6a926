"""Configuration of a node's part in a cluster: addresses, secrets, and every number of the network.

Duty: frozen settings and the rules that hold between them.
May import: the standard library, attrs and trionet.config.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any, Final, Literal

import attrs
from attrs import field

from trionet.config import Rule, count, one_of, seconds
from trionet.handle import MAX_HARBOR

_TCP: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\[\]:/\s]+):(?P<port>\d{1,5})")
_CLUSTER_NAME: Final = re.compile(r"[\w.-]{1,64}")
_UNIX: Final = "unix:"
#: Hosts that mean every address of a machine.
_WILDCARDS: Final = ("0.0.0.0", "::")


def split_address(address: str) -> tuple[str, int]:
    """Split ``host:port``, or ``[v6]:port``, into host and port.

    Raises:
        ValueError: if it is neither.
    """
    match = _TCP.fullmatch(address)
    if match is None or int(match["port"]) > 65535:
        raise ValueError(f"{address!r} is no address: expected 'host:port', '[v6]:port' or 'unix:path'")
    return match["host"].strip("[]"), int(match["port"])


def unix_path(address: str) -> str | None:
    """The path of a Unix socket's address, or None for another kind."""
    return address.removeprefix(_UNIX) if address.startswith(_UNIX) else None


def is_private(address: str) -> bool:
    """Tell whether only this machine can reach an address: loopback, or a Unix socket."""
    if address.startswith(_UNIX):
        return True
    host, _ = split_address(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(address: str) -> str | None:
    return None if unix_path(address) is not None else split_address(address)[0]


def _is_address(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    if value.startswith(_UNIX):
        return len(value) > len(_UNIX)
    try:
        split_address(value)
    except ValueError:
        return False
    return True


def _is_harbor(value: Any) -> bool:
    return value == "auto" or (type(value) is int and 1 <= value <= MAX_HARBOR)


def _read_harbor(text: str) -> int | str:
    return text if text == "auto" else int(text)


def _optional(rule: Rule) -> Rule:
    return attrs.evolve(rule, accepts=lambda value: value is None or rule.accepts(value))


address_rule: Final = Rule(
    expected="an address: 'host:port', '[v6]:port' or 'unix:path'", accepts=_is_address
)
_path: Final = Rule(expected="a path", accepts=lambda value: isinstance(value, str) and value != "")
_harbor: Final = Rule(
    expected=f'a harbor id, 1 to {MAX_HARBOR}, or "auto"', accepts=_is_harbor, read=_read_harbor
)
_cluster_name: Final = Rule(
    expected="a name of 1 to 64 letters, digits, dots, hyphens or underscores",
    accepts=lambda value: isinstance(value, str) and _CLUSTER_NAME.fullmatch(value) is not None,
)


@attrs.frozen(kw_only=True)
class ClusterConfig:
    """The settings of a node's part in a cluster.

    Args:
        harbor: the node's harbor id, or ``"auto"`` to be given one by the master.
        address: where the node listens for other nodes, and where they dial it.
        master: where the master listens; by default the ``standalone`` address.
        standalone: where this node's own master listens; none if the master is elsewhere.
        name: the cluster's name; nodes of another cluster are refused.
        secret_file: the file with the secret (``trionet keygen``); required where an address can be
            reached from other machines, unless TLS is set up.
        tls_certificate: file with the certificate chain of this node, PEM.
        tls_key: file with its private key, PEM.
        tls_authority: file with the certificates that peers must be signed by, PEM.
        join_timeout: seconds that joining may take, the master's start included.
        heartbeat: seconds from one heartbeat to the next.
        heartbeat_timeout: seconds without receiving after which a link is dead.
        handshake_timeout: seconds that a handshake may take.
        fence: what holds back the owner of an exclusive name on a node that stood still for longer than its
            lease: ``"tasks"``, the service is killed before any task goes on, but what was being executed is
            executed to its next ``await``; ``"process"``, besides, half a ``heartbeat_timeout`` later the
            system ends the whole process, by SIGALRM, before anything is executed; ``"auto"``, the same as
            long as nobody else in the process uses SIGALRM, else as ``"tasks"``.
        cancel_grace: seconds that a cancelled caller waits for the other node's confirmation.
        window_messages: messages that may be on their way to one service from one node.  What comes last
            waits for so many; where a round trip takes long, there are no more in it than these.
        window_bytes: the same in bytes.
        pending_bytes: bytes that wait for the socket of a link before senders wait.
        half_open: handshakes that may be under way on one listener.
        reconnect_least: seconds before the first try to connect again; doubles, with full jitter.
        reconnect_most: the largest delay, in seconds.
    """

    harbor: int | str = field(default="auto", validator=_harbor)
    address: str = field(default="127.0.0.1:0", validator=address_rule)
    master: str | None = field(default=None, validator=_optional(address_rule))
    standalone: str | None = field(default=None, validator=_optional(address_rule))
    name: str = field(default="trionet", validator=_cluster_name)
    secret_file: str | None = field(default=None, validator=_optional(_path))
    tls_certificate: str | None = field(default=None, validator=_optional(_path))
    tls_key: str | None = field(default=None, validator=_optional(_path))
    tls_authority: str | None = field(default=None, validator=_optional(_path))
    join_timeout: float = field(default=30.0, validator=seconds())
    heartbeat: float = field(default=5.0, validator=seconds())
    heartbeat_timeout: float = field(default=20.0, validator=seconds())
    handshake_timeout: float = field(default=5.0, validator=seconds())
    fence: Literal["auto", "process", "tasks"] = field(
        default="auto", validator=one_of(("auto", "process", "tasks"))
    )
    cancel_grace: float = field(default=1.0, validator=seconds(zero=True))
    window_messages: int = field(default=200, validator=count("messages"))
    window_bytes: int = field(default=4 * 1024 * 1024, validator=count("bytes"))
    pending_bytes: int = field(default=1024 * 1024, validator=count("bytes"))
    half_open: int = field(default=64, validator=count("handshakes"))
    reconnect_least: float = field(default=0.1, validator=seconds())
    reconnect_most: float = field(default=10.0, validator=seconds())

    @property
    def wanted_harbor(self) -> int:
        """The harbor id to ask the master for; 0 to be given one."""
        return 0 if isinstance(self.harbor, str) else self.harbor

    @property
    def master_address(self) -> str | None:
        """Where the master is."""
        return self.master or self.standalone

    @property
    def uses_tls(self) -> bool:
        """Whether links run inside TLS."""
        return self.tls_certificate is not None

    def problems(self) -> list[str]:
        """What contradicts each other or is unsafe, one line each; empty for a sound configuration."""
        found = []
        if self.master_address is None:
            found.append(
                "master: found none, expected the master's address, or standalone for a node with it"
            )
        tls = {
            "tls_certificate": self.tls_certificate,
            "tls_key": self.tls_key,
            "tls_authority": self.tls_authority,
        }
        missing = [key for key, each in tls.items() if each is None]
        if missing and len(missing) < len(tls):
            found.append(f"{missing[0]}: found none, expected a file, since other tls_ settings are there")
        for key, address in (("address", self.address), ("standalone", self.standalone)):
            if address and not (is_private(address) or self.secret_file or self.uses_tls):
                found.append(
                    f'{key}: found "{address}", which other machines can reach, without secret_file or '
                    "tls_*; expected one of them, or a loopback address"
                )
        found.extend(self._unusable())
        if self.heartbeat_timeout <= self.heartbeat:
            found.append(
                f"heartbeat_timeout: found {self.heartbeat_timeout:g}, expected more than heartbeat, "
                f"which is {self.heartbeat:g}"
            )
        if self.reconnect_most < self.reconnect_least:
            found.append(
                f"reconnect_most: found {self.reconnect_most:g}, expected at least reconnect_least, "
                f"which is {self.reconnect_least:g}"
            )
        return found

    def _unusable(self) -> Iterator[str]:
        """Addresses at which nobody could be reached."""
        if _host(self.address) in _WILDCARDS:
            yield f'address: found "{self.address}", expected the address at which other nodes reach this one'
        for key, address in (("master", self.master), ("standalone", self.standalone)):
            if address is not None and address.endswith(":0") and unix_path(address) is None:
                yield f'{key}: found "{address}", expected a port that other nodes can know'
