"""Those who follow what happens on a node: they hold up nobody, neither when they lag nor when they leave."""

from __future__ import annotations

import pytest
import trio

from tests.kernel.nodes import Echo
from trionet import Handle, NameAdded, Node
from trionet.kernel.event_streams import EventStreams
from trionet.kernel.subscribers import Subscribers


async def test_a_follower_of_the_cluster_that_has_closed_its_end(node: Node) -> None:
    async with node.cluster.events() as closed, node.cluster.events() as events:
        closed.close()
        echo = await node.start(Echo, name="echo")
        assert events.receive_nowait() == NameAdded("echo", node.handle_of(echo))


async def test_who_lags_misses_the_newest_and_is_counted() -> None:
    subscribers: Subscribers[int] = Subscribers(2)
    async with subscribers.subscribe() as slow, subscribers.subscribe() as fast:
        missed = []
        for number in range(4):
            missed.append(subscribers.offer(number))
            assert fast.receive_nowait() == number
        assert missed == [0, 0, 1, 1]
        assert [slow.receive_nowait(), slow.receive_nowait()] == [0, 1]
        assert subscribers.offer(4) == 0
        assert slow.receive_nowait() == 4
        assert len(subscribers) == 2
    assert len(subscribers) == 0


async def test_an_event_that_is_missed_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trionet.kernel.event_streams.SUBSCRIBER_BUFFER", 1)
    streams = EventStreams()
    async with streams.subscribe() as events:
        for number in range(2):
            streams.publish(NameAdded(f"name{number}", Handle(1, 2)))
        with pytest.raises(trio.WouldBlock):
            [events.receive_nowait() for _ in range(2)]
    assert caplog.messages == ["a subscriber of cluster events lags by 1 and misses one"]
