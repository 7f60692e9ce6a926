"""What the tests of handlers that run in a link's own task share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from tests.kernel.stage import actor_of
from tests.kernel.track import Act, Runner, Track, nothing
from tests.sim.places import Places, open_places
from trionet import Node, spec
from trionet.kernel.declaration import Declaration
from trionet.kernel.direct import begin_here
from trionet.kernel.request import Request
from trionet.net import serving
from trionet.net.harbor import Harbor
from trionet.net.peer import Peer

R = TypeVar("R", bound=Runner)


class Scene(Places):
    """Callers here, runners there.

    Attributes:
        track: what the test shares with its runners.
        in_link: the commands whose handlers ran in a link's own task, in order.
    """

    track: Track
    in_link: list[str]

    async def runner_there(self, act: Act = nothing, *, kind: type[Runner] = Runner) -> Runner:
        """Start a runner there; returns a reference for callers who are here."""
        started = await self.there.start(spec(kind, self.track, act))
        return self.here.ref(started, kind)

    async def start_there(self, kind: type[R]) -> R:
        """Start a runner of some class there."""
        return self.here.ref(await self.there.start(spec(kind, self.track)), kind)

    async def runner_here(self) -> Runner:
        """Start a runner here."""
        return await self.here.start(spec(Runner, self.track))

    def local(self, box: Runner) -> Runner:
        """The same reference, for those who are there."""
        return self.there.ref(box, Runner)

    def taken_in_link(self) -> list[str]:
        """What ran in the link's task since the last time."""
        found = self.in_link.copy()
        self.in_link.clear()
        return found

    @property
    def sender(self) -> Peer:
        """The end of the link at which messages are sent."""
        return peer_of(self.here, 2)

    @property
    def receiver(self) -> Peer:
        """The end of the link in whose task handlers run."""
        return peer_of(self.there, 1)

    def outstanding(self, box: Runner) -> tuple[int, int]:
        """How many messages for a service the sender, and the receiver, still count as under way."""
        local = actor_of(self.there, self.local(box)).handle.local
        sent = self.sender.link._windows._sent.get(local)
        received = self.receiver.link._receiver.windows._received.get(local)
        return (0 if sent is None else sent.messages, 0 if received is None else received.messages)


def peer_of(node: Node, harbor: int) -> Peer:
    """One node's end of its link to another."""
    assert isinstance(node.network, Harbor)
    peer = node.network._links.peer(harbor)
    assert peer is not None
    return peer


@asynccontextmanager
async def open_scene(patch: pytest.MonkeyPatch, **settings: Any) -> AsyncIterator[Scene]:
    """Open two nodes with a link between them, and note what runs in its task."""
    in_link: list[str] = []

    def note(request: Request, command: Declaration, began: float) -> float:
        in_link.append(request.command)
        return begin_here(request, command, began)

    patch.setattr(serving, "begin_here", note)
    async with open_places("remote", **settings) as places:
        scene = Scene(places.here, places.there, places.cluster)
        scene.track, scene.in_link = Track(), in_link
        yield scene
        await scene.rest()
