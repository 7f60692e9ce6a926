"""The pytest plugin: fixtures for tests of services, active wherever trionet is installed.

Duty: bind the testing kit to pytest and pytest-trio.  It adds fixtures and nothing else: it changes no test
that does not ask for one of them, and needs pytest-trio only when one is used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from trionet.config import NodeConfig
from trionet.kernel.node import Node
from trionet.testing.simulated import open_simulated_node, run_simulated


@pytest.fixture
def virtual_time(request: pytest.FixtureRequest) -> None:
    """Run the test in virtual time and with a seeded scheduler; see ``trionet.testing.run_simulated``.

    The fixture ``node`` brings it along.  A clock fixture that the test itself asks for, such as
    ``mock_clock`` of pytest-trio, is used instead; so is a ``run`` function of the test's ``trio`` marker.
    """
    marker = request.node.get_closest_marker("trio")
    if marker is None:
        pytest.fail(
            "the fixtures of trionet are for tests that pytest-trio runs: install it, and mark the test with "
            "@pytest.mark.trio or set `trio_mode = true`",
            pytrace=False,
        )
    if marker.kwargs.get("run") in (None, trio.run):
        request.node.add_marker(pytest.mark.trio(run=run_simulated), append=False)


@pytest.fixture
def node_config() -> NodeConfig:
    """The settings of ``node``; a test module or class that needs others defines this fixture itself."""
    return NodeConfig()


@pytest.fixture
async def node(virtual_time: None, node_config: NodeConfig) -> AsyncIterator[Node]:  # noqa: ARG001 - a fixture that acts by itself
    """An open node in virtual time: seeded chance, no threads, a leak check at the end of the test."""
    async with open_simulated_node(node_config) as node:
        yield node
