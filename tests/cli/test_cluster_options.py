"""A node in a cluster by the command line and as a library: options, errors, exit codes, in this process."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
import trustme
from typer.testing import Result

from tests import ports
from tests.writing import Write
from trionet import ClusterConfig, ClusterError, MasterUnreachable, Node, NodeConfig, run
from trionet.cli.running import describe
from trionet.cluster_config import address_rule
from trionet.configfile import Settings
from trionet.errors import Superseded
from trionet.program import open_harbor

Invoke = Callable[..., Result]

SHOWS = """
async def main(node):
    print(node.harbor, node.cluster.nodes())
"""


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens at."""
    return ports.free_port()


@pytest.fixture
def taken() -> Iterator[str]:
    """An address at which somebody listens who is no master."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield f"127.0.0.1:{sock.getsockname()[1]}"


@pytest.fixture
def show(write: Write) -> str:
    return write("shows_cluster.py", SHOWS)


def last_line(result: Result) -> str:
    """The one line of the error, which no traceback follows."""
    assert "Traceback" not in result.stderr
    *_, line = result.stderr.splitlines()
    assert " CRITICAL - trionet.run: " in line
    return line.partition(" CRITICAL - trionet.run: ")[2]


# --- success --------------------------------------------------------------------------------------------


def test_the_options_make_a_cluster_of_one(invoke: Invoke, show: str, free_port: int) -> None:
    address, standalone = "unix:node.sock", f"127.0.0.1:{free_port}"
    result = invoke("run", show, "--harbor", "5", "--address", address, "--standalone", standalone)
    assert ("5 {5: 'unix:node.sock'}\n", 0) == (result.stdout, result.exit_code)


def test_master_can_be_given_beside_standalone(invoke: Invoke, show: str, free_port: int) -> None:
    standalone = f"127.0.0.1:{free_port}"
    options = ["--harbor", "auto", "--standalone", standalone, "--master", f"localhost:{free_port}"]
    result = invoke("run", show, "--address", "unix:n", *options)
    assert 0 == result.exit_code


def test_variables_and_a_secret_file(
    invoke: Invoke, show: str, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 == invoke("keygen", "cluster.key").exit_code
    monkeypatch.setenv("TRIONET_CLUSTER_STANDALONE", f"127.0.0.1:{free_port}")
    monkeypatch.setenv("TRIONET_CLUSTER_HARBOR", "7")
    result = invoke("run", show, "--secret-file", "cluster.key")
    assert (0, "7 ") == (result.exit_code, result.stdout[:2])


def test_what_is_hardly_meant_is_logged_at_the_start(invoke: Invoke, show: str, free_port: int) -> None:
    result = invoke("run", show, "--standalone", f"127.0.0.1:{free_port}")
    assert 'WARNING  - trionet.run: cluster.harbor: found "auto" on the node with the master' in result.stderr


def test_services_start_when_the_node_has_joined(write: Write, invoke: Invoke, free_port: int) -> None:
    write(
        "shower.py",
        "from trionet import Service\nclass Shower(Service):\n    async def setup(self):\n"
        "        print(self.handle.harbor, flush=True)\n        self.node.shutdown()\n",
    )
    config = write("a.toml", '[cluster]\nharbor = 3\n[[services]]\nclass = "shower:Shower"\nname = "s"')
    result = invoke("run", "-c", config, "--standalone", f"127.0.0.1:{free_port}")
    assert ("3\n", 0) == (result.stdout, result.exit_code)


def test_a_node_of_a_cluster_toml_runs_alone(write: Write, invoke: Invoke, free_port: int) -> None:
    write("conf/shows_args.py", "async def main(node, args): print(node.name, node.harbor, args)")
    write(
        "conf/cluster.toml",
        '[nodes.a]\nscript = "shows_args.py"\nargs = ["x"]\nharbor = 2\n'
        f'standalone = "127.0.0.1:{free_port}"',
    )
    result = invoke("run", "--config", "conf/cluster.toml", "--node", "a")
    assert ("a 2 ('x',)\n", 0) == (result.stdout, result.exit_code)


# --- errors ---------------------------------------------------------------------------------------------


def test_a_master_that_is_not_there(invoke: Invoke, show: str, free_port: int) -> None:
    master = f"127.0.0.1:{free_port}"
    result = invoke("run", show, "--master", master, "--set", "cluster.join_timeout=0.3")
    assert 1 == result.exit_code
    assert last_line(result).startswith(
        f"--master: cluster.master: no master at {master} within 0.3 seconds: "
    )


def test_a_master_that_is_none(invoke: Invoke, show: str, taken: str) -> None:
    options = ["--set", "cluster.join_timeout=0.3", "--set", "cluster.handshake_timeout=0.1"]
    result = invoke("run", show, "--master", taken, *options)
    assert 1 == result.exit_code
    assert last_line(result).startswith(
        f"--master: cluster.master: no master at {taken} within 0.3 seconds: "
    )


@pytest.mark.parametrize("option", ["address", "standalone"])
def test_a_port_that_is_taken(invoke: Invoke, show: str, taken: str, free_port: int, option: str) -> None:
    addresses = {"standalone": f"127.0.0.1:{free_port}"} | {option: taken}
    options = [f"--{key}={address}" for key, address in addresses.items()]
    result = invoke("run", show, "--harbor", "1", *options)
    assert 1 == result.exit_code
    assert (
        f"--{option}: cluster.{option}: cannot listen at {taken}: address already in use (another program "
        "listens there)" == last_line(result)
    )


def test_an_address_of_another_machine_names_file_and_line(write: Write, invoke: Invoke, show: str) -> None:
    assert 0 == invoke("keygen", "cluster.key").exit_code
    text = '[cluster]\nsecret_file = "cluster.key"\nmaster = "127.0.0.1:1"\naddress = "192.0.2.1:7"'
    result = invoke("run", show, "--config", write("a.toml", text))
    assert 1 == result.exit_code
    expected = "a.toml:4: cluster.address: cannot listen at 192.0.2.1:7: "
    assert last_line(result).startswith(expected)


def test_an_error_of_the_cluster_is_one_line_of_json_if_that_is_the_format(
    invoke: Invoke, show: str, taken: str
) -> None:
    result = invoke("run", show, "--address", taken, "--master", "127.0.0.1:1", "--log-format", "json")
    assert (1, 1) == (result.exit_code, len(result.stderr.splitlines()))


def test_an_error_of_the_cluster_that_main_raises_is_a_crash_of_main(
    write: Write, invoke: Invoke, free_port: int
) -> None:
    text = "import trionet\nasync def main(node):\n    raise trionet.ClusterError('mine')"
    result = invoke("run", write("own_error.py", text), "--standalone", f"127.0.0.1:{free_port}")
    assert 1 == result.exit_code
    assert "main failed" in result.stderr
    assert "ClusterError: mine" in result.stderr


def test_wrong_options_are_one_line_each(invoke: Invoke) -> None:
    result = invoke("run", "missing.py", "--harbor", "300", "--address", "0.0.0.0", "--set", "cluster.nme=x")
    assert 2 == result.exit_code
    assert [
        '--set: cluster.nme: unknown key; did you mean "name"?',
        '--harbor: cluster.harbor: found "300", expected a harbor id, 1 to 255, or "auto"',
        f'--address: cluster.address: found "0.0.0.0", expected {address_rule.expected}',
    ] == result.stderr.splitlines()


@pytest.mark.parametrize("text", [None, "", "nonsense", "trionet-secret-v1 00"])
def test_a_secret_file_that_cannot_be_used(write: Write, invoke: Invoke, show: str, text: str | None) -> None:
    if text is not None:
        write("cluster.key", text)
    for command in (["run", show], ["check", write("a.toml", "")]):
        options = ["--set", "cluster.master=127.0.0.1:1", "--set", "cluster.secret_file=cluster.key"]
        result = invoke(*command, *options)
        (line,) = result.stderr.splitlines()
        assert "cluster.key" in line
        assert 2 == result.exit_code


# --- TLS ------------------------------------------------------------------------------------------------


@pytest.fixture
def certificates() -> Path:
    """Files of an authority, and of a certificate that it signed."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path("ca.pem")
    certificate.private_key_pem.write_to_path("key.pem")
    certificate.cert_chain_pems[0].write_to_path("cert.pem")
    return Path()


def tls(**files: str) -> list[str]:
    names = {"certificate": "cert.pem", "key": "key.pem", "authority": "ca.pem"} | files
    return [f"--set=cluster.tls_{key}={name}" for key, name in names.items()]


@pytest.mark.usefixtures("certificates")
def test_a_cluster_inside_tls(invoke: Invoke, show: str, free_port: int) -> None:
    result = invoke("run", show, "--harbor", "2", "--standalone", f"127.0.0.1:{free_port}", *tls())
    assert (0, "2 ") == (result.exit_code, result.stdout[:2])


@pytest.mark.usefixtures("certificates")
def test_every_file_that_cannot_be_read_is_one_line(invoke: Invoke, show: str) -> None:
    result = invoke("run", show, "--master", "127.0.0.1:1", *tls(key="no.pem", authority="none.pem"))
    expected = "expected a file that can be read: no such file or directory"
    assert [
        f'--set: cluster.tls_key: found "no.pem", {expected}',
        f'--set: cluster.tls_authority: found "none.pem", {expected}',
    ] == result.stderr.splitlines()
    assert 2 == result.exit_code


@pytest.mark.usefixtures("certificates")
@pytest.mark.parametrize("files", [{"key": "ca.pem"}, {"certificate": "key.pem"}, {"authority": "key.pem"}])
def test_files_that_do_not_fit_are_one_line(invoke: Invoke, show: str, files: dict[str, str]) -> None:
    result = invoke("run", show, "--master", "127.0.0.1:1", *tls(**files))
    (line,) = result.stderr.splitlines()
    assert line.startswith("--set: cluster.tls_certificate: the tls_ files do not fit: ")
    assert 2 == result.exit_code


# --- the library ----------------------------------------------------------------------------------------


def test_run_with_a_cluster_has_joined_when_main_begins(free_port: int) -> None:
    seen: list[int] = []

    async def main(node: Node, extra: int) -> None:
        await trio.lowlevel.checkpoint()
        seen.extend([node.harbor, extra])

    cluster = ClusterConfig(harbor=4, standalone=f"127.0.0.1:{free_port}")
    run(main, NodeConfig(name="a"), cluster=cluster, args=(5,))
    assert [4, 5] == seen


def test_run_raises_what_keeps_the_node_out(free_port: int, taken: str) -> None:
    async def main(node: Node) -> None:
        raise AssertionError("must not run")

    with pytest.raises(MasterUnreachable):
        run(main, cluster=ClusterConfig(master=f"127.0.0.1:{free_port}", join_timeout=0.2))
    with pytest.raises(ClusterError, match=f"^cluster.address: cannot listen at {taken}: "):
        run(main, cluster=ClusterConfig(master=f"127.0.0.1:{free_port}", address=taken))


def test_a_signal_ends_a_node_that_waits_for_its_master(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(node: Node) -> None:
        raise AssertionError("must not run")

    original = trio.open_tcp_stream

    async def interrupted(*args: object, **kwargs: object) -> trio.SocketStream:
        signal.raise_signal(signal.SIGTERM)
        return await original(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(trio, "open_tcp_stream", interrupted)
    run(main, cluster=ClusterConfig(master=f"127.0.0.1:{free_port}", join_timeout=3600))


def test_unusual_errors_of_listening_keep_their_words(tmp_path: Path) -> None:
    harbor = open_harbor(ClusterConfig(master="unix:m", address="unix:" + "x" * 200))
    with pytest.raises(ClusterError, match=r"^cluster\.address: cannot listen at unix:x+: .*too long"):
        trio.run(harbor._transport.listen, harbor.config.address)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Superseded("another node has the id"), "another node has the id"),
        (ClusterError("refused: too full"), "refused: too full"),
        (MasterUnreachable("gone\n away"), "a:1: cluster.standalone: gone away"),
        (ClusterError("cluster.address: taken"), "cluster.address: taken"),
    ],
)
def test_errors_are_described_in_one_line(error: ClusterError, expected: str) -> None:
    settings = Settings(
        cluster=ClusterConfig(standalone="127.0.0.1:1"), sources={"cluster.standalone": "a:1"}
    )
    assert expected == describe(error, settings)


def test_the_reasons_are_those_of_the_system() -> None:
    assert "address already in use" == os.strerror(errno.EADDRINUSE).lower()
