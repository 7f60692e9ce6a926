"""The table ``[cluster]``, and advice on what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.writing import Write
from trionet.cluster_config import ClusterConfig
from trionet.configfile import Override, Settings, advise, load_settings
from trionet.console_config import ConsoleConfig
from trionet.errors import ConfigError


def load(*files: str, overrides: tuple[str, ...] = (), **environ: str) -> Settings:
    return load_settings(files, environ=environ, overrides=overrides)


def cluster_of(settings: Settings) -> ClusterConfig:
    assert settings.cluster is not None
    return settings.cluster


# --- [cluster] ------------------------------------------------------------------------------------------


def test_without_a_word_on_it_there_is_no_cluster(write: Write) -> None:
    assert load(write("a.toml", "[node]\ninbox = 1")).cluster is None


def test_the_table_is_read(write: Write) -> None:
    name = write("a.toml", '[cluster]\nharbor = 3\nmaster = "10.0.0.1:2013"\nheartbeat = 1')
    assert ClusterConfig(harbor=3, master="10.0.0.1:2013", heartbeat=1) == load(name).cluster


def test_variables_and_options_make_a_cluster_too() -> None:
    environ = {"TRIONET_CLUSTER_HARBOR": "7", "TRIONET_CLUSTER_HEARTBEAT": "2.5"}
    settings = load(overrides=("cluster.standalone=127.0.0.1:2013",), **environ)
    assert ClusterConfig(harbor=7, heartbeat=2.5, standalone="127.0.0.1:2013") == settings.cluster
    assert "TRIONET_CLUSTER_HARBOR" == settings.sources["cluster.harbor"]


def test_auto_is_a_harbor_id_everywhere() -> None:
    settings = load(overrides=("cluster.harbor=auto", "cluster.master=unix:m"))
    assert "auto" == cluster_of(settings).harbor


def test_paths_are_relative_to_the_file_that_has_them(write: Write) -> None:
    write("sub/base.toml", '[cluster]\ntls_key = "k"\ntls_certificate = "/abs/c"\nmaster = "unix:run/m"')
    name = write("deep/a.toml", 'include = "../sub/base.toml"\n[cluster]\ntls_authority = "a"')
    cluster = cluster_of(load(name, overrides=("cluster.secret_file=s",)))
    assert ("deep/../sub/k", "/abs/c", "deep/a", "s", "unix:deep/../sub/run/m") == (
        cluster.tls_key,
        cluster.tls_certificate,
        cluster.tls_authority,
        cluster.secret_file,
        cluster.master,
    )


def test_a_console_over_tcp_needs_the_secret(write: Write) -> None:
    text = '[console]\naddress = "127.0.0.1:2600"\n'
    with pytest.raises(ConfigError) as caught:
        load_settings([write("a.toml", text)], environ={})
    (problem,) = caught.value.problems
    expected = "without cluster.secret_file, expected that secret, or a Unix socket as in 'unix:path'"
    assert problem == f'a.toml:2: console.address: found "127.0.0.1:2600" {expected}'
    secured = write("b.toml", f'{text}[cluster]\nstandalone = "127.0.0.1:1"\nsecret_file = "key"\n')
    assert load_settings([secured], environ={}).console == ConsoleConfig(address="127.0.0.1:2600")


def test_the_address_of_a_console(write: Write) -> None:
    """It is relative to its file; in a variable and as an option, too."""
    assert load_settings(environ={}).console.address == "auto"
    inner = write("sub/a.toml", '[console]\naddress = "unix:c.sock"')
    assert load_settings([inner], environ={}).console.address == f"unix:{Path('sub/c.sock')}"
    assert load_settings(environ={"TRIONET_CONSOLE_ADDRESS": "none"}).console.address == "none"
    with pytest.raises(ConfigError, match=r'console\.address: found "here", expected "auto", "none"'):
        load_settings(environ={}, overrides=["console.address=here"])


def test_what_contradicts_itself_is_told_with_the_line_of_its_key(write: Write) -> None:
    name = write(
        "a.toml",
        """\
[node]
inbox = 0
[cluster]
address = "0.0.0.0:1"
standalone = "127.0.0.1:0"
tls_key = "k"
heartbeat_timeout = 5
reconnect_most = 0.01
""",
    )
    with pytest.raises(ConfigError) as caught:
        load(name)
    address = 'a.toml:4: cluster.address: found "0.0.0.0:1"'
    open_to_all = "which other machines can reach, without secret_file or tls_*; expected one of them, or"
    assert [
        "a.toml:2: node.inbox: found 0, expected a whole number of messages, 1 or more",
        "a.toml:3: cluster.tls_certificate: found none, expected a file, since other tls_ settings are there",
        f"{address}, {open_to_all} a loopback address",
        f"{address}, expected the address at which other nodes reach this one",
        'a.toml:5: cluster.standalone: found "127.0.0.1:0", expected a port that other nodes can know',
        "a.toml:7: cluster.heartbeat_timeout: found 5, expected more than heartbeat, which is 5",
        "a.toml:8: cluster.reconnect_most: found 0.01, expected at least reconnect_least, which is 0.1",
    ] == list(caught.value.problems)


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("cluster.harbor=256", 'cluster.harbor: found "256", expected a harbor id, 1 to 255, or "auto"'),
        ("cluster.harbor=0", 'cluster.harbor: found "0", expected a harbor id, 1 to 255, or "auto"'),
        ("cluster.address=here", 'cluster.address: found "here", expected an address: '),
        ("cluster.address=h:65536", 'cluster.address: found "h:65536", expected an address: '),
        ("cluster.haror=1", 'cluster.haror: unknown key; did you mean "harbor"?'),
        ("cluster.name=", 'cluster.name: found "", expected a name of 1 to 64 letters'),
        ("cluster=5", 'cluster: found "5", expected a table'),
        ("cluster.harbor=5", "cluster.master: found none, expected the master's address, or standalone"),
    ],
)
def test_a_wrong_value_is_one_line(override: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(overrides=(override,))
    (problem,) = caught.value.problems
    assert problem.startswith(f"--set: {text}")


def test_the_pipes_of_a_parent_are_no_settings() -> None:
    assert Settings() == load(TRIONET_READY_FD="5", TRIONET_LIFELINE_FD="6")


# --- advice ---------------------------------------------------------------------------------------------


def advice(**values: object) -> list[tuple[str, str]]:
    overrides = [Override(f"cluster.{key}", str(value)) for key, value in values.items()]
    settings = load_settings(environ={}, overrides=overrides)
    return [(each.level, each.key.removeprefix("cluster.")) for each in advise(settings)]


def test_a_node_alone_needs_no_advice() -> None:
    assert [] == advise(Settings())


def test_no_secret_on_loopback_is_only_said() -> None:
    assert [("info", "secret_file")] == advice(master="127.0.0.1:1", harbor=2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"heartbeat_timeout": 1.5, "heartbeat": 0.1}, "heartbeat_timeout"),
        ({"heartbeat_timeout": 9}, "heartbeat_timeout"),
        ({"join_timeout": 1}, "join_timeout"),
        ({"standalone": "127.0.0.1:1", "harbor": "auto"}, "harbor"),
        ({"standalone": "127.0.0.1:2"}, "master"),
        ({"standalone": "unix:m"}, "master"),
        ({"master": "10.0.0.1:1"}, "address"),
    ],
)
def test_what_is_hardly_meant_is_a_warning(values: dict[str, object], expected: str) -> None:
    given = {"master": "127.0.0.1:1", "harbor": 2} | values
    assert [("warning", expected)] == [each for each in advice(**given) if each[0] == "warning"]


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_secret_that_others_can_read_is_a_warning(write: Write, mode: int, warned: bool) -> None:
    name = write("cluster.key", "")
    Path(name).chmod(mode)
    settings = load(overrides=("cluster.master=127.0.0.1:1", f"cluster.secret_file={name}"))
    wrong = f"found cluster.key with mode {mode:04o}, better 0600: others can read or change it"
    expected = [f"--set: cluster.secret_file: {wrong}"] if warned else []
    assert expected == [str(each) for each in advise(settings)]


def test_a_secret_that_is_not_there_is_not_judged() -> None:
    assert [] == advice(master="127.0.0.1:1", harbor=2, secret_file="absent")
