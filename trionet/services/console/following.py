"""The commands whose results come one after another, until they are stopped."""

from __future__ import annotations

from typing import Any, Final

import trio

from trionet import TrionetError
from trionet.services.console.asking import Ask, Entry
from trionet.services.console.values import BadLine, parse_arguments, to_json
from trionet.services.inspection import line_of
from trionet.services.remote_node import RemoteNode

#: Seconds after which a node that was lost is asked again.
AGAIN: Final = 1.0


async def _messages(ask: Ask) -> Any:
    (word,) = ask.words("messages SERVICE", 1, 1)
    remote, target = ask.place(word)
    async with remote.messages(target) as events:
        async for event in events:
            await ask.say(line_of(event))
    return "the service has ended"


async def _dead_letters(ask: Ask) -> Any:
    words = ask.words("deadletters [follow]", 0, 1)
    if not words:
        found = await ask.remote.dead_letters()
        return [{"target": target, "count": count} for target, count in found.items()]
    if words != ["follow"]:
        raise BadLine(f"found {words[0][:20]!r}, expected: deadletters [follow]")
    async with ask.remote.follow_dead_letters() as letters:
        async for letter in letters:
            source = "the node" if letter.source is None else letter.source
            await ask.say(f"{letter.command} from {source} to {letter.target}: {letter.reason}")
    return None


async def _load(ask: Ask) -> Any:
    """The load of all nodes, or of one; what ``trionet top`` shows."""
    interval, most = _load_options(ask)
    latest: dict[int, Any] = {}
    async with trio.open_nursery() as nursery:
        running: set[int] = set()
        while True:
            harbors = ask.node.cluster.nodes() or {ask.node.harbor: ""}
            wanted = set(harbors) if ask.harbor is None else {ask.harbor}
            for harbor in wanted - running:
                running.add(harbor)
                nursery.start_soon(_follow_node, ask, harbor, interval, most, latest)
            for harbor in running - wanted:
                latest.pop(harbor, None)
            await trio.sleep(interval)
            now = trio.current_time()
            shown = [{"harbor": harbor, **_shown(latest.get(harbor), now)} for harbor in sorted(wanted)]
            await ask.say(shown)


def _load_options(ask: Ask) -> tuple[float, int]:
    args, kwargs = parse_arguments(f"({','.join(ask.rest.split())})")
    interval, most = (*args, *(1.0, 20)[len(args) :])[:2]
    numbers = type(interval) in (int, float) and type(most) is int
    if kwargs or len(args) > 2 or not numbers or not 0.1 <= interval <= 3600 or not 0 <= most <= 1000:
        raise BadLine("expected: load [SECONDS [SERVICES]], seconds from 0.1, at most 1000 services a node")
    return interval, most


def _shown(latest: Any, now: float) -> dict[str, Any]:
    """What was last heard of a node, and how long ago."""
    if latest is None:
        return {"problem": "no answer yet"}
    when, content = latest
    return {"age": round(now - when, 3), **content}


async def _follow_node(ask: Ask, harbor: int, interval: float, most: int, latest: dict[int, Any]) -> None:
    remote = RemoteNode(ask.node, harbor)
    while True:
        try:
            async with remote.load(interval, most) as loads:
                async for load in loads:
                    latest[harbor] = trio.current_time(), to_json(load)
        except (TrionetError, trio.TooSlowError) as error:
            latest[harbor] = trio.current_time(), {"problem": str(error)}
        await trio.sleep(AGAIN)


FOLLOWING: Final = {
    "messages": Entry("messages SERVICE", "the messages of a service, as they come", _messages),
    "deadletters": Entry(
        "deadletters [follow]", "where dead letters were for; or each as it comes", _dead_letters
    ),
    "load": Entry("load [SECONDS [SERVICES]]", "rates of all nodes, again and again: trionet top", _load),
}
