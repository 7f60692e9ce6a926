"""Configuration of the debug console: where it listens, and how much a client of it may cost.

Duty: frozen settings and the rules that they must keep.
May import: the standard library, attrs, trionet.config and trionet.cluster_config.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
from attrs import field

from trionet.cluster_config import ClusterConfig, address_rule, unix_path
from trionet.config import Rule, count, seconds

#: A Unix socket of its own for each node, in the runtime folder of the user.
AUTO: Final = "auto"
#: No console.
NONE: Final = "none"


def _is_place(value: Any) -> bool:
    return value in (AUTO, NONE) or address_rule.accepts(value)


_place: Final = Rule(
    expected="\"auto\", \"none\", or an address: 'host:port', '[v6]:port' or 'unix:path'", accepts=_is_place
)


@attrs.frozen(kw_only=True)
class ConsoleConfig:
    """The settings of a node's debug console.

    Args:
        address: where it listens: ``"auto"``, a Unix socket of its own in the runtime folder of the user;
            ``"none"``, nowhere; or an address, of which TCP needs the secret of the cluster.
        clients: clients that it serves at a time.
        line_size: bytes that a line of a client may have.
        write_timeout: seconds that a client may take to read a reply.
    """

    address: str = field(default=AUTO, validator=_place)
    clients: int = field(default=16, validator=count("clients"))
    line_size: int = field(default=64 * 1024, validator=count("bytes", least=64))
    write_timeout: float = field(default=10.0, validator=seconds())

    @property
    def is_tcp(self) -> bool:
        """Whether others than users of this machine can try to reach it."""
        return self.address not in (AUTO, NONE) and unix_path(self.address) is None

    def problems(self, cluster: ClusterConfig | None) -> list[str]:
        """What is unsafe beside the cluster's settings, one line each."""
        if not self.is_tcp or (cluster is not None and cluster.secret_file is not None):
            return []
        expected = "expected that secret, or a Unix socket as in 'unix:path'"
        return [f'address: found "{self.address}" without cluster.secret_file, {expected}']
