"""Messages that are handled in the task of the link that brought them: which, in what order (C1, C2, C7)."""

from __future__ import annotations

from contextvars import ContextVar

import attrs
import pytest
import trio
from trio.testing import MockClock

from tests.kernel.stage import actor_of
from tests.kernel.track import Runner, Serial, direct_only
from tests.sim.link_task import open_scene
from tests.sim.places import REST
from trionet import BadMessage, Service, command, current_request, spec, value
from trionet.kernel.messaging import SLICE
from trionet.kernel.seams import READING

Patch = pytest.MonkeyPatch
colour: ContextVar[str] = ContextVar("colour", default="none")


# --- which ----------------------------------------------------------------------------------------------


@direct_only
async def test_c7_a_plain_function_of_an_idle_service(autojump_clock: MockClock, monkeypatch: Patch) -> None:
    async with open_scene(monkeypatch) as scene:
        box = await scene.runner_there()
        assert await box.note("call") == "call"
        await box.note.send("send")
        box.note.send_nowait("send now")
        await trio.sleep(REST)
        assert scene.taken_in_link() == ["note"] * 3
        assert scene.track.log == ["call", "send", "send now"]
        assert scene.there.service_statistics(scene.local(box)).messages == 3


@direct_only
async def test_c7_not_without_a_free_slot(autojump_clock: MockClock, monkeypatch: Patch) -> None:
    async with open_scene(monkeypatch) as scene, trio.open_nursery() as nursery:
        box = await scene.runner_there(kind=Serial)
        held = await scene.begin(nursery, lambda: box.hold("a"))
        noted = await scene.begin(nursery, lambda: box.note("word"))
        assert not noted.over.is_set()
        scene.track.open("a")
        await noted.over.wait()
        await held.over.wait()
        assert scene.track.log == ["a begins", "a ends", "word"]
        assert scene.taken_in_link() == []


@value(name="test.link.sized")
@attrs.define(on_setattr=attrs.setters.NO_OP)
class Sized:
    """A class whose validator can be got around."""

    size: int = attrs.field(default=0, validator=attrs.validators.ge(0))


@direct_only
async def test_c1_validators_do_not_run_in_the_task_of_a_link(
    autojump_clock: MockClock, monkeypatch: Patch
) -> None:
    async with open_scene(monkeypatch) as scene:
        box = await scene.runner_there()
        bad = Sized(1)
        bad.size = -1
        with pytest.raises(BadMessage, match="refused by its validator") as caught:
            await box.note(bad)
        assert caught.value.executed is False
        assert await box.note(Sized(2)) == Sized(2)
        assert scene.taken_in_link() == []


# --- order ----------------------------------------------------------------------------------------------


class Source(Service):
    """Hands over messages in a row, all of which arrive at once."""

    @command
    async def send_mixed(self, target: Runner, rounds: int) -> None:
        for number in range(rounds):
            target.note.send_nowait(f"{number}a")
            target.step.send_nowait(f"{number}b")
            target.note.send_nowait(f"{number}c")
            target.note.send_nowait(f"{number}d{'.' * (100_000 * (number % 5 == 0))}")
        await target.note("end")

    @command
    async def send_many(self, targets: list[Runner], count: int) -> None:
        for number in range(count):
            for index, target in enumerate(targets):
                target.note.send_nowait(f"{index}.{number}")


async def test_c2_plain_functions_do_not_pass_coroutines(
    autojump_clock: MockClock, monkeypatch: Patch
) -> None:
    """Those of one sender, whatever is queued and whatever could be handled at once."""
    async with open_scene(monkeypatch) as scene:
        box = await scene.runner_there()
        source = await scene.here.start(Source)
        await source.send_mixed(box, 20)
        expected = [f"{number}{kind}" for number in range(20) for kind in "abcd"]
        assert [word.rstrip(".") for word in scene.track.log] == [*expected, "end"]


@direct_only
async def test_c2_behind_a_queued_message_it_goes_through_the_inbox(
    autojump_clock: MockClock, monkeypatch: Patch
) -> None:
    async with open_scene(monkeypatch) as scene:
        box = await scene.runner_there()
        for word in ("1", "2", "3"):  # in one batch
            (box.step if word == "2" else box.note).send_nowait(word)
        await trio.sleep(REST)
        assert scene.track.log == ["1", "2", "3"]
        assert scene.taken_in_link() == ["note"]  # the first of them
        await box.note("4")
        assert scene.taken_in_link() == ["note"]


@direct_only
async def test_c7_when_its_slice_is_over_the_rest_is_queued(
    autojump_clock: MockClock, monkeypatch: Patch
) -> None:
    """All that comes at once has one slice; what is left over has its turn with all other tasks."""
    for number in ("pump.READ_LEAST", "sending.WRITE_EARLY"):
        monkeypatch.setattr(f"trionet.net.{number}", 64 * 1024)
    async with open_scene(monkeypatch) as scene:
        one, two = await scene.runner_there(), await scene.runner_there()
        source = await scene.here.start(Source)
        await source.send_many([one, two], 200)
        await trio.sleep(REST)
        assert 2 <= len(scene.taken_in_link()) <= SLICE / READING + 2
        for index, box in enumerate((one, two)):
            words = [word for word in scene.track.log if word.startswith(f"{index}.")]
            assert words == [f"{index}.{number}" for number in range(200)]
            assert actor_of(scene.there, scene.local(box)).messages == 200


@direct_only
async def test_c7_a_slow_handler_uses_up_the_slice(autojump_clock: MockClock, monkeypatch: Patch) -> None:
    def be_slow(runner: Runner) -> None:
        for _ in range(200):
            runner.node.stopwatch()

    async with open_scene(monkeypatch) as scene:
        slow, other = await scene.runner_there(be_slow), await scene.runner_there()
        other.note.send_nowait("before")
        slow.do.send_nowait()
        other.note.send_nowait("after")
        await trio.sleep(REST)
        assert scene.taken_in_link() == ["note", "do"]
        other.note.send_nowait("with the next bytes")
        await trio.sleep(REST)
        assert scene.taken_in_link() == ["note"]
        assert scene.track.log == ["before", "after", "with the next bytes"]


class Asker(Service):
    """Asks, and looks what was there when the reply came."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    @command
    def hear(self, word: str) -> None:
        self.seen.append(len(word))

    @command
    async def ask(self, target: Runner) -> tuple[str, list[int], int]:
        reply = await self.call(target, "answer", self.ref())
        return reply, self.seen, self.node.service_statistics(self.handle).inbox


@pytest.mark.parametrize("sizes", [[1], [1, 200_000, 3], [1_000_000]])
async def test_c2_what_it_sends_to_its_caller_comes_before_its_reply(
    autojump_clock: MockClock, monkeypatch: Patch, sizes: list[int]
) -> None:
    class Answerer(Runner):
        @command
        def answer(self, caller: Asker) -> str:
            for size in sizes:
                caller.hear.send_nowait("x" * size)
            return "reply"

    async with open_scene(monkeypatch) as scene:
        answerer = await scene.runner_there(kind=Answerer)
        asker = await scene.here.start(Asker)
        reply, seen, waiting = await asker.ask(answerer)
        assert reply == "reply"
        assert len(seen) + waiting == len(sizes)
        await trio.sleep(REST)
        assert seen[: len(seen)] == sizes[: len(seen)]


# --- what a handler knows -------------------------------------------------------------------------------


class Curious(Runner):
    """Tells what it knows."""

    @command
    def tell(self) -> tuple[object, ...]:
        known = current_request()
        before = colour.get()
        colour.set("of a handler")
        return known.source, known.node, known.trace, known.deadline - trio.current_time(), before


class Teller(Service):
    """Asks a curious one."""

    @command
    async def ask(self, target: Curious) -> tuple[object, ...]:
        own = current_request()
        with trio.fail_after(8):
            source, node, trace, left, before = await target.tell()
        return source == self.handle, node == self.node.incarnation, trace == own.trace, left, before


async def test_c6_it_knows_its_caller_and_the_time_that_is_left(
    autojump_clock: MockClock, monkeypatch: Patch
) -> None:
    async with open_scene(monkeypatch) as scene:
        curious = await scene.start_there(Curious)
        teller = await scene.here.start(Teller)
        for _ in range(2):  # and leaves nothing behind in the link's task
            *known, left, before = await teller.ask(curious)
            assert known == [True, True, True]
            assert left == pytest.approx(8)
            assert before == "none"


@direct_only
async def test_c7_it_is_charged_once(autojump_clock: MockClock, monkeypatch: Patch) -> None:
    async with open_scene(monkeypatch) as scene:
        box = await scene.there.start(spec(Runner, scene.track))
        far = scene.here.ref(box, Runner)
        before = scene.there.statistics().cpu_time
        for number in range(10):
            await far.note(number)
        assert scene.taken_in_link() == ["note"] * 10
        statistics = scene.there.service_statistics(box)
        assert statistics.messages == 10
        assert statistics.cpu_time == pytest.approx(10 * READING)
        assert scene.there.statistics().cpu_time - before == pytest.approx(10 * READING)
