"""Two masters that live at a time (C11): nobody sees both, but where their nodes meet, both are named."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import MockClock

from trionet.net.harbor import Harbor
from trionet.testing import SimulatedCluster, open_cluster

OLD, NEW = "node1:2013", "node9:2013"


def harbor_of(cluster: SimulatedCluster, number: int) -> Harbor:
    harbor = cluster[number].network
    assert isinstance(harbor, Harbor)
    return harbor


async def move(cluster: SimulatedCluster, number: int, address: str) -> None:
    """The name of the master's host means another one now: what a node sees when it has to connect again."""
    harbor = harbor_of(cluster, number)
    slave = harbor._slave
    slave._address = address
    harbor._links._config = attrs.evolve(harbor.config, master=address)
    assert slave._pump is not None
    slave._pump.end("the test moves it")
    await trio.sleep(1)
    assert harbor_of(cluster, number).machine.is_admitted


async def test_a_node_of_another_master_is_turned_away_and_told_why(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The new master has nodes of the old one from what the moved node knew, and has them dialled."""
    caplog.set_level("INFO")
    async with open_cluster(3) as cluster:
        await cluster.start(9, standalone=NEW, master=NEW)
        caplog.clear()
        await move(cluster, 3, NEW)
        await trio.sleep(60)
        text = f"it is not in the table of the master at {OLD} (epoch 1)"
        assert f"was refused: harbor 9, in that incarnation: {text}" in caplog.text
        dialled = "cannot be reached: the peer said goodbye: " + text
        follows = f"; this node follows the master at {NEW} (epoch 2)"
        told = [each.getMessage() for each in caplog.records if dialled in each.getMessage()]
        assert told
        assert all(text.endswith(follows) for text in told)
        assert cluster[1].cluster.linked() == (2,)
        assert cluster[3].cluster.linked() == (9,)
