"""The client's end of a console: a plain socket, without Trio, because a person waits for each line.

Duty: find the console that an address means, come in, ask.
"""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final, Self

from trionet.cluster_config import is_private, split_address, unix_path
from trionet.kernel.seams import Random
from trionet.net.console_places import places, runtime_folder
from trionet.wire.agreement import Authenticated, HandshakeFailed, LinkIdentity
from trionet.wire.errors import ProtocolError
from trionet.wire.handshake import Dialer
from trionet.wire.hellos import NONCE_SIZE, Purpose
from trionet.wire.lines import LineCoder
from trionet.wire.secrets import Secret

#: Seconds that coming in may take.
PATIENCE: Final = 5.0
#: Bytes that a line of a reply may have.
_LONGEST_REPLY: Final = 1 << 30
_READ_SIZE: Final = 64 * 1024
#: Stands for the only node of this machine.
ONLY: Final = "-"


class ConsoleProblem(Exception):
    """No console, or none that lets this client in; the text is for people."""


def find_console(text: str | None) -> str:
    """Find the address that somebody means: an address, the path of a socket, the name of a node, or none.

    Raises:
        ConsoleProblem: if there is no such node on this machine, or several.
    """
    if text is not None and (unix_path(text) is not None or _is_tcp(text)):
        return text
    if text is not None and "/" in text:
        return f"unix:{text}"
    known = places(runtime_folder())
    fitting = [each for each in known if text in (None, ONLY, each.node, f"{each.node}-{each.pid}")]
    if len(fitting) == 1:
        return fitting[0].address
    names = ", ".join(f"{each.node}-{each.pid}" for each in known) or "none"
    what = "a node" if text in (None, ONLY) else f"a node named {text!r}"
    if fitting:
        raise ConsoleProblem(f"{len(fitting)} nodes of this machine could be meant; name one of: {names}")
    hint = "expected an address, or one of the nodes that run here with a console"
    raise ConsoleProblem(f"found no console of {what} in {runtime_folder()}, {hint}: {names}")


def _is_tcp(text: str) -> bool:
    try:
        split_address(text)
    except ValueError:
        return False
    return True


class ConsoleClient:
    """A connection to a console.

    Args:
        sock: the socket, connected.
        coder: cuts and packs lines.

    Attributes:
        waiting: made around each wait for the console; what it raises there loses nothing.
        hello: what the console said first: the node, its harbor id, its version.
    """

    def __init__(self, sock: socket.socket, coder: LineCoder) -> None:
        self._socket = sock
        self._coder = coder
        self.waiting: Callable[[], AbstractContextManager[None]] = nullcontext
        self.hello: dict[str, Any] = self._receive()
        if self.hello.get("reply") != "hello":
            raise ConsoleProblem(str(self.hello.get("text", "what answers is no console")))

    @classmethod
    def connect(cls, address: str, cluster: str, secrets: tuple[Secret, ...], random: Random) -> Self:
        """Come in.

        Args:
            address: ``unix:path``, ``host:port`` or ``[v6]:port``.
            cluster: the name of the cluster.
            secrets: those of the cluster; TCP needs one.
            random: a source of nonces.

        Raises:
            ConsoleProblem: if nobody is there, or does not let this client in.
        """
        path = unix_path(address)
        if path is None and not secrets:
            raise ConsoleProblem(
                f"{address}: a console over TCP needs the secret of the cluster: --secret-file"
            )
        try:
            sock = _open(address) if path is None else _open_unix(path)
        except OSError as error:
            raise ConsoleProblem(
                f"{address}: no console there: {(error.strerror or str(error)).lower()}"
            ) from None
        try:
            agreement = None
            if path is None:
                agreement = _shake_hands(sock, address, cluster, secrets, random.randbytes(NONCE_SIZE))
            client = cls(sock, LineCoder(_LONGEST_REPLY, agreement))
        except (OSError, ProtocolError) as error:
            sock.close()
            raise ConsoleProblem(f"{address}: no answer of a console: {error}") from None
        except BaseException:
            sock.close()
            raise
        sock.settimeout(None)
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, line: str) -> Iterator[dict[str, Any]]:
        """Ask, and give each reply as it comes; the last is a result, an error or ``"stopped"``.

        Raises:
            ConsoleProblem: if the connection ends.
        """
        self._send({"line": line})
        while True:
            reply = self._receive()
            yield reply
            if reply.get("reply") != "item":
                return

    def result(self, line: str) -> Any:
        """The result of a line; None if it has none."""
        *_, last = self.ask(line)
        return last.get("data")

    def stop(self) -> None:
        """End what was asked, and drop what still comes of it.

        Raises:
            ConsoleProblem: if the connection ends.
        """
        self._send({"stop": True})
        while self._receive().get("reply") == "item":
            pass

    def _send(self, content: dict[str, Any]) -> None:
        try:
            self._socket.sendall(self._coder.pack(json.dumps(content).encode()))
        except OSError as error:
            raise ConsoleProblem(f"the console is gone: {error}") from None

    def _receive(self) -> dict[str, Any]:
        while (line := self._coder.next_line()) is None:
            with self.waiting():
                select.select([self._socket], [], [], self._socket.gettimeout())
            try:
                data = self._socket.recv(_READ_SIZE)
            except ConnectionError as error:
                raise ConsoleProblem(f"the console is gone: {error}") from None
            if not data:
                raise ConsoleProblem("the console is gone: it closed the connection")
            self._coder.receive_data(data)
        try:
            content = json.loads(line) if isinstance(line, bytes) else None
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise ConsoleProblem("what answers is no console")
        return content


def _open(address: str) -> socket.socket:
    return socket.create_connection(split_address(address), PATIENCE)


def _open_unix(path: str) -> socket.socket:
    if not Path(path).exists():
        raise FileNotFoundError(2, "no such file")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(PATIENCE)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _shake_hands(
    sock: socket.socket, address: str, cluster: str, secrets: tuple[Secret, ...], nonce: bytes
) -> Any:
    """Prove that this end knows the secret, and let the other end prove it.

    Raises:
        ConsoleProblem: if one of them does not.
        OSError: if the connection is lost or it takes too long.
    """
    identity = LinkIdentity(
        cluster=cluster, harbor=0, incarnation=0, secrets=secrets, records=not is_private(address)
    )
    handshake = Dialer(identity, nonce, Purpose.CONSOLE)
    while True:
        sock.sendall(handshake.data_to_send())
        event = handshake.next_event()
        if isinstance(event, Authenticated):
            return handshake.agree()
        if isinstance(event, HandshakeFailed):
            raise ConsoleProblem(f"{address}: {event.reason}")
        try:
            received = sock.recv(_READ_SIZE)
        except ConnectionError:
            received = b""
        if received:
            handshake.receive_data(received)
        else:
            handshake.receive_eof()
