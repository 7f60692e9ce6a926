"""Links over TCP, Unix sockets and TLS: real sockets in one process, bounded by a deadline."""

from __future__ import annotations

import os
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trustme

from tests.kernel.lives import Log, Quiet, Worker
from trionet import ClusterConfig, ConfigError, MasterUnreachable, Node, NodeConfig, open_node, spec
from trionet.net.harbor import Harbor
from trionet.net.transport import Sockets, Tls
from trionet.wire.secrets import Secret, format_secret

LIMIT = 20

#: Settings of a node, by harbor id.
Settings = Callable[[int], ClusterConfig]


def free_port() -> int:
    """A port of this machine that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@asynccontextmanager
async def open_real(settings: Settings, *numbers: int) -> AsyncIterator[list[Node]]:
    """Open nodes with real networks, the first with the master; they close in the reverse order."""
    if not numbers:
        yield []
        return
    config = NodeConfig(name=f"node{numbers[0]}")
    async with (
        open_node(config, network=Harbor(settings(numbers[0]))) as node,
        open_real(settings, *numbers[1:]) as others,
    ):
        yield [node, *others]


async def check_cluster(nodes: list[Node]) -> None:
    """Calls, cancellation, a large value and a watch, between all pairs."""
    log: Log = []
    for node in nodes:
        await node.start(Quiet, name=f"quiet{node.harbor}")
    worker = await nodes[-1].start(spec(Worker, log), name="worker")
    for node in nodes:
        for other in nodes:
            await node.wait_for_name(f"quiet{other.harbor}")
            if other is not node:
                await node.cluster.wait_connected(other.harbor)
            assert await node.call(f"quiet{other.harbor}", "answer") == 42
    await nodes[0].wait_for_name("worker")
    with trio.move_on_after(0.2) as scope:
        await nodes[0].call("worker", "work", "x" * 1_000_000)
    assert scope.cancelled_caught
    assert log[-1] == f"worker {'x' * 1_000_000} cancelled"
    async with nodes[0].watch(nodes[0].ref(worker)) as end:
        await nodes[-1].stop(worker)
        assert (await end.wait()).reason == "stopped"


def tcp() -> Settings:
    """Addresses on the loopback interface."""
    master = f"127.0.0.1:{free_port()}"
    return lambda number: ClusterConfig(
        harbor=number, master=master, standalone=master if number == 1 else None, cancel_grace=5
    )


async def test_tcp() -> None:
    with trio.fail_after(LIMIT):
        async with open_real(tcp(), 1, 2, 3) as nodes:
            assert all(address.startswith("127.0.0.1:") for address in nodes[0].cluster.nodes().values())
            await check_cluster(nodes)


async def test_tcp_with_a_secret_file(tmp_path: Path) -> None:
    """The right one, and another, which is refused with a reason."""
    right, wrong = tmp_path / "right.key", tmp_path / "wrong.key"
    for path in (right, wrong):
        path.write_text(format_secret(os.urandom(32)))
        path.chmod(0o600)
    base = tcp()
    with trio.fail_after(LIMIT):
        async with open_real(
            lambda number: attrs.evolve(base(number), secret_file=str(right)), 1, 2
        ) as nodes:
            await check_cluster(nodes)
            strangers: tuple[dict[str, Any], ...] = (
                {"secret_file": str(wrong)},
                {},
                {"name": "another", "secret_file": str(right)},
            )
            for change in strangers:
                with pytest.raises(MasterUnreachable, match=r"no master for this node at .*secret"):
                    await enter(attrs.evolve(base(3), **change))
            assert sorted(nodes[0].cluster.nodes()) == [1, 2]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
            "is no trionet node: a frame of 1213486160 bytes",
        ),
        (b"\x15\x03\x03\x00\x02\x02\x46", "is no trionet node: a frame of 352518912 bytes"),
        (b"\x00\x00\x00\x03abc", "is no trionet node: the answer is no hello of an accepter"),
    ],
)
async def test_a_master_address_where_something_else_listens(said: bytes, why: str) -> None:
    """It says so at once: that will not change until the time to join is over."""

    async def other(stream: trio.SocketStream) -> None:
        await stream.receive_some(100)
        await stream.send_all(said)
        await stream.receive_some(100)

    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, other, 0, host="127.0.0.1"))
            port = listener.socket.getsockname()[1]
            with pytest.raises(
                MasterUnreachable, match=rf"no master for this node at 127.0.0.1:{port}: .*{why}"
            ):
                await enter(attrs.evolve(tcp()(2), master=f"127.0.0.1:{port}"))
            nursery.cancel_scope.cancel()


async def enter(config: ClusterConfig) -> None:
    """Open a node that should not get in."""
    async with open_node(network=Harbor(config)):
        pass


async def test_unix_sockets(tmp_path: Path) -> None:
    """They are for their owner only, and leave no file behind; one of a dead process is replaced."""
    path = tmp_path / "master.sock"

    def settings(number: int) -> ClusterConfig:
        return ClusterConfig(
            harbor=number,
            address=f"unix:{tmp_path}/node{number}.sock",
            master=f"unix:{path}",
            standalone=f"unix:{path}" if number == 1 else None,
            cancel_grace=5,
        )

    stale = trio.socket.socket(trio.socket.AF_UNIX)
    await stale.bind(str(path))
    stale.close()
    with trio.fail_after(LIMIT):
        async with open_real(settings, 1, 2, 3) as nodes:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            await check_cluster(nodes)
            with pytest.raises(OSError, match="in use"):
                await enter(attrs.evolve(settings(9), address=f"unix:{tmp_path}/node2.sock"))
    assert os.listdir(tmp_path) == []


def test_what_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")

    async def listen() -> None:
        await Sockets().listen(f"unix:{path}")

    with pytest.raises(OSError, match="in use"):
        trio.run(listen)
    assert path.read_text() == "data"


async def test_a_port_that_is_taken() -> None:
    base = tcp()
    with trio.fail_after(LIMIT):
        async with open_real(base, 1):
            with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
                await enter(base(1))


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", "[::1]:0"])
async def test_loopback_addresses(address: str) -> None:
    with trio.fail_after(LIMIT):
        try:
            listener = await Sockets().listen(address)
        except OSError:
            pytest.skip(f"this machine has no {address}")
        dialled = None
        async with trio.open_nursery() as nursery:

            async def accept() -> None:
                connection = await listener.accept()
                assert connection.is_safe
                assert connection.remote.startswith(("127.0.0.1:", "::1:"))
                await connection.stream.aclose()

            nursery.start_soon(accept)
            dialled = await Sockets().connect(listener.address)
            assert dialled.is_safe
            assert await dialled.stream.receive_some() == b""
        await dialled.stream.aclose()
        await listener.aclose()
        with pytest.raises(OSError, match="connect"):
            await Sockets().connect(listener.address)


# --- TLS ----------------------------------------------------------------------------------------------


@attrs.frozen
class Certificates:
    """Files of one authority, and what it signed."""

    certificate: str
    key: str
    authority: str


def sign(folder: Path, authority: trustme.CA, name: str = "node", *hosts: str) -> Certificates:
    """Let an authority sign a certificate, and write the files."""
    made = authority.issue_cert(*(hosts or ("127.0.0.1", "localhost")))
    paths = [folder / f"{name}.{kind}" for kind in ("pem", "key", "ca")]
    paths[0].write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    made.private_key_pem.write_to_path(paths[1])
    authority.cert_pem.write_to_path(paths[2])
    return Certificates(*map(str, paths))


def tls(certificates: Certificates) -> Settings:
    """Mutual TLS on the loopback interface."""
    base = tcp()
    return lambda number: attrs.evolve(
        base(number),
        tls_certificate=certificates.certificate,
        tls_key=certificates.key,
        tls_authority=certificates.authority,
    )


async def test_mutual_tls(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT):
        async with open_real(tls(sign(tmp_path, trustme.CA())), 1, 2, 3) as nodes:
            await check_cluster(nodes)


async def test_strangers_to_the_authority_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of another authority; without a certificate; without TLS; and a host that has another name."""
    own, other = trustme.CA(), trustme.CA()
    settings = tls(sign(tmp_path, own))
    foreign = sign(tmp_path, other, "foreign")
    elsewhere = sign(tmp_path, own, "elsewhere", "elsewhere.example")
    with trio.fail_after(LIMIT):
        async with open_real(settings, 1, 2) as nodes:
            for change in (
                {
                    "tls_certificate": foreign.certificate,
                    "tls_key": foreign.key,
                    "tls_authority": foreign.authority,
                },
                {"tls_certificate": foreign.certificate, "tls_key": foreign.key},
                {"tls_certificate": None, "tls_key": None, "tls_authority": None},
            ):
                with pytest.raises(MasterUnreachable):
                    await enter(attrs.evolve(settings(3), join_timeout=1.0, **change))
            await check_cluster(nodes)
        assert "was refused: " in caplog.text
        wrong = attrs.evolve(
            settings(1), tls_certificate=elsewhere.certificate, tls_key=elsewhere.key, join_timeout=60.0
        )
        with pytest.raises(MasterUnreachable, match=r"TLS with 127\.0\.0\.1:\d+ failed"):
            await enter(wrong)


def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    certificates = sign(tmp_path, trustme.CA())
    Path(certificates.key).write_text("nonsense")
    with pytest.raises(ConfigError, match=r"cluster\.tls_\*"):
        Harbor(tls(certificates)(1))
    with pytest.raises(ConfigError, match="nowhere"):
        Harbor(attrs.evolve(tcp()(1), secret_file=str(tmp_path / "nowhere")))


async def test_a_link_is_bound_to_the_certificate_of_its_tls(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who ends TLS in the middle with a certificate of the same authority cannot pass the handshake on."""
    authority = trustme.CA()
    ends = sign(tmp_path, authority)
    middle = sign(tmp_path, authority, "middle")
    files = (ends.certificate, ends.key, ends.authority)
    secrets = (Secret(os.urandom(32)),)
    settings = tls(ends)
    with trio.fail_after(LIMIT):
        async with open_node(network=Harbor(settings(1), Sockets(Tls.mutual(*files)), secrets)):
            port = free_port()
            async with trio.open_nursery() as nursery:
                await nursery.start(stand_between, port, settings(1).standalone, middle)
                lost = attrs.evolve(settings(2), master=f"127.0.0.1:{port}", join_timeout=60.0)
                with pytest.raises(MasterUnreachable, match=r"connection was lost|differ"):
                    await enter_with(lost, Sockets(Tls.mutual(*files)), secrets)
                nursery.cancel_scope.cancel()
        assert "was refused: the dialer's proof is wrong" in caplog.text


async def enter_with(config: ClusterConfig, sockets: Sockets, secrets: tuple[Secret, ...]) -> None:
    async with open_node(network=Harbor(config, sockets, secrets)):
        pass


async def stand_between(
    port: int, address: str, certificates: Certificates, task_status: trio.TaskStatus[None]
) -> None:
    """Speak TLS with both ends, and pass all bytes on."""
    sockets = Sockets(Tls.mutual(certificates.certificate, certificates.key, certificates.authority))
    listener = await sockets.listen(f"127.0.0.1:{port}")
    try:
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                near = await listener.accept()
                far = await sockets.connect(address)
                nursery.start_soon(pass_on, near.stream, far.stream)
                nursery.start_soon(pass_on, far.stream, near.stream)
    finally:
        with trio.CancelScope(shield=True):
            await listener.aclose()


async def pass_on(source: trio.abc.Stream, sink: trio.abc.Stream) -> None:
    try:
        while data := await source.receive_some(4096):
            await sink.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError):
        pass
    finally:
        await trio.aclose_forcefully(source)
        await trio.aclose_forcefully(sink)
