# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client with nothing between the test and the wire.

It sends what it is told to, however wrong, and holds what comes back against
RFC 6455 byte by byte: a server's frames are unmasked, minimal and complete.
"""

import base64
import hashlib
import os
import socket
import struct
from typing import NamedTuple

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
DEADLINE_S = 20
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # the RFC's own, section 1.3


class Frame(NamedTuple):
    opcode: int
    payload: bytes
    fin: bool = True


class Answer(NamedTuple):
    status: int
    headers: dict  # lower-case name -> list of values
    body: bytes

    def header(self, name):
        values = self.headers.get(name, [])
        assert len(values) <= 1, f"{name} appears {len(values)} times"
        return values[0] if values else None


class Gone(Exception):
    """The server ended the connection; `how` is "eof" or "reset"."""

    def __init__(self, how):
        super().__init__(how)
        self.how = how


def mask(data, key):
    if key == b"\0\0\0\0" or not data:
        return bytes(data)
    n = len(data)
    stream = (key * (n // 4 + 1))[:n]
    both = int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")
    return both.to_bytes(n, "little")


def frame(opcode, payload=b"", *, fin=True, rsv=0, key=None, masked=True, length=None, form=None):
    """A client's frame. key: random by default. length: told instead of the
    true one. form: 7, 16 or 64, the width of the length field."""
    n = len(payload) if length is None else length
    if form is None:
        form = 7 if n < 126 else 16 if n < 65536 else 64
    code = {7: n, 16: 126, 64: 127}[form]
    head = bytes([fin << 7 | rsv << 4 | opcode, masked << 7 | code])
    head += {7: b"", 16: struct.pack("!H", n & 0xFFFF), 64: struct.pack("!Q", n)}[form]
    if not masked:
        return head + payload
    key = os.urandom(4) if key is None else key
    return head + key + mask(payload, key)


def close_payload(code=None, reason=b""):
    return b"" if code is None else struct.pack("!H", code) + reason


def dial(place, tls=None, server_name=None, rcvbuf=None, sndbuf=None):
    """A connected socket. place: gangway.Place or (host, port)."""
    path = getattr(place, "path", None)
    if path:
        sock = socket.socket(socket.AF_UNIX)
        target = path
    else:
        host, port = (place.host, place.port) if hasattr(place, "host") else place
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        target = (host, port)
    sock.settimeout(DEADLINE_S)
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    if sndbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
    try:
        sock.connect(target)
        if not path:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            sock = tls.wrap_socket(sock, server_hostname=server_name or "localhost")
    except Exception:
        sock.close()
        raise
    return sock


def request(path="/", *, method="GET", version="HTTP/1.1", drop=(), extra=(), **replace):
    """The bytes of a correct handshake, but for what the arguments change.

    drop: names of fields to leave out. replace: Name="value", an underscore
    stands for a hyphen. extra: more (name, value).
    """
    fields = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    for name, value in replace.items():
        name = name.replace("_", "-")
        known = {k.lower(): k for k in fields}
        fields[known.get(name.lower(), name)] = value
    lines = [f"{method} {path} {version}"]
    lines += [f"{k}: {v}" for k, v in fields.items() if k not in drop]
    lines += [f"{k}: {v}" for k, v in extra]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Wire:
    """A socket and what was read from it beyond the last thing taken."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray()

    def send(self, data):
        self.sock.sendall(data)

    def _more(self):
        try:
            got = self.sock.recv(1 << 18)
        except ConnectionResetError:
            raise Gone("reset") from None
        if not got:
            raise Gone("eof")
        self.buffer += got

    def take(self, n):
        while len(self.buffer) < n:
            self._more()
        taken = bytes(self.buffer[:n])
        del self.buffer[:n]
        return taken

    def take_line(self):
        while b"\r\n" not in self.buffer:
            self._more()
        line, _, rest = bytes(self.buffer).partition(b"\r\n")
        self.buffer[:] = rest
        return line.decode("latin-1")

    def answer(self, head=False):
        """Read one HTTP answer."""
        version, status, reason = self.take_line().split(" ", 2)
        assert version == "HTTP/1.1" and len(status) == 3 and reason
        headers = {}
        while line := self.take_line():
            name, colon, value = line.partition(":")
            assert colon and name == name.strip()
            headers.setdefault(name.lower(), []).append(value.strip())
        body = b""
        status = int(status)
        if not head and status >= 200 and status not in (204, 304):
            body = self.take(int(headers["content-length"][0]))
        return Answer(status, headers, body)

    def gone(self, seconds=DEADLINE_S):
        """Nothing more comes but the end: "eof" or "reset"."""
        self.sock.settimeout(seconds)
        try:
            if not self.buffer:
                self._more()
        except Gone as e:
            return e.how
        finally:
            self.sock.settimeout(DEADLINE_S)
        raise AssertionError(f"unexpected {bytes(self.buffer[:200])!r}")

    def expect_nothing(self, seconds=0.3):
        self.sock.settimeout(seconds)
        try:
            if not self.buffer:
                self._more()
        except TimeoutError:
            return
        finally:
            self.sock.settimeout(DEADLINE_S)
        raise AssertionError(f"unexpected {bytes(self.buffer[:200])!r}")

    def finish(self):
        """FIN (after close_notify): no more from us."""
        if hasattr(self.sock, "unwrap"):
            self.sock = self.sock.unwrap()
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ask(place, data, tls=None, head=False):
    """Send the bytes of a request; the answer to it, the connection closed."""
    with Wire(dial(place, tls)) as wire:
        wire.send(data)
        return wire.answer(head)


class RawWs(Wire):
    """An open session: the handshake is done in the constructor."""

    def __init__(self, place, path="/", *, subprotocols=(), early=b"", tls=None,
                 server_name=None, rcvbuf=None, sndbuf=None, **fields):
        place = getattr(place, "place", place)
        super().__init__(dial(place, tls, server_name, rcvbuf, sndbuf))
        if subprotocols:
            fields["Sec_WebSocket_Protocol"] = ", ".join(subprotocols)
        self.key = base64.b64encode(os.urandom(16)).decode()
        fields.setdefault("Sec_WebSocket_Key", self.key)
        self.send(request(path, **fields) + early)
        self.opened = self.answer()
        self.check_opening(subprotocols)

    def check_opening(self, offered):
        a = self.opened
        assert a.status == 101, f"{a.status}: {a.body!r}"
        assert a.header("upgrade").lower() == "websocket"
        assert a.header("connection").lower() == "upgrade"
        digest = hashlib.sha1(self.key.encode() + GUID).digest()
        assert a.header("sec-websocket-accept") == base64.b64encode(digest).decode()
        assert a.header("sec-websocket-extensions") is None
        self.subprotocol = a.header("sec-websocket-protocol")
        assert self.subprotocol is None or self.subprotocol in offered

    # ---- sending ----------------------------------------------------------

    def frame(self, opcode, payload=b"", **how):
        self.send(frame(opcode, payload, **how))

    def text(self, payload, **how):
        data = payload.encode() if isinstance(payload, str) else payload
        self.frame(TEXT, data, **how)

    def binary(self, payload, **how):
        self.frame(BINARY, payload, **how)

    def send_close(self, code=None, reason=b""):
        self.frame(CLOSE, close_payload(code, reason))

    # ---- receiving --------------------------------------------------------

    def recv_frame(self):
        first, second = self.take(2)
        assert first & 0x70 == 0, f"RSV bits set: {first:#x}"
        assert second & 0x80 == 0, "a server's frame is masked"
        opcode, n = first & 15, second
        assert opcode in (0, 1, 2, 8, 9, 10), f"opcode {opcode}"
        if n == 126:
            (n,) = struct.unpack("!H", self.take(2))
            assert n > 125, "length is not minimal"
        elif n == 127:
            (n,) = struct.unpack("!Q", self.take(8))
            assert 65535 < n < 1 << 63, "length is not minimal"
        if opcode >= CLOSE:
            assert n <= 125 and first & 0x80, "control frame too long or cut"
        return Frame(opcode, self.take(n), bool(first & 0x80))

    def recv_message(self):
        """(TEXT or BINARY, payload). Answers pings; no other control frame."""
        opcode, parts = None, []
        while True:
            got = self.recv_frame()
            if got.opcode == PING:
                self.frame(PONG, got.payload)
                continue
            assert got.opcode < CLOSE, f"unexpected {got}"
            assert (got.opcode == CONTINUATION) == (opcode is not None), f"unexpected {got}"
            opcode = opcode or got.opcode
            parts.append(got.payload)
            if got.fin:
                payload = b"".join(parts)
                if opcode == TEXT:
                    payload.decode()  # always valid UTF-8
                return opcode, payload

    def recv_bytes(self, n):
        """Payload of messages, put together, until n bytes are there."""
        data = bytearray()
        while len(data) < n:
            data += self.recv_message()[1]
        assert len(data) == n
        return bytes(data)

    def echoed(self, data, piece=16384):
        """What comes back of data from an echo, sent a piece at a time: never
        more than buffers hold, and from one thread, since Python's TLS sockets
        bear no reader beside a writer."""
        back = bytearray()
        for i in range(0, len(data), piece):
            self.binary(data[i : i + piece])
            back += self.recv_bytes(len(data[i : i + piece]))
        return bytes(back)

    def recv_close(self):
        """Expect a Close frame: (code or None, reason)."""
        got = self.recv_frame()
        while got.opcode == PING:
            got = self.recv_frame()
        assert got.opcode == CLOSE, f"expected Close, got {got}"
        return parse_close(got.payload)

    def drain(self):
        """All message payload up to the Close frame: (bytes, (code, reason))."""
        data = bytearray()
        while True:
            got = self.recv_frame()
            if got.opcode == CLOSE:
                return bytes(data), parse_close(got.payload)
            if got.opcode < CLOSE:
                data += got.payload

    def closed(self):
        """After both Close frames the server hangs up, cleanly."""
        assert self.gone() == "eof"

    def close_normally(self, code=1000):
        self.send_close(code)
        assert self.recv_close() == (code, b"")
        self.closed()


def parse_close(payload):
    if not payload:
        return None, b""
    assert len(payload) >= 2
    payload[2:].decode()
    return struct.unpack("!H", payload[:2])[0], payload[2:]
