"""The nodes of a ``cluster.toml``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.writing import Write
from trionet.cluster_config import ClusterConfig, address_rule
from trionet.configfile import (
    NODE_RESTART,
    PlannedNode,
    Settings,
    has_nodes,
    load_nodes,
    load_settings,
    section_rules,
)
from trionet.errors import ConfigError
from trionet.kernel.supervise import Restart


def nodes(file: str, *overrides: str, **environ: str) -> dict[str, PlannedNode]:
    return {each.name: each for each in load_nodes([file], environ=environ, overrides=overrides)}


def problems(file: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_nodes([file], environ={}, overrides=overrides)
    return list(caught.value.problems)


def cluster_of(settings: Settings) -> ClusterConfig:
    assert settings.cluster is not None
    return settings.cluster


WORLD = """\
[up]
kill_after = 3
[node]
stop_grace = 5
name = "common"
[app]
size = 1
deep = { a = 1, b = 2 }
[nodes.world]
script = "world.py"
standalone = "127.0.0.1:2013"
harbor = 1
[nodes.room1]
script = "sub/room.py"
args = ["x", "--y"]
address = "127.0.0.1:2527"
env = { LANG = "C", TRIONET_NODE_INBOX = "7" }
restart = { delay = 2 }
[nodes.room1.app]
size = 2
deep = { b = 3 }
[nodes.room1.log]
level = "debug"
[nodes.room2]
script = "sub/room.py"
restart = "never"
cluster = { harbor = 9, heartbeat = 2 }
"""


@pytest.fixture
def world(write: Write) -> str:
    write("conf/world.py", "")
    write("conf/sub/room.py", "")
    return write("conf/cluster.toml", WORLD)


def test_each_node_has_what_is_common_and_what_is_its_own(world: str) -> None:
    planned = nodes(world)
    assert ["world", "room1", "room2"] == list(planned)
    first, second = planned["world"].settings, planned["room1"].settings
    assert ("world", 5, 1) == (first.node.name, first.node.stop_grace, first.app["size"])
    assert ("room1", 5, 2) == (second.node.name, second.node.stop_grace, second.app["size"])
    assert ("INFO", "DEBUG") == (first.log.level, second.log.level)
    assert {"a": 1, "b": 3} == second.app["deep"]
    assert (Path("conf/sub/room.py"), ("x", "--y")) == (second.script, second.args)
    assert (3, 3) == (first.up.kill_after, second.up.kill_after)
    assert "conf/cluster.toml:9" == planned["world"].origin


def test_the_node_with_standalone_is_the_master_of_all(world: str) -> None:
    planned = nodes(world)
    assert [True, False, False] == [each.is_master for each in planned.values()]
    assert [
        ClusterConfig(harbor=1, standalone="127.0.0.1:2013"),
        ClusterConfig(master="127.0.0.1:2013", address="127.0.0.1:2527"),
        ClusterConfig(master="127.0.0.1:2013", harbor=9, heartbeat=2),
    ] == [each.settings.cluster for each in planned.values()]


def test_policies_have_the_defaults_of_nodes(world: str) -> None:
    planned = nodes(world)
    assert NODE_RESTART == planned["world"].restart
    assert Restart("failure", 5, 60, 2, 10) == planned["room1"].restart
    assert Restart("never", 5, 60, 0.5, 10) == planned["room2"].restart


def test_variables_of_a_node_are_its_own_and_win_over_those_of_the_process(world: str) -> None:
    planned = nodes(world, TRIONET_NODE_INBOX="5", LANG="X")
    assert (5, 7) == (planned["world"].settings.node.inbox, planned["room1"].settings.node.inbox)
    assert {} == planned["world"].settings.variables
    assert {"LANG": "C", "TRIONET_NODE_INBOX": "7"} == planned["room1"].settings.variables
    assert {"LANG": "C", "TRIONET_NODE_INBOX": "7"} == planned["room1"].env


def test_one_node_can_be_loaded_alone(world: str) -> None:
    for name, planned in nodes(world).items():
        assert planned.settings == load_settings([world], environ={}, node=name)


def test_the_command_line_wins_and_can_be_about_one_node(world: str) -> None:
    overrides = ("app.size=7", "node.stop_grace=1", "nodes.room2.address=127.0.0.1:9", "nodes.room2.app.x=1")
    planned = nodes(world, *overrides)
    assert [7, 7, 7] == [each.settings.app["size"] for each in planned.values()]
    assert [1, 1, 1] == [each.settings.node.stop_grace for each in planned.values()]
    assert "127.0.0.1:9" == cluster_of(planned["room2"].settings).address
    assert ["room2"] == [each.name for each in planned.values() if "x" in each.settings.app]


def test_a_node_can_have_files_of_its_own(write: Write, world: str) -> None:
    write("conf/own.toml", '[node]\nname = "own"\ninbox = 1\n[app]\nsize = 9\n[[services]]\nclass = "m:C"')
    planned = nodes(world, 'nodes.room2.config="conf/own.toml"', "nodes.room2.app.size=2")
    settings = planned["room2"].settings
    assert (2, 1, "room2") == (settings.app["size"], settings.node.inbox, settings.node.name)
    assert [1, 0] == [len(each.services) for each in (settings, planned["room1"].settings)]


def test_services_are_common_or_of_one_node(write: Write) -> None:
    text = '[[services]]\nclass = "m:A"\n[nodes.a]\n[[nodes.a.services]]\nclass = "m:B"\n[nodes.b]\nargs = []'
    planned = nodes(write("a.toml", text))
    assert [["m:A", "m:B"], ["m:A"]] == [
        [service.class_name for service in each.settings.services] for each in planned.values()
    ]


def test_all_may_join_a_master_that_runs_elsewhere(write: Write) -> None:
    write("x.py", "")
    text = '[cluster]\nmaster = "127.0.0.1:2013"\n[nodes.a]\nscript = "x.py"\n[nodes.b]\nscript = "x.py"'
    planned = nodes(write("a.toml", text))
    assert ["127.0.0.1:2013"] * 2 == [cluster_of(each.settings).master for each in planned.values()]
    assert not any(each.is_master for each in planned.values())


def test_the_address_of_the_master_is_also_found_in_the_table_of_its_node(write: Write) -> None:
    text = '[nodes.a]\nscript = "x"\n[nodes.b]\nscript = "x"\ncluster = { standalone = "unix:m" }'
    planned = nodes(write("conf/a.toml", text))
    assert (
        "unix:conf/m"
        == cluster_of(planned["a"].settings).master
        == cluster_of(planned["b"].settings).standalone
    )


def test_nodes_need_no_cluster(write: Write) -> None:
    assert nodes(write("a.toml", '[nodes.a]\nscript = "x.py"'))["a"].settings.cluster is None


def test_every_mistake_is_told_once(write: Write) -> None:
    name = write(
        "a.toml",
        """\
[node]
inbox = 0
[nodes.a]
scirpt = "x.py"
args = "x"
env = { A = 1 }
harbor = 300
cluster = { harbor = 1 }
restart = "sometimes"
[nodes."b c"]
script = ""
services = 5
log = 5
[up]
kill_after = -1
""",
    )
    told = problems(name)
    assert len(told) == len(set(told))
    assert {
        "a.toml:2: node.inbox: found 0, expected a whole number of messages, 1 or more",
        'a.toml:4: nodes.a.scirpt: unknown key; did you mean "script"?',
        'a.toml:5: nodes.a.args: found "x", expected an array of strings',
        "a.toml:6: nodes.a.env.A: found 1, expected a string",
        "a.toml:7: nodes.a.harbor: found it beside nodes.a.cluster.harbor, expected one of them",
        'a.toml:9: nodes.a.restart: found "sometimes", expected "never", "failure", "always" or a table',
        'a.toml:11: nodes.b c.script: found "", expected a path',
        "a.toml:12: nodes.b c.services: found 5, expected an array of tables",
        "a.toml:15: up.kill_after: found -1, expected a number of seconds, 0 or more",
    } == set(told)


def test_what_is_wrong_with_the_settings_of_one_node_is_told(write: Write) -> None:
    text = '[nodes."b c"]\nscript = "x"\nharbor = 300\nlog = 5\nstandalone = "here"'
    assert [
        f'a.toml:1: node.name: found "b c", expected {section_rules("node")["name"].expected}',
        "a.toml:4: log: found 5, expected a table",
        'a.toml:3: cluster.harbor: found 300, expected a harbor id, 1 to 255, or "auto"',
        f'a.toml:5: cluster.standalone: found "here", expected {address_rule.expected}',
    ] == problems(write("a.toml", text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a.toml: nodes: found none, expected at least one [nodes.NAME]"),
        ("nodes = 5", "a.toml:1: nodes: found 5, expected tables [nodes.NAME]"),
        ("[nodes]\na = 5", "a.toml:2: nodes.a: found 5, expected a table"),
        ("[nodes.a]\nargs = []", "a.toml:1: nodes.a: found nothing to run, expected a script or services"),
        ("x = 1\n[nodes.a]\nscript = 'x.py'", "a.toml:1: x: unknown key"),
    ],
)
def test_what_is_no_set_of_nodes_is_one_line(write: Write, text: str, expected: str) -> None:
    assert [expected] == problems(write("a.toml", text))


def test_nodes_do_not_share_ids_or_addresses(write: Write) -> None:
    write("x.py", "")
    name = write(
        "a.toml",
        """\
[nodes.a]
script = "x.py"
standalone = "127.0.0.1:1"
address = "127.0.0.1:2"
harbor = 1
[nodes.b]
script = "x.py"
address = "127.0.0.1:1"
harbor = 1
[nodes.c]
script = "x.py"
standalone = "127.0.0.1:3"
address = "127.0.0.1:3"
[nodes.d]
script = "x.py"
""",
    )
    assert [
        "a.toml:12: nodes.c.standalone: found a second master beside that of a, expected one",
        'a.toml:9: nodes.b.harbor: found 1, which node "a" has',
        'a.toml:8: nodes.b.address: found "127.0.0.1:1", which node "a" has',
        'a.toml:12: nodes.c.standalone: found "127.0.0.1:3", which is its address too',
    ] == problems(name)


def test_nodes_do_not_share_a_console(write: Write) -> None:
    write("x.py", "")
    name = write(
        "a.toml",
        """\
[console]
address = "unix:c.sock"
[nodes.a]
script = "x.py"
[nodes.b]
script = "x.py"
[nodes.c]
script = "x.py"
console = { address = "none" }
""",
    )
    assert [
        f'a.toml:2: nodes.b.console.address: found "unix:{Path("c.sock")}", which node "a" has'
    ] == problems(name)


def test_nodes_have_tables_of_their_own_for_metrics_and_traces(write: Write) -> None:
    """An address of metrics is for one node; what is common to all of them would be taken."""
    text = "[nodes.a]\nmetrics.address = '127.0.0.1:1'\ntrace.sample = 1\nscript = 'x.py'\n"
    text += "[nodes.b]\nscript = 'x.py'"
    write("x.py", "")
    planned = nodes(write("a.toml", f"[trace]\nsample = 0.5\n{text}"))
    assert ["127.0.0.1:1", None] == [each.settings.metrics.address for each in planned.values()]
    assert [1, 0.5] == [each.settings.node.trace.sample for each in planned.values()]
    common = "[metrics]\naddress = '127.0.0.1:1'\n[nodes.a]\nscript = 'x.py'\n[nodes.b]\nscript = 'x.py'"
    assert ['b.toml:2: nodes.b.metrics.address: found "127.0.0.1:1", which node "a" has'] == problems(
        write("b.toml", common)
    )


def test_a_file_of_nodes_needs_a_choice(world: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings([world], environ={})
    expected = "expected the choice of one by --node NAME, or trionet up for all"
    assert [f"conf/cluster.toml:9: nodes: found the nodes of a cluster, {expected}"] == list(
        caught.value.problems
    )
    with pytest.raises(ConfigError) as caught:
        load_settings([world], environ={}, node="wrld")
    assert ['--node: found "wrld", expected a node that is in [nodes]; did you mean "world"?'] == list(
        caught.value.problems
    )


def test_files_with_nodes_are_known(write: Write, world: str) -> None:
    assert has_nodes([world])
    assert not has_nodes([write("plain.toml", "[node]")])
    assert not has_nodes([write("wrong.toml", "[node")])
