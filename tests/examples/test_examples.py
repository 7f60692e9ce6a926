"""The examples: each is run as a user runs it, and in virtual time, where it prints exactly one thing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio

from trionet import Node, NoSuchService, RemoteError, Service, command, spec
from trionet.testing import open_simulated_node, run_simulated

EXAMPLES = Path(__file__).parents[2] / "examples"

PRINTED = {
    "hello": """\
Hello, Trio!
Hello, world!
Hello, you!
""",
    "kv_store": """\
at first: ['motto', 'token']
refreshed in time: Entry(text='def', version=3)
not refreshed: None
what is left: ['motto']
too late: motto has version 4, not 1
at last: Entry(text='first things first', version=4)
""",
    "player_session": """\
in the lobby: ['Ann', 'Bob']
Ann's score: 10
Ann's score: 20
Ann's score: 30
  Bob has been idle for 1 s
  Bob leaves with a score of 0
  the lobby hears of Bob: stopped
Ann's score: 40
in the lobby: ['Ann']
Bob comes back too late: NoSuchService, executed=False
bye, Ann
  Ann leaves with a score of 40
  the lobby hears of Ann: stopped
in the lobby: []
""",
    "ticker": """\
Ann sees number 1: 100.00
slow Bob sees number 2: 100.25
Ann sees number 2: 100.25
Ann sees number 3: 100.50
Ann sees number 4: 100.75
Ann sees number 5: 101.00
  a watcher misses number 6
Ann sees number 6: 101.25
  a watcher misses number 7
Ann sees number 7: 101.50
  a watcher misses number 8
Ann sees number 8: 101.75
slow Bob sees number 3: 100.50
slow Bob sees number 4: 100.75
slow Bob sees number 5: 101.00
at last: 100.0 ... 101.75
""",
    "job_queue": """\
  :00000003 is ready to work
  :00000004 is ready to work
  :00000003 has ended (failed: RuntimeError: the tool broke); job 3 goes back
  :00000005 is ready to work
job 1: done by :00000003 at attempt 1
job 2: done by :00000004 at attempt 1
job 3: done by :00000005 at attempt 2
job 4: done by :00000004 at attempt 1
job 5: done by :00000005 at attempt 1
job 6: done by :00000004 at attempt 1
""",
}
ONE_NODE = pytest.mark.parametrize("name", PRINTED)


@pytest.fixture
def kv_store() -> Iterator[ModuleType]:
    yield from loaded("kv_store")


@pytest.fixture
def player_session() -> Iterator[ModuleType]:
    yield from loaded("player_session")


@pytest.fixture
def job_queue() -> Iterator[ModuleType]:
    yield from loaded("job_queue")


def loaded(name: str) -> Iterator[ModuleType]:
    """Run the code of an example as a module of its name, for as long as it is needed."""
    module_spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert module_spec is not None
    assert module_spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[name]


async def run_main(module: ModuleType) -> None:
    """Run ``main`` of an example as ``trionet run`` does."""
    async with open_simulated_node() as node:
        await module.main(node)


@ONE_NODE
def test_example_prints_in_virtual_time(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for module in loaded(name):
        run_simulated(run_main, module)
    assert PRINTED[name] == capsys.readouterr().out


def printed_by(name: str) -> str:
    """Run an example as a user does; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "trionet", "run", "--console=none", str(EXAMPLES / f"{name}.py")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@ONE_NODE
def test_example_runs_as_a_program(name: str) -> None:
    assert PRINTED[name].splitlines()[0] == printed_by(name).splitlines()[0]  # the rest depends on real time


# --- what the programs do not show ----------------------------------------------------------------------


async def test_a_key_that_is_deleted_does_not_expire_later(node: Node, kv_store: ModuleType) -> None:
    store = await node.start(kv_store.Store)
    await store.put("key", "old", ttl=1)
    assert await store.delete("key")
    assert not await store.delete("key")
    await store.put("key", "new")
    await trio.sleep(10)
    assert (await store.get("key")).text == "new"


async def test_a_new_key_is_version_zero_for_its_writer(node: Node, kv_store: ModuleType) -> None:
    store = await node.start(kv_store.Store)
    version = await store.put("key", "first", expected=0)
    with pytest.raises(kv_store.WrongVersion):
        await store.put("key", "second", expected=0)
    await store.delete("key")
    assert await store.put("key", "third", expected=0) > version


async def test_a_session_that_fails_does_not_close_the_lobby(
    node: Node,
    player_session: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def fail(_: Service) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(player_session.Session, "_leave_when_idle", fail)
    lobby = await node.start(spec(player_session.Lobby, idle_after=1))
    await lobby.enter("Cid")
    await lobby.wait_empty()
    assert await lobby.players() == []
    assert "Cid: failed: RuntimeError: out of order" in capsys.readouterr().out


class Taker(Service):
    """Takes jobs as it is told."""

    def __init__(self, queue: Service) -> None:
        self.queue = queue

    @command
    async def take(self) -> Any:
        return await self.call(self.queue, "take")

    @command
    async def acknowledge(self) -> None:
        await self.call(self.queue, "acknowledge", "done")


async def test_a_take_that_was_cancelled_loses_no_job(node: Node, job_queue: ModuleType) -> None:
    queue = await node.start(job_queue.JobQueue)
    taker = await node.start(spec(Taker, queue))
    with trio.move_on_after(1) as scope:
        await taker.take()
    assert scope.cancelled_caught
    job = job_queue.Job(1, seconds=0)
    await queue.put(job)
    assert await taker.take() == job


async def test_a_job_that_was_not_acknowledged_is_given_again(node: Node, job_queue: ModuleType) -> None:
    queue = await node.start(job_queue.JobQueue)
    taker = await node.start(spec(Taker, queue))
    other = await node.start(spec(Taker, queue))
    job = job_queue.Job(1, seconds=0)
    await queue.put(job)
    assert await taker.take() == job
    assert await taker.take() == job
    await node.kill(taker)
    assert (await other.take()).attempt == 2
    await other.acknowledge()
    assert await queue.results() == {1: "done"}


async def test_jobs_are_for_services_and_acknowledged_once(node: Node, job_queue: ModuleType) -> None:
    queue = await node.start(job_queue.JobQueue)
    with pytest.raises(RemoteError, match="only a service can take"):
        await queue.take()
    with pytest.raises(RemoteError, match="has taken no job"):
        await queue.acknowledge("done")
    assert await queue.results() == {}


async def test_an_ended_session_takes_no_command(node: Node, player_session: ModuleType) -> None:
    lobby = await node.start(spec(player_session.Lobby, idle_after=5))
    dee = await lobby.enter("Dee")
    await dee.quit()
    await lobby.wait_empty()
    with pytest.raises(NoSuchService) as caught:
        await dee.play(1)
    assert caught.value.executed is False
