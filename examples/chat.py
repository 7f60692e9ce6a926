"""A chat over WebSockets: a gate, a service for each client, and a room that is restarted when it fails.

Run it with ``trionet run examples/chat.py``: it plays two clients of itself, and ends.  With
``trionet run examples/chat.py -- 8000`` it serves ``ws://127.0.0.1:8000/NAME`` until Ctrl-C.
"""

from collections.abc import AsyncIterator
from contextlib import suppress

import attrs
import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    open_websocket_url,
    serve_websocket,
)

from trionet import (
    CallError,
    Handle,
    NameTaken,
    Node,
    Restart,
    Service,
    StartFailed,
    command,
    spec,
    stream,
    value,
)


@value
@attrs.frozen
class Line:
    who: str
    text: str

    def __str__(self) -> str:
        return f"{self.who}: {self.text}"


class Room(Service):
    """Keeps what was said, and gives it to everybody who listens."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.listeners: dict[str, trio.MemorySendChannel[Line]] = {}

    @command
    def say(self, who: str, text: str) -> None:
        if text == "/crash":
            self.nursery.start_soon(self._crash)
            return
        line = Line(who, text)
        self.lines.append(line)
        for name, queue in list(self.listeners.items()):
            try:
                queue.send_nowait(line)
            except trio.WouldBlock:  # it reads too slowly: its stream ends, and nobody else waits for it
                self.listeners.pop(name).close()

    @command
    def present(self) -> list[str]:
        return sorted(self.listeners)

    @stream(endless=True)
    async def listen(self, who: str, last: int = 10) -> AsyncIterator[Line]:
        queue, lines = trio.open_memory_channel[Line](100)
        self.listeners[who] = queue
        try:
            for line in self.lines[-last:]:
                yield line
            async for line in lines:
                yield line
        finally:
            if self.listeners.get(who) is queue:
                del self.listeners[who]

    async def _crash(self) -> None:
        raise RuntimeError("the roof has fallen in")


class Session(Service):
    """One client.  Its name is taken as long as the client is there."""

    def __init__(self, socket: WebSocketConnection, who: str) -> None:
        self.socket = socket
        self.who = who

    async def setup(self) -> None:
        self.room = self.node.ref(".room", Room)
        self.nursery.start_soon(self._read)
        self.nursery.start_soon(self._write)

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                text = await self.socket.get_message()
                try:
                    await self.room.say(self.who, str(text))
                except CallError:
                    await self.socket.send_message("* there is no room just now")
        await self.stop()

    async def _write(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                with suppress(CallError):
                    async with self.room.listen(self.who) as lines:
                        present = ", ".join(await self.room.present())
                        await self.socket.send_message(f"* welcome; here: {present}")
                        async for line in lines:
                            await self.socket.send_message(str(line))
                    break  # the room has ended the stream: this client was too slow
                await self.socket.send_message("* the room is gone")
                await self.node.wait_for_name(".room")
        await self.stop()


class Gate(Service):
    """Accepts clients, and starts a session for each; these are its children, and end with it."""

    def __init__(self, port: int) -> None:
        self.asked_port = port

    async def setup(self) -> None:
        await self.nursery.start(self._accept)

    async def _accept(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            serve = (serve_websocket, self._client, "127.0.0.1", self.asked_port, None)
            server = await nursery.start(*serve)
            self.bound_port: int = server.port
            task_status.started()

    async def _client(self, request: WebSocketRequest) -> None:
        who = request.path.strip("/") or "somebody"
        socket = await request.accept()
        try:
            session = await self.start(spec(Session, socket, who), name=f".client.{who}")
        except NameTaken:
            await socket.aclose(1008, f"the name {who} is taken")
        except (StartFailed, ValueError) as error:
            await socket.aclose(1008, str(error)[:100])
        else:
            async with self.watch(session) as watch:
                await watch.wait()

    async def child_failed(self, child: Handle, error: BaseException) -> None:
        """A session that fails is not the end of the gate."""
        self.log.error("the session %s has failed", child, exc_info=error)

    @command
    def port(self) -> int:
        return self.bound_port


async def play(port: int) -> None:
    """Two clients, one of which does some damage."""
    url = f"ws://127.0.0.1:{port}"
    async with open_websocket_url(f"{url}/ann") as ann:
        print("ann <-", await ann.get_message())
        async with open_websocket_url(f"{url}/ben") as ben:
            print("ben <-", await ben.get_message())
            await ann.send_message("hello")
            print("ben <-", await ben.get_message())
            print("ann <-", await ann.get_message())
            await ben.send_message("/crash")
            print("ann <-", await ann.get_message())
            print("ann <-", str(await ann.get_message()).partition(";")[0])
        async with open_websocket_url(f"{url}/ann") as another:
            try:
                await another.get_message()
            except ConnectionClosed as closed:
                print("another ann is told:", closed.reason and closed.reason.reason)


async def main(node: Node, args: tuple[str, ...] = ()) -> None:
    await node.start(Room, name=".room", restart=Restart("failure", delay=0.1))
    gate = await node.start(spec(Gate, int(args[0]) if args else 0), name=".gate")
    if args:
        await node.serve_forever()
    await play(await gate.port())
