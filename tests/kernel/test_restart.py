"""Services that are started again: when, how often, under which names (C8, C9, C11)."""

from __future__ import annotations

import logging
from typing import Literal

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kernel.lives import Failing, Log, Quiet, actor_of, note, taken
from trionet import (
    NameTaken,
    Node,
    NodeConfig,
    NoSuchService,
    Restart,
    Service,
    ServiceRestarting,
    command,
    spec,
)
from trionet.testing import Hold, exits, fail_service, find_leaks

When = Literal["never", "failure", "always"]


@pytest.fixture
def node_config() -> NodeConfig:
    return NodeConfig(stop_grace=10)


@pytest.fixture(params=[".service", "service"], ids=["local", "global"])
def name(request: pytest.FixtureRequest) -> str:
    text: str = request.param
    return text


def policy(when: When = "failure", most: int = 3, within: float = 100, delay: float = 1) -> Restart:
    return Restart(when=when, most=most, within=within, delay=delay)


async def ends_by(node: Node, name: str, way: str) -> None:
    """End the service of a name: by a failure, by its own wish, by its owner."""
    if way == "failure":
        await fail_service(node, name, KeyError("again"))
    elif way == "own wish":
        await node.call(name, "end")
    else:
        await getattr(node, way)(name)
    await wait_all_tasks_blocked()


@pytest.mark.parametrize(
    ("when", "way", "again"),
    [
        ("never", "failure", False),
        ("never", "own wish", False),
        ("never", "stop", False),
        ("never", "kill", False),
        ("failure", "failure", True),
        ("failure", "own wish", False),
        ("failure", "stop", False),
        ("failure", "kill", False),
        ("always", "failure", True),
        ("always", "own wish", True),
        ("always", "stop", False),
        ("always", "kill", False),
    ],
)
async def test_which_end_is_followed_by_a_restart(node: Node, when: When, way: str, again: bool) -> None:
    log: Log = []
    await node.start(spec(Failing, log), name=".service", restart=policy(when))
    first = node.lookup(".service")
    await ends_by(node, ".service", way)
    assert node.lookup(".service") is None
    await trio.sleep(2)
    second = node.lookup(".service")
    assert again is (second is not None)
    assert first != second
    assert log.count("failing set up") == (2 if again else 1)
    if not again:
        assert find_leaks(node) == ()


@pytest.mark.parametrize("exclusive", [False, True])
async def test_c11_the_name_is_reserved_while_its_service_is_away(
    node: Node, name: str, exclusive: bool
) -> None:
    """Through the end, the pause and the new setup nobody else gets it, and callers are told."""
    hold = Hold()
    hold_teardown = Hold()

    class Slow(Failing):
        async def setup(self) -> None:
            await hold.here()

        async def teardown(self) -> None:
            await hold_teardown.here()

    async def is_reserved() -> None:
        with pytest.raises(NameTaken) as taken_:
            await node.start(Quiet, name=name)
        assert taken_.value.owner is None
        with pytest.raises(ServiceRestarting) as restarting:
            await node.call(name, "identity")
        assert restarting.value.executed is False
        assert node.lookup(name) is None
        assert {} == node.names()

    async with trio.open_nursery() as nursery:

        async def begin() -> None:
            await node.start(spec(Slow), name=name, restart=policy("always"), exclusive=exclusive)

        nursery.start_soon(begin)
        await hold.wait_held()
        hold.release_one()
        first = await node.wait_for_name(name)
        nursery.start_soon(node.call, name, "end")
        await hold_teardown.wait_held()
        await is_reserved()  # it tears down
        hold_teardown.release()
        await wait_all_tasks_blocked()
        await is_reserved()  # the pause
        await hold.wait_held()
        if not exclusive or name.startswith("."):  # else it has its name before its setup
            await is_reserved()  # the new one is set up
        hold.release()
        assert await node.wait_for_name(name) != first


async def test_references_by_name_follow_a_restart(node: Node, name: str) -> None:
    by_handle = await node.start(spec(Failing), name=name, restart=policy())
    by_name = node.ref(name, Failing)
    first = await by_name.identity()
    await fail_service(node, name, KeyError())
    await node.wait_for_name(name)
    second = await by_name.identity()
    assert first != second
    assert second == str(node.lookup(name))
    with pytest.raises(NoSuchService):
        await by_handle.identity()


async def test_a_send_to_a_name_that_restarts_is_a_dead_letter(node: Node, name: str) -> None:
    await node.start(spec(Failing), name=name, restart=policy())
    await fail_service(node, name, KeyError())
    async with node.dead_letters.subscribe() as letters:
        await node.send(name, "identity")
        letter = await letters.receive()
    assert (name, "identity") == (letter.target, letter.command)
    assert "about to be restarted" in letter.reason


async def test_the_pause_doubles_and_the_policy_gives_up(
    node: Node, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    log: Log = []
    await node.start(spec(Failing, log), name=name, restart=policy(most=3, delay=2))
    pauses = []
    for _ in range(3):
        began = trio.current_time()
        await fail_service(node, name, KeyError())
        await node.wait_for_name(name)
        pauses.append(trio.current_time() - began)
    assert pytest.approx([2, 4, 8]) == pauses
    await fail_service(node, name, KeyError("the last"))
    await wait_all_tasks_blocked()
    assert find_leaks(node) == ()
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert ["ended again after 3 restarts in 100 seconds" in each.getMessage() for each in errors] == [
        True,
        False,
    ]
    assert errors[1].exc_info is not None
    assert repr(errors[1].exc_info[1]) == "KeyError('the last')"
    assert log.count("failing set up") == 4


async def test_each_failure_is_logged_with_its_traceback(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    await node.start(spec(Failing), name=".service", restart=policy())
    await fail_service(node, ".service", KeyError("why"))
    await wait_all_tasks_blocked()
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "failed: KeyError: 'why'; it starts again in 1 seconds" in record.getMessage()
    assert record.exc_info is not None
    assert repr(record.exc_info[1]) == "KeyError('why')"


async def test_failures_far_apart_count_anew(node: Node) -> None:
    await node.start(spec(Failing), name=".service", restart=policy(most=1, within=10))
    for _ in range(5):
        began = trio.current_time()
        await fail_service(node, ".service", KeyError())
        await node.wait_for_name(".service")
        assert trio.current_time() - began == pytest.approx(1)
        await trio.sleep(10)


class SometimesBroken(Service):
    """Its setup raises what is in the list."""

    def __init__(self, errors: list[Exception | None]) -> None:
        self.errors = errors

    async def setup(self) -> None:
        error = self.errors.pop(0)
        if error is not None:
            raise error

    @command
    def answer(self) -> int:
        return 42


async def test_a_restart_that_fails_is_tried_again(node: Node, name: str) -> None:
    errors: list[Exception | None] = [None, KeyError("setup"), KeyError("setup"), None]
    await node.start(spec(SometimesBroken, errors), name=name, restart=policy())
    await fail_service(node, name, ValueError())
    await node.wait_for_name(name)
    assert await node.call(name, "answer") == 42
    assert ["ValueError", "KeyError: 'setup'", "KeyError: 'setup'"] == [each.error for each in exits(node)]


async def test_c9_a_restart_that_never_succeeds_is_given_up_loudly(
    node: Node, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    errors: list[Exception | None] = [None, *(KeyError(number) for number in range(10))]
    await node.start(spec(SometimesBroken, errors), name=name, restart=policy())
    await fail_service(node, name, ValueError())
    await trio.sleep(100)
    assert find_leaks(node) == ()
    records = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert 2 == len(records)
    assert records[1].exc_info is not None
    assert repr(records[1].exc_info[1]) == "KeyError(2)"


async def test_c9_a_child_whose_restart_never_succeeds_fails_its_parent(node: Node) -> None:
    errors: list[Exception | None] = [None, *(KeyError(number) for number in range(10))]

    class Parent(Service):
        async def setup(self) -> None:
            await self.start(spec(SometimesBroken, errors), name=".child", restart=policy())

    parent = await node.start(Parent)
    async with node.watch(parent) as end:
        await fail_service(node, ".child", ValueError())
        assert str(await end.wait()) == "failed: KeyError: 2"


@pytest.mark.parametrize("way", ["stop", "kill"])
@pytest.mark.parametrize("by", ["name", "node"])
async def test_a_stop_during_the_pause_ends_it_for_good(
    node: Node, caplog: pytest.LogCaptureFixture, name: str, way: str, by: str
) -> None:
    log: Log = []
    await node.start(spec(Failing, log), name=name, restart=policy(delay=50))
    await fail_service(node, name, KeyError())
    await wait_all_tasks_blocked()
    began = trio.current_time()
    if by == "name":
        await getattr(node, way)(name)
    else:
        await node.close()
    assert trio.current_time() == began
    assert find_leaks(node) == ()
    assert ["failing set up"] == log
    assert not [each for each in caplog.records if each.levelno == logging.ERROR]  # it was logged before


@pytest.mark.parametrize("way", ["stop", "kill"])
async def test_a_stop_during_the_new_setup_ends_it_for_good(node: Node, name: str, way: str) -> None:
    hold = Hold()

    class Slow(Failing):
        async def setup(self) -> None:
            await hold.here()

    async with trio.open_nursery() as nursery:

        async def begin() -> None:
            await node.start(spec(Slow), name=name, restart=policy())

        nursery.start_soon(begin)
        await hold.wait_held()
        hold.release_one()
    await fail_service(node, name, KeyError())
    await hold.wait_held()
    await getattr(node, way)(name)
    assert find_leaks(node) == ()
    assert ["failed", "killed"] == [each.reason for each in exits(node)]


async def test_a_stop_during_the_end_ends_it_for_good(node: Node, name: str) -> None:
    """The service ends by its own wish and would be started again, when its owner stops it."""
    log: Log = []
    hold = Hold()

    class Slow(Failing):
        async def teardown(self) -> None:
            await hold.here()

    await node.start(spec(Slow, log), name=name, restart=policy("always"))
    await node.call(name, "end")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(note, log, "stop", node.stop(name))
        await hold.wait_held()
        await wait_all_tasks_blocked()
        assert ["failing set up"] == taken(log)
        hold.release()
    assert ["stop: None"] == log
    assert find_leaks(node) == ()


async def test_c9_a_teardown_that_raises_at_a_stop_is_logged(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Failing):
        async def teardown(self) -> None:
            raise KeyError("teardown")

    await node.start(spec(Broken), name=".broken", restart=policy("always"))
    await node.stop(".broken")
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert repr(record.exc_info[1]) == "KeyError('teardown')"
    assert find_leaks(node) == ()


async def test_c11_a_name_freed_by_a_stop_is_free_at_once(node: Node, name: str) -> None:
    """While the stopped one still tears down, another takes the name, and keeps it."""
    hold = Hold()

    class Slow(Failing):
        async def teardown(self) -> None:
            await hold.here()

    async with trio.open_nursery() as nursery:
        await node.start(spec(Slow), name=name, restart=policy())
        nursery.start_soon(node.stop, name)
        await hold.wait_held()
        other = await node.start(Quiet, name=name)
        hold.release()
    assert node.lookup(name) == actor_of(node, other).handle
    assert await node.call(name, "answer") == 42


async def test_c11_a_name_freed_by_a_stop_may_be_reserved_by_another(node: Node, name: str) -> None:
    """The same, while that other one is still starting: its reservation is not the first one's to free."""
    hold = Hold()
    hold_setup = Hold()

    class Slow(Failing):
        async def teardown(self) -> None:
            await hold.here()

    class Other(Quiet):
        async def setup(self) -> None:
            await hold_setup.here()

    async with trio.open_nursery() as nursery:
        await node.start(spec(Slow), name=name, restart=policy())
        nursery.start_soon(node.stop, name)
        await hold.wait_held()

        async def start_other() -> None:
            await node.start(Other, name=name)

        nursery.start_soon(start_other)
        await hold_setup.wait_held()
        hold.release()
        await wait_all_tasks_blocked()
        with pytest.raises(NameTaken):
            await node.start(Quiet, name=name)
        hold_setup.release()
    assert await node.call(name, "answer") == 42


async def test_c11_a_name_kept_for_one_is_not_freed_by_another(node: Node, name: str) -> None:
    """One waits for its restart; another, whose start with the same name fails, does not free it."""
    await node.start(spec(Failing), name=name, restart=policy())
    await fail_service(node, name, KeyError())
    with pytest.raises(NameTaken):
        await node.start(spec(Failing), name=name, restart=policy())
    with pytest.raises(ServiceRestarting):
        await node.call(name, "identity")
    await node.wait_for_name(name)


async def test_c11_all_names_come_back(node: Node) -> None:
    first = await node.start(spec(Failing), name=".one", restart=policy())
    await node.register(".two", first)
    await node.register("three", first)
    await fail_service(node, ".one", KeyError())
    for name in (".one", ".two", "three"):
        with pytest.raises(ServiceRestarting):
            await node.call(name, "identity")
    await node.wait_for_name("three")
    owners = {node.lookup(name) for name in (".one", ".two", "three")}
    assert 1 == len(owners)
    assert exits(node)[0].handle not in owners


async def test_who_watches_is_told_of_the_one_that_ended(node: Node, name: str) -> None:
    await node.start(spec(Failing), name=name, restart=policy())
    async with node.watch(name) as end:
        await fail_service(node, name, KeyError())
        exit_ = await end.wait()
    await node.wait_for_name(name)
    assert exit_.reason == "failed"
    assert exit_.handle != node.lookup(name)


async def test_who_watches_by_name_during_the_pause_is_told_of_it(node: Node, name: str) -> None:
    await node.start(spec(Failing), name=name, restart=policy())
    await fail_service(node, name, KeyError())
    with pytest.raises(ServiceRestarting):
        async with node.watch(name):
            raise AssertionError("there is nothing to watch")


async def test_a_node_that_stops_restarts_nothing(node: Node) -> None:
    """A service that fails while others are still being stopped is not started again for long."""
    log: Log = []
    hold = Hold()

    class Slow(Quiet):
        async def teardown(self) -> None:
            await hold.here()

    await node.start(spec(Failing, log), name=".failing", restart=policy())
    await node.start(Slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.close)
        await hold.wait_held()  # the younger one ends first; the elder has not been asked yet
        await fail_service(node, ".failing", KeyError())
        await trio.sleep(0.5)
        hold.release()
    assert find_leaks(node) == ()
    assert ["failing set up"] == log


@pytest.mark.parametrize(
    "wrong",
    [{"when": "sometimes"}, {"most": -1}, {"within": 0}, {"delay": -1}, {"longest_delay": -0.1}],
    ids=str,
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Restart(**wrong)  # type: ignore[arg-type]
