"""Who a node is to its peers: cluster name, harbor id, incarnation, secrets.

Duty: what each handshake starts from, and the check of the secret file at the start.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from trionet.cluster_config import ClusterConfig
from trionet.errors import ConfigError
from trionet.net.transport import Connection
from trionet.wire.agreement import LinkIdentity
from trionet.wire.secrets import Secret, parse_secrets


@attrs.define
class Identity:
    """What a node brings into its handshakes.

    Args:
        cluster: the cluster's name.
        incarnation: the node's incarnation.
        secrets: what it shares with its peers.
        harbor: its harbor id; 0 until the master gave it one.
    """

    cluster: str
    incarnation: int
    secrets: tuple[Secret, ...]
    harbor: int = 0

    def on(self, connection: Connection) -> LinkIdentity:
        """The identity for one connection: records only where bytes could be changed on the way."""
        return LinkIdentity(
            cluster=self.cluster,
            harbor=self.harbor,
            incarnation=self.incarnation,
            secrets=self.secrets,
            records=not connection.is_safe,
            binding=connection.binding,
        )


def read_secrets(config: ClusterConfig) -> tuple[Secret, ...]:
    """Read the secret file that the configuration names, if any.

    Raises:
        ConfigError: if it cannot be read, or holds no secret that is strong enough.
    """
    if config.secret_file is None:
        return ()
    try:
        text = Path(config.secret_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"cluster.secret_file: {config.secret_file} cannot be read: {error}"]) from error
    return parse_secrets(text, config.secret_file)
