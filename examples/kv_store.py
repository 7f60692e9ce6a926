"""A key-value store whose keys expire.

Each key that expires has a helper task in the nursery of the service, which sleeps and then forgets the
key.  Writing the key again, or deleting it, cancels that task.  A version with each value lets two writers
notice each other.

Run it with ``trionet run examples/kv_store.py``.
"""

import attrs
import trio

from trionet import Node, Service, command, value


@value
@attrs.frozen
class Entry:
    text: str
    version: int


@value
class WrongVersion(Exception):
    """The key has changed since the writer read it."""


class Store(Service):
    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.timers: dict[str, trio.CancelScope] = {}
        self.last_version = 0  # of the whole store: a key that was deleted never has an old version again

    @command
    def get(self, key: str) -> Entry | None:
        return self.entries.get(key)

    @command
    def put(self, key: str, text: str, *, ttl: float | None = None, expected: int | None = None) -> int:
        """Store a text and return its version.

        Args:
            key: the key.
            text: the text.
            ttl: seconds after which the key expires; None for never.
            expected: the version that the key must have now, 0 for a new key; None for any.
        """
        found = self.entries[key].version if key in self.entries else 0
        if expected is not None and expected != found:
            raise WrongVersion(f"{key} has version {found}, not {expected}")
        self._stop_timer(key)
        self.last_version += 1
        self.entries[key] = Entry(text, self.last_version)
        if ttl is not None:
            scope = self.timers[key] = trio.CancelScope()
            self.nursery.start_soon(self._expire, key, ttl, scope)
        return self.last_version

    @command
    def delete(self, key: str) -> bool:
        self._stop_timer(key)
        return self.entries.pop(key, None) is not None

    @command
    def keys(self) -> list[str]:
        return sorted(self.entries)

    async def _expire(self, key: str, ttl: float, scope: trio.CancelScope) -> None:
        with scope:
            await trio.sleep(ttl)
            del self.entries[key], self.timers[key]

    def _stop_timer(self, key: str) -> None:
        if key in self.timers:
            self.timers.pop(key).cancel()


async def main(node: Node) -> None:
    store = await node.start(Store, name=".store")
    await store.put("motto", "one thing at a time")
    await store.put("token", "abc", ttl=0.3)
    print("at first:", await store.keys())

    await trio.sleep(0.2)
    await store.put("token", "def", ttl=0.3)  # the time begins anew
    await trio.sleep(0.2)
    print("refreshed in time:", await store.get("token"))

    await trio.sleep(0.2)
    print("not refreshed:", await store.get("token"))
    print("what is left:", await store.keys())

    entry = await store.get("motto")
    assert entry is not None
    await store.put("motto", "first things first", expected=entry.version)
    try:
        await store.put("motto", "last things last", expected=entry.version)
    except WrongVersion as error:  # a declared exception arrives as itself
        print("too late:", error)
    print("at last:", await store.get("motto"))
