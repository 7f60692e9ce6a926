"""What the tests of the datacenter share."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trionet import Node, Restart, Service, command, spec
from trionet.services import Change, Datacenter, DatacenterClient, datacenter
from trionet.testing import Hold


async def open_datacenter(
    node: Node, path: object = None, *, restart: Restart | None = None, **options: Any
) -> DatacenterClient:
    """Start a datacenter on a node; returns its client there."""
    made = spec(Datacenter, None if path is None else str(path), **options)
    await node.start(made, name="datacenter", restart=restart)
    return datacenter(node)


def told(change: Change) -> tuple[str, Any]:
    """What a change says, in short; ... for a deletion."""
    return change.path, ... if change.deleted else change.value


def info(node: Node) -> dict[str, Any]:
    """What the datacenter of a node tells of itself."""
    seen = node.service_info("datacenter")
    assert isinstance(seen, dict)
    return seen


class Owner(Service):
    """Sets values that vanish with it."""

    @command
    async def own(self, path: str, value: object = "mine") -> object:
        """Set one, with itself as the owner."""
        return await datacenter(self.node).set(path, value, owner=self.handle)


class SlowDisk:
    """Holds every commit of a node until it is released; the first ones may have been let through."""

    def __init__(self, node: Node, patch: pytest.MonkeyPatch) -> None:
        self.hold = Hold()
        self._run_sync = node.run_sync
        patch.setattr(node, "run_sync", self._slowly)

    async def _slowly(self, function: Any, *args: Any) -> Any:
        if getattr(function, "__name__", "") == "commit":
            await self.hold.here()
        return await self._run_sync(function, *args)


async def settle() -> None:
    """Wait until nothing moves."""
    await trio.testing.wait_all_tasks_blocked()
