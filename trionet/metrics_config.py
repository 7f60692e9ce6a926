"""Configuration of the figures that a node serves to Prometheus.

Duty: frozen settings and the rules that hold between them.
May import: the standard library, attrs and the other settings.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
from attrs import field

from trionet.cluster_config import is_private, split_address
from trionet.config import Rule, flag


def _is_address(value: Any) -> bool:
    if value is None:
        return True
    try:
        return isinstance(value, str) and bool(split_address(value))
    except ValueError:
        return False


_address: Final = Rule(expected="an address: 'host:port' or '[v6]:port'", accepts=_is_address)


@attrs.frozen(kw_only=True)
class MetricsConfig:
    """Where a node serves its figures.

    Args:
        address: where it listens for HTTP; None to serve none.
        exposed: whether the address may be one that other machines can reach: who reaches it can read.
    """

    address: str | None = field(default=None, validator=_address)
    exposed: bool = field(default=False, validator=flag)

    def problems(self) -> list[str]:
        """What contradicts each other or is unsafe, one line each; empty for a sound configuration."""
        if self.address is None or self.exposed or is_private(self.address):
            return []
        shown = f'found "{self.address}", which other machines can reach, without exposed = true'
        return [f"address: {shown}; expected that, or a loopback address"]
