"""Messages that cost their receiver time (C14): refused before they are read, or paid for by their link."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trionet import BadMessage, Node, NodeConfig, Service, command
from trionet.message import ITEM_WEIGHT, PART_WEIGHT
from trionet.net.harbor import Harbor
from trionet.net.peer import Peer
from trionet.net.pump import LONGEST_PAUSE
from trionet.testing import open_cluster
from trionet.wire.codec import Codec

#: Bytes of a message that is costly in these tests.
COSTLY = 100_000


class Echo(Service):
    """Gives back what it gets."""

    @command
    def echo(self, item: Any) -> Any:
        return item


def peer_of(node: Node, harbor: int) -> Peer:
    """One node's side of its link to another."""
    assert isinstance(node.network, Harbor)
    peer = node.network._links.peer(harbor)
    assert peer is not None
    return peer


class Outcome:
    """Stands for a caller."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.over = trio.Event()

    def fail(self, error: Exception, checks: list[object]) -> None:
        self.error = error
        self.over.set()


async def test_c14_a_message_of_too_many_items_fails_and_its_link_stays(autojump_clock: MockClock) -> None:
    """What no honest node sends: a megabyte that would become a million lists."""
    many = b"\x9a" + (1 << 20).to_bytes(4) + b"\x80" * (1 << 20)
    async with open_cluster(2) as cluster:
        echo = await cluster[1].start(Echo)
        local = cluster[1].services()[-1].local
        outcome = Outcome()
        peer = peer_of(cluster[2], 1)
        peer.link.call(0, local, "echo", b"\x82" + many + b"\xa0", token=outcome)
        peer.kick()
        await outcome.over.wait()
        assert isinstance(outcome.error, BadMessage)
        assert "more items than a message may have" in str(outcome.error)
        assert await cluster[2].call(echo, "echo", 42) == 42
        assert peer_of(cluster[2], 1) is peer


@pytest.mark.parametrize(("item", "weight"), [(0, 8), (None, 8), ([], 64), ((), 64), (1 << 70, 72)])
async def test_c14_what_may_be_sent_can_be_received(
    autojump_clock: MockClock, item: object, weight: int
) -> None:
    """As many items as the sender lets through, of those that are shortest when encoded, there and back."""
    around = ITEM_WEIGHT + 2 * PART_WEIGHT  # the list, and the tuple of the arguments with one item
    most = (256_000 - around) // weight
    async with open_cluster(2, config=NodeConfig(message_size=256_000)) as cluster:
        echo = cluster[2].ref(await cluster[1].start(Echo), Echo)
        assert await echo.echo([item] * most) == [item] * most
        with pytest.raises(BadMessage, match="larger than a message may be") as caught:
            await echo.echo([item] * (most + 1))
        assert caught.value.executed is False


@pytest.mark.parametrize(("cost", "pause"), [(0.05, 0.0), (0.5, 0.5), (5.0, LONGEST_PAUSE)])
async def test_c14_a_link_pays_for_what_it_costs(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, cost: float, pause: float
) -> None:
    """After a message that took long to read, others have their turn; only its own link waits."""
    decode = Codec.decode

    def slow(codec: Codec, data: Any) -> tuple[Any, list[object]]:
        if len(data) > COSTLY:
            autojump_clock.jump(cost)
        return decode(codec, data)

    monkeypatch.setattr(Codec, "decode", slow)
    async with open_cluster(3) as cluster:
        echo = await cluster[1].start(Echo)
        costly, other = cluster[2].ref(echo, Echo), cluster[3].ref(echo, Echo)
        ends: dict[str, float] = {}

        async def call(name: str, from_: Echo) -> None:
            await from_.echo(1)
            ends[name] = trio.current_time() - began

        began = trio.current_time()
        await costly.echo.send("x" * COSTLY * 2)
        while trio.current_time() - began < cost:  # noqa: ASYNC110 - until it is being read
            await trio.sleep(0.001)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, "costly", costly)
            nursery.start_soon(call, "other", other)
        assert ends["other"] < 0.04
        assert ends["costly"] == pytest.approx(pause, abs=0.04)
