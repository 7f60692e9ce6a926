"""A player's session that ends itself when the player is idle, watched by a lobby.

The idle timer is a cancel scope with a deadline: whatever the player does moves the deadline, and nothing
has to be cancelled and started again.  The lobby starts each session as its child and watches it.

Run it with ``trionet run examples/player_session.py``.
"""

import trio

from trionet import Handle, Node, NoSuchService, Service, ServiceExited, command, spec


class Session(Service):
    def __init__(self, player: str, idle_after: float) -> None:
        self.player = player
        self.idle_after = idle_after
        self.score = 0
        self.idle = trio.CancelScope()

    async def setup(self) -> None:
        self._touch()
        self.nursery.start_soon(self._leave_when_idle)

    @command
    def play(self, points: int) -> int:
        self._touch()
        self.score += points
        return self.score

    @command
    async def quit(self) -> str:
        await self.stop()  # a request: this handler may still return its value
        return f"bye, {self.player}"

    def _touch(self) -> None:
        self.idle.deadline = trio.current_time() + self.idle_after

    async def _leave_when_idle(self) -> None:
        with self.idle:
            await trio.sleep_forever()
        print(f"  {self.player} has been idle for {self.idle_after:g} s")
        await self.stop()

    async def teardown(self) -> None:
        print(f"  {self.player} leaves with a score of {self.score}")


class Lobby(Service):
    def __init__(self, idle_after: float) -> None:
        self.idle_after = idle_after
        self.sessions: dict[str, Session] = {}
        self.empty = trio.Event()

    @command
    async def enter(self, player: str) -> Session:
        session = await self.start(spec(Session, player, self.idle_after))
        self.sessions[player] = session
        self.nursery.start_soon(self._see_off, player, session)
        return session  # a reference: it may travel

    @command
    def players(self) -> list[str]:
        return sorted(self.sessions)

    @command
    async def wait_empty(self) -> None:
        await self.empty.wait()

    async def _see_off(self, player: str, session: Session) -> None:
        async with self.watch(session) as watch:
            end = await watch.wait()
        print(f"  the lobby hears of {player}: {end}")
        del self.sessions[player]
        if not self.sessions:
            self.empty.set()

    async def child_failed(self, child: Handle, error: BaseException) -> None:
        """One session that fails is no reason to close the lobby; the watch tells of it."""


async def main(node: Node) -> None:
    lobby = await node.start(spec(Lobby, idle_after=1.0), name=".lobby")
    ann = await lobby.enter("Ann")
    bob = await lobby.enter("Bob")
    print("in the lobby:", await lobby.players())

    for _ in range(4):  # Ann plays on, Bob has fallen asleep
        await trio.sleep(0.3)
        print("Ann's score:", await ann.play(10))
    print("in the lobby:", await lobby.players())

    try:
        await bob.play(1)
    except (NoSuchService, ServiceExited) as error:
        print(f"Bob comes back too late: {type(error).__name__}, executed={error.executed}")

    print(await ann.quit())
    await lobby.wait_empty()
    print("in the lobby:", await lobby.players())
