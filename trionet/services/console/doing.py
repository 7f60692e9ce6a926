"""The commands that change something."""

from __future__ import annotations

import re
from typing import Any, Final

from trionet.services.console.asking import Ask, Entry
from trionet.services.console.values import BadLine, parse_arguments

_CALL: Final = re.compile(r"(?P<target>\S+)\s+(?P<command>\w+)\s*(?P<args>\(.*\))?", re.DOTALL)
_START: Final = re.compile(r"(?P<cls>[\w.]+:[\w.]+)\s*(?P<args>\(.*\))?\s*(?P<name>[^\s()]+)?", re.DOTALL)
_LINES: Final = re.compile(r"[1-9]\d{0,8}")


async def _call(ask: Ask) -> Any:
    match = _CALL.fullmatch(ask.rest)
    if match is None:
        raise BadLine(
            'expected: call SERVICE COMMAND(ARGUMENTS), as in call .greeter greet("Ann", loud=true)'
        )
    args, kwargs = parse_arguments(match["args"] or "")
    handle = await ask.handle(match["target"])
    return await ask.node.call(handle, match["command"], *args, **kwargs)


async def _start(ask: Ask) -> Any:
    match = _START.fullmatch(ask.rest)
    if match is None:
        raise BadLine(
            'expected: start MODULE:CLASS(ARGUMENTS) [NAME], as in start game.rooms:Room("x") .room'
        )
    args, kwargs = parse_arguments(match["args"] or "")
    made = await ask.remote.launch(match["cls"], args, kwargs, name=match["name"])
    return {"handle": str(ask.node.handle_of(made))}


async def _stop(ask: Ask) -> Any:
    (word,) = ask.words("stop SERVICE", 1, 1)
    remote, target = ask.place(word)
    await remote.stop(target)


async def _kill(ask: Ask) -> Any:
    (word,) = ask.words("kill SERVICE", 1, 1)
    remote, target = ask.place(word)
    await remote.kill(target)


async def _gc(ask: Ask) -> Any:
    ask.no_words("gc")
    return await ask.remote.collect()


async def _loglevel(ask: Ask) -> Any:
    words = ask.words("loglevel [LOGGER LEVEL]", 0, 2)
    if len(words) == 1:
        raise BadLine("expected: loglevel [LOGGER LEVEL], as in loglevel root debug")
    if words:
        await ask.remote.set_log_level(*words)
    levels = await ask.remote.log_levels()
    return [{"logger": logger, "level": level} for logger, level in levels.items()]


async def _logon(ask: Ask) -> Any:
    word, *most = ask.words("logon SERVICE [LINES]", 1, 2)
    if most and _LINES.fullmatch(most[0]) is None:
        raise BadLine(f"found {most[0][:20]!r}, expected a whole number of lines")
    remote, target = ask.place(word)
    await remote.log_messages(target, *map(int, most))


async def _logoff(ask: Ask) -> Any:
    (word,) = ask.words("logoff SERVICE", 1, 1)
    remote, target = ask.place(word)
    if not await remote.log_no_messages(target):
        return "its messages were not logged"
    return None


DOING: Final = {
    "call": Entry("call SERVICE COMMAND(ARGS)", 'call a command: call .greeter greet("Ann")', _call),
    "start": Entry("start CLASS(ARGS) [NAME]", "start a service, if node.launch allows it", _start),
    "stop": Entry("stop SERVICE", "stop a service in order, and wait for its end", _stop),
    "kill": Entry("kill SERVICE", "end a service at once", _kill),
    "gc": Entry("gc", "run the garbage collector of a node", _gc),
    "loglevel": Entry("loglevel [LOGGER LEVEL]", "the levels of a node's log, or set one", _loglevel),
    "logon": Entry("logon SERVICE [LINES]", "log the messages of a service on its node", _logon),
    "logoff": Entry("logoff SERVICE", "end that", _logoff),
}
