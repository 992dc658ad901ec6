# SPDX-License-Identifier: Apache-2.0
"""Backends: sockets that a test drives by hand, and servers in a thread."""

import asyncio
import hashlib
import socket
import struct
import threading

DEADLINE_S = 20


class Peer:
    """A connected stream socket with the few verbs tests need."""

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(DEADLINE_S)

    def send(self, data):
        self.sock.sendall(data)

    def recv(self, n=65536):
        """Some bytes, or b"" at the end of the stream."""
        return self.sock.recv(n)

    def exactly(self, n):
        data = bytearray()
        while len(data) < n:
            got = self.sock.recv(min(n - len(data), 1 << 20))
            assert got, f"the stream ended after {bytes(data)!r}, {n} bytes expected"
            data += got
        return bytes(data)

    def until_eof(self):
        data = bytearray()
        while got := self.sock.recv(1 << 16):
            data += got
        return bytes(data)

    def until_end(self):
        """The same, for a stream that may also be reset."""
        data = bytearray()
        try:
            while got := self.sock.recv(1 << 16):
                data += got
        except ConnectionResetError:
            pass
        return bytes(data)

    def expect_nothing(self, seconds=0.3):
        """No byte and no end comes for a while."""
        self.sock.settimeout(seconds)
        try:
            got = self.sock.recv(4096)
        except TimeoutError:
            return
        finally:
            self.sock.settimeout(DEADLINE_S)
        raise AssertionError(f"unexpected {got!r}" if got else "unexpected end")

    def finish(self):
        """FIN: no more from us."""
        if hasattr(self.sock, "unwrap"):
            self.sock = self.sock.unwrap()
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Backend:
    """A listening socket. accept() gives the test each connection to drive.

    path: a Unix socket instead of TCP; tls: an ssl.SSLContext
    """

    def __init__(self, path=None, tls=None, host="127.0.0.1", backlog=128, rcvbuf=None):
        self.path = str(path) if path else None
        self.tls = tls
        family = socket.AF_UNIX if path else (
            socket.AF_INET6 if ":" in host else socket.AF_INET
        )
        self.sock = socket.socket(family)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.bind(self.path or (host, 0))
        self.sock.listen(backlog)
        self.sock.settimeout(DEADLINE_S)
        self.host = host
        self.port = None if path else self.sock.getsockname()[1]

    @property
    def address(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self):
        if self.path:
            return f"unix:{self.path}"
        return f"{'tls' if self.tls else 'tcp'}://{self.address}"

    def accept(self, seconds=DEADLINE_S):
        self.sock.settimeout(seconds)
        sock, _ = self.sock.accept()
        if self.tls:
            sock.settimeout(DEADLINE_S)
            sock = self.tls.wrap_socket(sock, server_side=True)
        return Peer(sock)

    def expect_no_connection(self, seconds=0.3):
        self.sock.settimeout(seconds)
        try:
            sock, _ = self.sock.accept()
        except TimeoutError:
            return
        sock.close()
        raise AssertionError("somebody connected")

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Server:
    """An asyncio server in a thread of its own: handler(reader, writer)."""

    def __init__(self, handler, path=None, tls=None, host="127.0.0.1"):
        self.path = str(path) if path else None
        self.host = host
        self.sessions = 0
        self._handler = handler
        self._tls = tls
        self._writers = set()
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        assert self._started.wait(DEADLINE_S)

    @property
    def url(self):
        if self.path:
            return f"unix:{self.path}"
        return f"{'tls' if self._tls else 'tcp'}://{self.host}:{self.port}"

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    async def _main(self):
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        if self.path:
            server = await asyncio.start_unix_server(self._client, self.path, ssl=self._tls)
        else:
            server = await asyncio.start_server(
                self._client, self.host, 0, ssl=self._tls, backlog=4096
            )
            self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports let go of their sockets

    async def _client(self, reader, writer):
        self.sessions += 1
        self._writers.add(writer)
        try:
            await self._handler(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


async def echo(reader, writer):
    while data := await reader.read(1 << 18):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def sink(reader, writer):
    """Reads to the end, then answers with the hex SHA-256 of it all."""
    digest = hashlib.sha256()
    while data := await reader.read(1 << 18):
        digest.update(data)
    writer.write(digest.hexdigest().encode())
    await writer.drain()


def source(data, times):
    """Writes data so many times and closes."""

    async def handler(_, writer):
        for _ in range(times):
            writer.write(data)
            await writer.drain()

    return handler


def refusing_port():
    """A port that nobody listens on, and that nobody else gets meanwhile."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]


class Blackhole:
    """An address whose SYNs vanish: a listening socket with a full backlog."""

    def __init__(self):
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(0)
        self.port = self.sock.getsockname()[1]
        self.fill = []
        for _ in range(8):
            sock = socket.socket()
            sock.settimeout(0.25)
            self.fill.append(sock)
            try:
                sock.connect(("127.0.0.1", self.port))
            except TimeoutError:
                return
        raise RuntimeError("the kernel went on accepting")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def close(self):
        for sock in [*self.fill, self.sock]:
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
