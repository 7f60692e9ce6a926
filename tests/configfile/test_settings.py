"""Settings from files, the environment and the command line."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from tests.writing import Write
from trionet.config import LogConfig, NodeConfig
from trionet.configfile import Override, ServiceConfig, Settings, load_settings
from trionet.kernel.supervise import Restart


def load(*files: str, **environ: str) -> Settings:
    return load_settings(files, environ=environ)


def test_nothing_gives_the_defaults() -> None:
    settings = load()
    assert (NodeConfig(), LogConfig(), ()) == (settings.node, settings.log, settings.services)


def test_a_file_gives_all_kinds_of_settings(write: Write) -> None:
    name = write(
        "a.toml",
        """
        [node]
        name = "world"
        stop_grace = 5
        call_deadline = inf
        [log]
        level = "debug"
        format = "json"
        [log.levels]
        trionet.net = "error"
        "my.app" = "Info"
        [[services]]
        class = "pkg.mod:Outer.Inner"
        name = ".inner"
        args = [1, "two", [3]]
        kwargs = { four = { five = 5 } }
        restart = "always"
        [[services]]
        class = "mod:Class"
        restart = { most = 7, within = 60 }
        [app.db]
        url = "sqlite://"
        since = 2026-01-31
        """,
    )
    settings = load(name)
    assert (
        NodeConfig(name="world", stop_grace=5, call_deadline=float("inf"), app=settings.app) == settings.node
    )
    assert (
        LogConfig(level="DEBUG", format="json", levels={"trionet.net": "ERROR", "my.app": "INFO"})
        == settings.log
    )
    assert {"url": "sqlite://", "since": date(2026, 1, 31)} == settings.app["db"]
    first, second = settings.services
    assert (
        ServiceConfig(
            class_name="pkg.mod:Outer.Inner",
            name=".inner",
            args=[1, "two", [3]],
            kwargs={"four": {"five": 5}},
            restart=Restart("always"),
        )
        == first
    )
    assert Restart(most=7, within=60) == second.restart
    assert ("a.toml:12", "services[0]") == (first.origin, first.key)
    assert ("a.toml:18", "services[1]") == (second.origin, second.key)


def test_the_order_is_defaults_files_variables_command_line(write: Write) -> None:
    name = write("a.toml", "[node]\ninbox = 1\nconcurrency = 1\nmessage_depth = 1\n")
    settings = load_settings(
        [name],
        environ={"TRIONET_NODE_CONCURRENCY": "2", "TRIONET_NODE_MESSAGE_DEPTH": "2"},
        overrides=["node.message_depth=3"],
    )
    assert 60 == settings.node.call_deadline
    assert (1, 2, 3) == (settings.node.inbox, settings.node.concurrency, settings.node.message_depth)
    assert {
        "node.inbox": "a.toml:2",
        "node.concurrency": "TRIONET_NODE_CONCURRENCY",
        "node.message_depth": "--set",
    } == settings.sources


def test_of_several_files_the_later_one_wins(write: Write) -> None:
    first = write("a.toml", "[node]\ninbox = 1\nconcurrency = 1\n[app]\nlist = [1, 2]")
    second = write("b.toml", "[node]\ninbox = 2\n[app]\nlist = [3]")
    settings = load(first, second)
    assert (2, 1, (3,)) == (settings.node.inbox, settings.node.concurrency, settings.app["list"])
    assert (Path("a.toml"), Path("b.toml")) == settings.files


def test_variables_name_the_files_if_the_command_line_does_not(write: Write) -> None:
    first = write("a.toml", "[node]\ninbox = 1")
    second = write("b.toml", "[node]\nconcurrency = 2")
    node = load(TRIONET_CONFIG=os.pathsep.join([first, second])).node
    assert (1, 2) == (node.inbox, node.concurrency)
    assert 1_000 == load(first, TRIONET_CONFIG=second).node.concurrency


def test_variables_and_overrides_are_read_by_the_type_of_their_key() -> None:
    settings = load_settings(
        environ={
            "TRIONET_NODE_NAME": "7",
            "TRIONET_NODE_STOP_GRACE": "0.5",
            "TRIONET_LOG_LEVELS": "{a.b = 'debug'}",
            "TRIONET_APP_DB__URL": "x y",
            "TRIONET_APP_PORT": "80",
        },
        overrides=[
            "node.inbox=5",
            "log.levels.c.d=error",
            "app.list=[1, 'a']",
            "app.text=yes",
            Override("log.format", "json", "--log-format"),
        ],
    )
    assert ("7", 0.5, 5) == (settings.node.name, settings.node.stop_grace, settings.node.inbox)
    assert {"db": {"url": "x y"}, "port": 80, "list": (1, "a"), "text": "yes"} == settings.app
    assert "json" == settings.log.format


def test_an_override_of_one_level_stays_beside_those_of_a_file(write: Write) -> None:
    name = write("a.toml", '[log.levels]\na.b = "info"')
    settings = load_settings([name], environ={}, overrides=["log.levels.c=error"])
    assert {"a.b": "INFO", "c": "ERROR"} == settings.log.levels


def test_include_is_relative_to_the_including_file_which_wins(write: Write) -> None:
    write("conf/base/deep.toml", '[node]\nname = "deep"\ninbox = 1\n[app]\ndeep = true')
    write("conf/base.toml", 'include = "base/deep.toml"\n[node]\ninbox = 2\nconcurrency = 2')
    name = write("conf/a.toml", 'include = ["base.toml"]\n[node]\nconcurrency = 3')
    settings = load(name)
    assert ("deep", 2, 3) == (settings.node.name, settings.node.inbox, settings.node.concurrency)
    assert settings.app["deep"] is True
    assert "conf/base/deep.toml:2" == settings.sources["node.name"]


def test_a_file_that_is_included_twice_counts_once(write: Write) -> None:
    write("base.toml", '[node]\ninbox = 1\n[[services]]\nclass = "m:C"')
    write("a.toml", 'include = "base.toml"\n[node]\ninbox = 2')
    write("b.toml", 'include = "base.toml"')
    settings = load(write("c.toml", 'include = ["a.toml", "b.toml"]'))
    assert (2, 1) == (settings.node.inbox, len(settings.services))


def test_services_of_all_files_add_up_and_a_name_is_replaced_in_its_place(write: Write) -> None:
    write("base.toml", '[[services]]\nclass = "m:A"\nname = ".a"\n[[services]]\nclass = "m:B"')
    name = write(
        "a.toml",
        'include = "base.toml"\n[[services]]\nclass = "m:C"\n[[services]]\nclass = "m:D"\nname = ".a"',
    )
    assert ["m:D", "m:B", "m:C"] == [each.class_name for each in load(name).services]


def test_services_of_the_command_line_replace_those_of_the_files(write: Write) -> None:
    name = write("a.toml", '[[services]]\nclass = "m:A"')
    override = 'services=[{class="m:B", restart={when="always"}}, {class="m:C", args=[{a=1}]}]'
    first, second = load_settings([name], environ={}, overrides=[override]).services
    assert ("m:B", Restart("always")) == (first.class_name, first.restart)
    assert ({"a": 1},) == second.args


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "one"),
        ("<${A}/${B:-two}>", "<one/two>"),
        ("${EMPTY:-two}", "two"),
        ("${EMPTY}", ""),
        ("${A:-}", "one"),
        ("${B:-}", ""),
        ("$${A}", "${A}"),
        ("$A $ {A} $", "$A $ {A} $"),
    ],
)
def test_variables_in_strings(write: Write, text: str, expected: str) -> None:
    name = write("a.toml", f'[app]\nx = "{text}"\nin = [{{ an = ["{text}"] }}]')
    app = load(name, A="one", EMPTY="").app
    assert expected == app["x"]
    assert expected == app["in"][0]["an"][0]
    assert str is type(app["x"])


def test_a_variable_can_stand_for_a_number_where_one_is_due(write: Write) -> None:
    name = write("a.toml", '[node]\ninbox = "${N:-12}"\nstop_grace = "${G}"')
    node = load(name, G="2.5").node
    assert (12, 2.5) == (node.inbox, node.stop_grace)


ENV = r"""
# a comment
A=plain  # another
export B = "quo\"ted # \n end" # one more
C='single \n $A'
D=
E=a#b
TRIONET_NODE_INBOX=4
"""


def test_an_env_file_adds_to_the_environment_which_wins(write: Write) -> None:
    env = write("x.env", ENV)
    name = write("a.toml", '[app]\na = "${A}"\nb = "${B}"\nc = "${C}"\nd = "${D}"\ne = "${E}"')
    settings = load_settings([name], environ={"A": "real"}, env_files=[env])
    assert {"a": "real", "b": 'quo"ted # \n end', "c": r"single \n $A", "d": "", "e": "a#b"} == settings.app
    assert 4 == settings.node.inbox
    assert "x.env:8" == settings.sources["node.inbox"]
    assert {"B", "C", "D", "E", "TRIONET_NODE_INBOX"} == set(settings.variables)


def test_of_several_env_files_the_later_one_wins(write: Write) -> None:
    first, second = write("a.env", "A=1\nB=1\nC=1"), write("b.env", "B=2\nC=2")
    third = write("c.env", "C=3")
    name = write("a.toml", '[app]\nx = "${A}${B}${C}"')
    settings = load_settings([name], environ={"TRIONET_ENV_FILE": first}, env_files=[second, third])
    assert "123" == settings.app["x"]


def test_a_file_can_name_an_env_file_beside_it(write: Write) -> None:
    write("conf/x.env", "A=file\nB=file")
    name = write("conf/a.toml", 'env_file = "x.env"\n[app]\nx = "${A} ${B}"')
    assert "real file" == load(name, A="real").app["x"]
