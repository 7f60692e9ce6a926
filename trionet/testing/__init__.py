"""The testing kit: what tests of services and of clusters need.

Duty: what makes a test of a user short and exactly repeatable.
May import: everything of trionet; nothing of trionet imports it.

pytest finds the fixtures ``node``, ``node_config`` and ``virtual_time`` by itself wherever trionet is
installed; they are in ``trionet.testing.plugin``.
"""

from trionet.testing.cluster import SimulatedCluster as SimulatedCluster
from trionet.testing.cluster import open_cluster as open_cluster
from trionet.testing.forcing import Hold as Hold
from trionet.testing.forcing import exits as exits
from trionet.testing.forcing import fail_service as fail_service
from trionet.testing.forcing import full_inbox as full_inbox
from trionet.testing.leaks import assert_no_leaks as assert_no_leaks
from trionet.testing.leaks import find_leaks as find_leaks
from trionet.testing.simulated import open_simulated_node as open_simulated_node
from trionet.testing.simulated import run_simulated as run_simulated
from trionet.testing.standin import Received as Received
from trionet.testing.standin import stand_in as stand_in

__all__ = [
    "Hold",
    "Received",
    "SimulatedCluster",
    "assert_no_leaks",
    "exits",
    "fail_service",
    "find_leaks",
    "full_inbox",
    "open_cluster",
    "open_simulated_node",
    "run_simulated",
    "stand_in",
]


def _claim_public_names() -> None:
    """Let each public name say that it lives here: in error texts, logs and the reference."""
    for name in __all__:
        globals()[name].__module__ = __name__


_claim_public_names()
