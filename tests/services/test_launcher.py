"""Services of another node: started, listed, measured and ended from here."""

from __future__ import annotations

import attrs
import pytest
import trio

from tests.services.workers import Failing, Hanging, Narrow, Plain, Secretive, Worker, WorkerApi
from trionet import (
    BadMessage,
    ConfigError,
    Handle,
    NameTaken,
    Node,
    NodeConfig,
    NodeDown,
    NoSuchClass,
    NoSuchService,
    RemoteError,
    Restart,
    Service,
    StartFailed,
    command,
    load_settings,
    spec,
)
from trionet.services import Launcher, LaunchRefused, RemoteNode
from trionet.testing import SimulatedCluster, fail_service, open_cluster, open_simulated_node

pytestmark = pytest.mark.usefixtures("virtual_run")

CONFIG = NodeConfig(launch=("tests.services.workers:*",))
WORKERS = "tests.services.workers"


async def put_up(cluster: SimulatedCluster) -> list[RemoteNode]:
    """Start the launchers; returns the nodes as the first one sees them."""
    for node in cluster.nodes.values():
        await node.start(Launcher, name=".launcher")
    return [RemoteNode(cluster[1], number) for number in cluster.nodes]


async def test_a_service_is_started_on_another_node() -> None:
    async with open_cluster(2, config=CONFIG) as cluster:
        _, two = await put_up(cluster)
        worker = await two.start(spec(Worker, 3, unit="km"), name="worker")
        assert await worker.describe() == "3 km on harbor 2"
        assert cluster[1].handle_of(worker).harbor == 2
        await cluster[1].wait_for_name("worker")
        assert cluster[1].lookup("worker") == cluster[1].handle_of(worker)
        assert isinstance(await two.start(Plain), Plain)
        named = await two.launch(f"{WORKERS}:Worker", (4,), {"unit": "s"}, interface=WorkerApi, name=".w")
        assert await named.double(4) == 8
        untyped = await two.launch(f"{WORKERS}:Worker", (5,))
        assert await untyped.describe() == "5 m on harbor 2"
        assert cluster[2].lookup(".w") == cluster[1].handle_of(named)


async def test_the_own_node_is_one_too() -> None:
    """Also without a cluster; its launcher is started when it is first needed."""
    async with open_cluster(1, config=CONFIG) as cluster, open_simulated_node(CONFIG) as single:
        for node in (cluster[1], single):
            own = RemoteNode(node, node.harbor)
            worker = await own.start(spec(Worker, 3), name=".w")
            assert await worker.describe() == f"3 m on harbor {node.harbor}"
            assert {".launcher", ".w"} == set(await own.names())


async def test_what_was_started_lives_on_its_own() -> None:
    """It is neither a child of the launcher, nor bound to the node that asked."""
    async with open_cluster(2, config=CONFIG) as cluster:
        _, two = await put_up(cluster)
        worker = cluster[2].ref(await two.start(spec(Worker, 3)), Worker)
        await cluster[2].kill(".launcher")
        await cluster.crash(1)
        assert await worker.double(1) == 2


async def test_a_restart_policy_goes_along() -> None:
    async with open_cluster(2, config=CONFIG) as cluster:
        _, two = await put_up(cluster)
        await two.start(spec(Worker, 3), name="worker", restart=Restart("failure", delay=1))
        worker = cluster[1].ref("worker", Worker)
        await cluster[1].wait_for_name("worker")
        former = cluster[1].lookup("worker")
        await fail_service(cluster[2], "worker", ValueError("broken"))
        await trio.sleep(2)
        assert await worker.double(2) == 4
        assert cluster[1].lookup("worker") != former


async def test_why_a_start_failed_reaches_who_asked() -> None:
    """The exception of a start, with what happened there."""
    async with open_cluster(2, config=CONFIG) as cluster:
        _, two = await put_up(cluster)
        with pytest.raises(StartFailed, match="did not start: NoWorkshop: the roof is leaking") as caught:
            await two.start(Failing)
        notes = "\n".join(caught.value.__notes__)
        assert "in setup" in notes
        assert 'raise NoWorkshop("the roof is leaking")' in notes
        assert len(await two.services()) == 1


async def test_a_name_that_is_taken() -> None:
    async with open_cluster(2, config=CONFIG) as cluster:
        _, two = await put_up(cluster)
        for name in (".w", "w"):
            first = await two.start(Plain, name=name)
            with pytest.raises(NameTaken) as caught:
                await two.start(Plain, name=name)
            assert caught.value.name == name
            assert caught.value.owner == cluster[1].handle_of(first)


async def test_cancelling_a_start_kills_what_was_starting() -> None:
    Hanging.ended.clear()
    async with open_cluster(2, config=CONFIG) as cluster:
        _, two = await put_up(cluster)
        with trio.move_on_after(1) as scope:
            await two.start(Hanging, name="h")
        assert scope.cancelled_caught
        assert Hanging.ended == ["setup"]
        assert len(await two.services()) == 1
        assert cluster[2].lookup("h") is None


async def test_who_asked_for_a_start_may_crash() -> None:
    """Then it is cancelled, too."""
    Hanging.ended.clear()
    async with open_cluster(3, config=CONFIG) as cluster:
        await put_up(cluster)
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(NodeDown):
                    await RemoteNode(cluster[3], 2).start(Hanging)

            nursery.start_soon(ask)
            await trio.sleep(1)
            await cluster.crash(3)
            await trio.sleep(1)
        assert Hanging.ended == ["setup"]


@pytest.mark.parametrize(
    ("class_name", "error", "text"),
    [
        ("os:system", LaunchRefused, "node node2 allows tests.services.workers:* to be started from elsew"),
        ("tests.services.workersx:Worker", LaunchRefused, "not tests.services.workersx:Worker (node.launch)"),
        (f"{WORKERS}:Imported", LaunchRefused, "not tests.kernel.nodes:Echo (node.launch)"),
        (f"{WORKERS}:Wroker", NoSuchClass, 'has no "Wroker"; did you mean "Worker"?'),
        (f"{WORKERS}:no_class", NoSuchClass, "it is of type function, expected a class"),
        (f"{WORKERS}:NUMBER", NoSuchClass, "it is of type int, expected a class"),
        (f"{WORKERS}:NoService", NoSuchClass, "it does not derive from trionet.Service"),
        (f"{WORKERS}:", NoSuchClass, 'expected a class as in "package.module:Class"'),
        (f"{WORKERS}:a b", NoSuchClass, 'expected a class as in "package.module:Class"'),
        (f"{WORKERS}:WorkerApi", LaunchRefused, "WorkerApi is an interface: double has no body"),
        (f"{WORKERS}:Worker", LaunchRefused, "missing a required argument: 'size'"),
    ],
)
async def test_what_cannot_be_started(class_name: str, error: type[Exception], text: str) -> None:
    async with open_cluster(2, config=CONFIG) as cluster:
        _, two = await put_up(cluster)
        with pytest.raises(error) as caught:
            await two.launch(class_name)
        assert text in str(caught.value)
        assert len(await two.services()) == 1


async def test_by_default_nothing_may_be_started() -> None:
    async with open_cluster(2) as cluster:
        _, two = await put_up(cluster)
        with pytest.raises(LaunchRefused, match="allows nothing to be started from elsewhere") as caught:
            await two.start(Plain)
        assert not hasattr(caught.value, "__notes__"), "where in trionet it was refused tells nobody anything"


async def test_arguments_are_values() -> None:
    async with open_cluster(2, config=CONFIG) as cluster:
        _, two = await put_up(cluster)
        with pytest.raises(BadMessage, match=r"args\[1\]\[0\]"):
            await two.launch(f"{WORKERS}:Worker", (object(),))


async def test_services_are_listed_and_measured() -> None:
    """The same as on the node itself."""
    async with open_cluster(2, config=CONFIG) as cluster:
        _, two = await put_up(cluster)
        narrow = await two.start(Narrow, name=".n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(narrow.hold, 10)
            await trio.sleep(1)
            listed = await two.services()
            there = [cluster[2].service_statistics(each) for each in cluster[2].services()]
            assert [each.handle for each in listed] == [each.handle for each in there]
            assert listed[1] == attrs.evolve(there[1], handlers=())
            assert listed[1].running == 1
            stat = await two.stat(".n")
            assert stat == there[1]
            assert stat.handlers[0].command == "hold"
            assert any("in hold" in line for line in stat.handlers[0].stack)
            node_stat = await two.node_stat()
            assert (node_stat.name, node_stat.harbor, node_stat.services) == ("node2", 2, 2)
            assert await two.names() == cluster[2].names()


async def test_many_services_are_listed_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("inspection", "remote_inspection"):
        monkeypatch.setattr(f"trionet.services.{module}.MOST_LISTED", 3)
    async with open_cluster(2, config=CONFIG) as cluster:
        _, two = await put_up(cluster)
        for count in range(1, 8):
            assert len(await two.services()) == count
            await cluster[2].start(Plain)
        launcher = cluster[1].ref(cluster[1].cluster.members("trionet.launcher")[1], Launcher)
        assert [each.handle.local for each in await launcher.services(2, 2)] == [3, 4]
        assert len(await launcher.services(most=1000)) == 3


async def test_a_service_tells_of_itself() -> None:
    async with open_cluster(2, config=CONFIG) as cluster:
        _, two = await put_up(cluster)
        worker = await two.start(spec(Worker, 3))
        assert await two.info(worker) == {"size": 3, "handle": cluster[1].handle_of(worker)}
        assert await two.info(await two.start(Plain)) is None
        with pytest.raises(RemoteError, match="no comment"):
            await two.info(await two.start(Secretive))


async def test_a_ping_goes_the_way_of_messages() -> None:
    """It waits for a free slot, and is no message of the service's."""
    async with open_cluster(2, config=CONFIG) as cluster:
        _, two = await put_up(cluster)
        narrow = await two.start(Narrow, name=".n")
        assert await two.ping(".n") == pytest.approx(0, abs=0.01)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(narrow.hold, 10)
            await trio.sleep(4)
            assert await two.ping(".n") == pytest.approx(6, abs=0.1)
        assert await two.ping(".launcher") == pytest.approx(0, abs=0.01)
        assert (await two.stat(".n")).messages == 1


async def test_services_are_ended() -> None:
    async with open_cluster(2, config=CONFIG) as cluster:
        _, two = await put_up(cluster)
        ends = []
        for end in (two.stop, two.kill):
            plain = await two.start(Plain, name=".p")
            async with cluster[1].watch(plain) as watch:
                await end(".p")
                ends.append((await watch.wait()).reason)
            await end(plain)  # dead already, which is no error
        assert ends == ["stopped", "killed"]


@pytest.mark.parametrize("what", ["stop", "kill", "stat", "info", "ping"])
async def test_a_target_that_is_not_there(what: str) -> None:
    async with open_cluster(2, config=CONFIG) as cluster:
        _, two = await put_up(cluster)
        with pytest.raises(NoSuchService, match=r"nobody owns the name '\.nobody'"):
            await getattr(two, what)(".nobody")


async def test_a_target_of_a_third_node() -> None:
    """It is ended all the same; but only its own node can look into it."""
    async with open_cluster(3, config=CONFIG) as cluster:
        _, two, three = await put_up(cluster)
        plain = await three.start(Plain)
        with pytest.raises(NoSuchService, match="is not on this node"):
            await two.stat(plain)
        await two.stop(plain)
        assert len(await three.services()) == 1


async def test_a_node_that_is_not_there() -> None:
    async with open_cluster(2) as cluster:
        await put_up(cluster)
        with pytest.raises(NodeDown, match="there is no harbor 9 in the cluster"):
            await RemoteNode(cluster[1], 9).node_stat()


async def test_a_node_without_a_launcher() -> None:
    """It may be about to start one: that is waited for, but not for ever."""
    async with open_cluster(2, config=CONFIG) as cluster:
        two = RemoteNode(cluster[1], 2)
        began = trio.current_time()
        with pytest.raises(NoSuchService, match="harbor 2 has no launcher"):
            await two.node_stat()
        assert trio.current_time() - began == pytest.approx(5)
        async with trio.open_nursery() as nursery:

            async def start_late() -> None:
                await trio.sleep(3)
                await cluster[2].start(Launcher, name=".launcher")

            nursery.start_soon(start_late)
            assert (await two.node_stat()).name == "node2"


async def test_a_node_that_goes_while_its_launcher_is_awaited() -> None:
    async with open_cluster(2) as cluster, trio.open_nursery() as nursery:
        nursery.start_soon(cluster.crash, 2)
        with pytest.raises(NodeDown):
            await RemoteNode(cluster[1], 2).node_stat()


class Asker(Service):
    """Uses another node from a handler."""

    @command
    async def ask(self, harbor: int) -> list[Handle]:
        return [each.handle for each in await RemoteNode(self.node, harbor).services()]


async def test_a_service_can_ask(node: Node) -> None:
    async with open_cluster(2) as cluster:
        await put_up(cluster)
        asker = await cluster[1].start(Asker)
        assert await asker.ask(2) == list(cluster[2].services())
        assert len(await asker.ask(1)) == 2


def test_the_classes_come_from_the_configuration() -> None:
    """In a variable they are separated by spaces; what is no class is a problem."""
    settings = load_settings(environ={"TRIONET_NODE_LAUNCH": "game.rooms:* game.db:Store"})
    assert settings.node.launch == ("game.rooms:*", "game.db:Store")
    assert load_settings(environ={"TRIONET_NODE_LAUNCH": ""}).node.launch == ()
    with pytest.raises(ConfigError, match=r"node\.launch: found .*, expected an array of classes as in"):
        load_settings(environ={"TRIONET_NODE_LAUNCH": "game.rooms"})


def test_repr() -> None:
    assert repr(RemoteNode(None, 3)) == "<RemoteNode 3>"  # type: ignore[arg-type]


async def test_the_profile_of_another_node() -> None:
    async with open_cluster(2, config=attrs.evolve(CONFIG, profile=True)) as cluster:
        _, two = await put_up(cluster)
        worker = await two.start(spec(Worker, 3))
        assert await worker.double(4) == 8
        told = {each.command: each for each in await two.profile()}
        assert told["double"].service_class == f"{WORKERS}:Worker"
        assert (told["double"].calls, told["launch"].calls) == (1, 1)
