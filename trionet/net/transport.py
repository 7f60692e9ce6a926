"""What carries a link: streams of bytes between addresses (TCP, Unix sockets, TLS, a simulation).

Duty: the seam at which a simulation puts its own network, and the real one behind it.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import attrs
import trio

from trionet.cluster_config import split_address, unix_path


@attrs.frozen(eq=False)
class Connection:
    """A stream to a peer that has proved nothing yet.

    Args:
        stream: the bytes; whoever has the connection closes it.
        is_safe: whether nobody in between can change bytes, so that records need no MAC.
        binding: digest of the accepting end's TLS certificate; empty outside TLS.
        remote: who is at the other end, for logs.
        write_now: writes what the stream takes without waiting, and tells how many bytes that were; only for
            who is alone in writing.  What has failed shows at the next ordinary write.
        receive: waits for bytes and gives so many at most; only for who is alone in reading.
    """

    stream: trio.abc.Stream
    is_safe: bool
    binding: bytes
    remote: str
    write_now: Callable[[bytes], int] = lambda _: 0
    receive: Callable[[int], Awaitable[bytes | bytearray]] = attrs.field()

    @receive.default
    def _receive_from_stream(self) -> Callable[[int], Awaitable[bytes | bytearray]]:
        return self.stream.receive_some

    @classmethod
    def over_socket(cls, stream: trio.SocketStream, is_safe: bool, remote: str) -> Connection:
        """A connection whose bytes go through a socket as they are."""
        return cls(stream, is_safe, b"", remote, _writes_now(stream), _receives(stream))


def _receives(stream: trio.SocketStream) -> Callable[[int], Awaitable[bytes]]:
    async def receive(size: int) -> bytes:
        while True:
            if stream.socket.fileno() < 0:
                raise trio.ClosedResourceError("this socket was already closed")
            await trio.lowlevel.wait_readable(stream.socket)
            try:
                return os.read(stream.socket.fileno(), size)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError(f"reading failed: {error}") from error

    return receive


def _writes_now(stream: trio.SocketStream) -> Callable[[bytes], int]:
    def write_now(data: bytes) -> int:
        try:
            return os.write(stream.socket.fileno(), data)
        except OSError:
            return 0

    return write_now


class TlsRefused(OSError):
    """One end does not trust the other, or does not speak TLS; the next time it will be the same."""


class Listener(Protocol):
    """Where connections arrive."""

    address: str

    async def accept(self) -> Connection:
        """Wait for the next connection; TLS is not spoken yet.

        Cancellation: no connection is lost.
        """

    async def aclose(self) -> None:
        """Accept no more."""


class Transport(Protocol):
    """A way to connect addresses."""

    async def connect(self, address: str) -> Connection:
        """Connect to an address.

        Raises:
            OSError: if nobody listens there.
        """

    async def listen(self, address: str) -> Listener:
        """Listen at an address; port 0 takes a free one.

        Raises:
            OSError: if it is taken, or not of this machine.
        """


@attrs.frozen(eq=False)
class Tls:
    """TLS for both ends of links.

    Args:
        server: the context of the accepting end.
        client: the context of the dialling end.
        binding: SHA-256 of the certificate that the accepting end shows.
    """

    server: ssl.SSLContext
    client: ssl.SSLContext
    binding: bytes

    @classmethod
    def mutual(cls, certificate: str, key: str, authority: str) -> Tls:
        """Both ends show a certificate that the authority signed.

        Raises:
            OSError: if a file cannot be read.
            ssl.SSLError: if one holds no certificate or key, or they do not fit.
        """
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
        server.verify_mode = ssl.CERT_REQUIRED
        client = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=authority)
        for context in (server, client):
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.load_cert_chain(certificate, key)
        pem = Path(certificate).read_text(encoding="ascii")
        first = pem[pem.index("-----BEGIN CERTIFICATE-----") :].partition("-----END CERTIFICATE-----")
        der = ssl.PEM_cert_to_DER_cert(first[0] + first[1])
        return cls(server, client, hashlib.sha256(der).digest())


class Sockets:
    """The real network.

    Args:
        tls: certificates, where links run inside TLS; not used on Unix sockets.
    """

    def __init__(self, tls: Tls | None = None) -> None:
        self._tls = tls

    async def connect(self, address: str) -> Connection:
        """Connect to an address.

        Cancellation: nothing stays open.

        Raises:
            TlsRefused: if one end does not trust the other, or does not speak TLS.
            OSError: if nobody listens there, or the connection is lost.
        """
        path = unix_path(address)
        if path is not None:
            stream = await trio.open_unix_socket(path)
            return Connection.over_socket(stream, True, address)
        host, port = split_address(address)
        tcp = await trio.open_tcp_stream(host, port)
        if tcp.socket.getsockname() == tcp.socket.getpeername():
            # nobody listens, and the system chose that very port for this end
            await trio.aclose_forcefully(tcp)
            raise ConnectionRefusedError(f"nobody listens at {address}")
        if self._tls is None:
            return Connection.over_socket(tcp, _is_loopback(tcp), address)
        try:
            secure = trio.SSLStream(tcp, self._tls.client, server_hostname=host)
            await secure.do_handshake()
        except trio.BrokenResourceError as error:
            await trio.aclose_forcefully(tcp)
            kind = TlsRefused if is_refusal(error.__cause__) else OSError
            raise kind(f"TLS with {address} failed: {error.__cause__ or error}") from error
        except BaseException:
            await trio.aclose_forcefully(tcp)
            raise
        shown = secure.getpeercert(binary_form=True)
        return Connection(secure, True, hashlib.sha256(shown).digest(), address)

    async def listen(self, address: str) -> Listener:
        """Listen at an address.

        Raises:
            OSError: if it is taken, or not of this machine.
        """
        path = unix_path(address)
        if path is not None:
            return await _UnixListener.open(path)
        host, port = split_address(address)
        listeners = await trio.open_tcp_listeners(port, host=host)
        for extra in listeners[1:]:
            await extra.aclose()
        return _TcpListener(listeners[0], host, self._tls)


def is_refusal(error: BaseException | None) -> bool:
    """Tell whether TLS failed by what one end thinks of the other, not by a connection that was lost."""
    lost = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    return isinstance(error, ssl.SSLError) and not isinstance(error, lost)


class _TcpListener:
    def __init__(self, listener: trio.SocketListener, host: str, tls: Tls | None) -> None:
        self._listener = listener
        self._tls = tls
        shown = f"[{host}]" if ":" in host else host
        self.address = f"{shown}:{listener.socket.getsockname()[1]}"

    async def accept(self) -> Connection:
        stream = await self._listener.accept()
        remote = _peer_name(stream)
        if self._tls is None:
            return Connection.over_socket(stream, _is_loopback(stream), remote)
        secure = trio.SSLStream(stream, self._tls.server, server_side=True)
        return Connection(secure, True, self._tls.binding, remote)

    async def aclose(self) -> None:
        await self._listener.aclose()


class _UnixListener:
    def __init__(self, listener: trio.SocketListener, path: str) -> None:
        self._listener = listener
        self._path = path
        self.address = f"unix:{path}"

    @classmethod
    async def open(cls, path: str) -> _UnixListener:
        sock = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
        try:
            await _remove_stale(path)
            mask = os.umask(0o177)
            try:
                await sock.bind(path)
            finally:
                os.umask(mask)
            sock.listen(128)
        except BaseException:
            sock.close()
            raise
        return cls(trio.SocketListener(sock), path)

    async def accept(self) -> Connection:
        stream = await self._listener.accept()
        return Connection.over_socket(stream, True, self.address)

    async def aclose(self) -> None:
        with suppress(OSError):
            os.unlink(self._path)
        await self._listener.aclose()


async def _remove_stale(path: str) -> None:
    """Remove the socket of a process that is gone; one that somebody listens on stays, and stays taken."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except OSError:
        return
    try:
        stream = await trio.open_unix_socket(path)
    except OSError:
        with suppress(OSError):
            os.unlink(path)
    else:
        await stream.aclose()


def _is_loopback(stream: trio.SocketStream) -> bool:
    try:
        host = stream.socket.getpeername()[0]
    except OSError:
        return False
    return isinstance(host, str) and (host.startswith("127.") or host == "::1")


def _peer_name(stream: trio.SocketStream) -> str:
    try:
        host, port = stream.socket.getpeername()[:2]
    except OSError:
        return "a peer that has gone"
    return f"{host}:{port}"
