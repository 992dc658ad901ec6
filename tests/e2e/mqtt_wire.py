# SPDX-License-Identifier: Apache-2.0
"""MQTT without a library: packets byte by byte, over WebSocket frames that the
test cuts as it likes, and a private broker to send them to."""

import contextlib
import getpass
import re
import struct
import time
from typing import NamedTuple

import services
from rawws import BINARY, CLOSE, PING, RawWs

V31, V311, V5 = 3, 4, 5
(CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK,
 UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH) = range(1, 16)

EXPIRY, ASSIGNED_ID, SERVER_KEEPALIVE, ALIAS_MAX, ALIAS, USER = 0x11, 0x12, 0x13, 0x22, 0x23, 0x26


# ---- writing -----------------------------------------------------------------


def varint(n):
    out = bytearray()
    while True:
        n, digit = n >> 7, n & 0x7F
        out.append(digit | (0x80 if n else 0))
        if not n:
            return bytes(out)


def string(text):
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("!H", len(data)) + data


def packet(kind, body=b"", flags=None):
    if flags is None:
        flags = 2 if kind in (PUBREL, SUBSCRIBE, UNSUBSCRIBE) else 0
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def block(properties, version):
    """Nothing but in MQTT 5: a length and the bytes."""
    return varint(len(properties)) + properties if version == V5 else b""


def connect(client_id="raw", version=V311, *, clean=True, keepalive=60, will=None, user=None,
            password=None, properties=b"", flags=0):
    """will: (topic, payload, qos, retain)"""
    body = string("MQIsdp" if version == V31 else "MQTT") + bytes([version])
    flags |= 2 if clean else 0
    payload = string(client_id)
    if will:
        topic, message, qos, retain = will
        flags |= 4 | qos << 3 | retain << 5
        payload += block(b"", version) + string(topic) + string(message)
    if user is not None:
        flags |= 0x80
        payload += string(user)
    if password is not None:
        flags |= 0x40
        payload += string(password)
    body += bytes([flags]) + struct.pack("!H", keepalive) + block(properties, version)
    return packet(CONNECT, body + payload)


def publish(topic, payload=b"", version=V311, *, qos=0, retain=False, dup=False, mid=1,
            properties=b""):
    body = string(topic) + (struct.pack("!H", mid) if qos else b"")
    payload = payload.encode() if isinstance(payload, str) else payload
    return packet(PUBLISH, body + block(properties, version) + payload,
                  dup << 3 | qos << 1 | retain)


def subscribe(*filters, version=V311, mid=1, properties=b""):
    """filters: names, or (name, options)"""
    body = struct.pack("!H", mid) + block(properties, version)
    for f in filters:
        name, options = f if isinstance(f, tuple) else (f, 0)
        body += string(name) + bytes([options])
    return packet(SUBSCRIBE, body)


def unsubscribe(*filters, version=V311, mid=1):
    body = struct.pack("!H", mid) + block(b"", version)
    return packet(UNSUBSCRIBE, body + b"".join(map(string, filters)))


def ack(kind, mid):
    return packet(kind, struct.pack("!H", mid))


# ---- reading -----------------------------------------------------------------


class Packet(NamedTuple):
    kind: int
    flags: int
    body: bytes


def split(data):
    """The first whole packet of data, and how many bytes it has; or None."""
    length = shift = 0
    for i, byte in enumerate(data[1:5], 1):
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            end = 1 + i + length
            if len(data) < end:
                return None
            return Packet(data[0] >> 4, data[0] & 15, bytes(data[1 + i : end])), end
    return None


class RawMqtt(RawWs):
    """A session of the packets dialect, with nothing in between."""

    def __init__(self, gateway, path="/", *, subprotocols=("mqtt",), **how):
        super().__init__(gateway, path, subprotocols=subprotocols, **how)
        self.stream = bytearray()

    def mqtt(self, *packets, cut=None):
        """Send packets in one frame; or in frames of `cut` bytes."""
        data = b"".join(packets)
        for at in range(0, len(data), cut or len(data)):
            self.binary(data[at : at + (cut or len(data))])

    def next(self):
        """The next packet that comes."""
        while not (got := split(self.stream)):
            kind, data = self.recv_message()
            assert kind == BINARY
            self.stream += data
        del self.stream[: got[1]]
        return got[0]

    def expect(self, kind, body=None):
        got = self.next()
        assert got.kind == kind, got
        assert body is None or got.body == body, got
        return got

    def start(self, *args, **kwargs):
        """CONNECT; the CONNACK that accepts it."""
        self.mqtt(connect(*args, **kwargs))
        got = self.expect(CONNACK)
        assert got.body[1] == 0, got
        return got

    def ended(self):
        """What comes before the Close frame, as packets, and its code."""
        while True:
            frame = self.recv_frame()
            if frame.opcode == PING:
                continue
            if frame.opcode == CLOSE:
                break
            assert frame.opcode == BINARY, frame
            self.stream += frame.payload
        packets = []
        while got := split(self.stream):
            packets.append(got[0])
            del self.stream[: got[1]]
        code = struct.unpack("!H", frame.payload[:2])[0] if frame.payload else None
        return packets, code


def properties_of(body):
    """Of numbers and strings only: {id: value}."""
    sizes = {0x11: 4, 0x13: 2, 0x21: 2, 0x22: 2, 0x24: 1, 0x25: 1, 0x27: 4, 0x28: 1, 0x29: 1,
             0x2A: 1}
    n, at = body[0], 1
    found = {}
    assert n < 128
    while at < 1 + n:
        kind = body[at]
        if kind == ASSIGNED_ID:
            size = struct.unpack_from("!H", body, at + 1)[0]
            found[kind] = body[at + 3 : at + 3 + size].decode()
            at += 3 + size
        else:
            found[kind] = int.from_bytes(body[at + 1 : at + 1 + sizes[kind]], "big")
            at += 1 + sizes[kind]
    return found


# ---- a broker ----------------------------------------------------------------


class Broker:
    """mosquitto on a port of its own. It logs everything."""

    def __init__(self, directory, *lines, users=None, tls=None, port=None):
        self.directory = directory
        self.port = port or services.free_port()
        config = [
            f"listener {self.port} 127.0.0.1",
            "socket_domain ipv4",
            "persistence false",
            "log_dest stderr",
            "log_type all",
            f"user {getpass.getuser()}",
            f"allow_anonymous {'false' if users else 'true'}",
            *lines,
        ]
        if users:
            config.append(f"password_file {self._passwords(users)}")
        if tls:
            config += [f"certfile {tls.certificate}", f"keyfile {tls.key}"]
        (directory / "config").write_text("\n".join(config) + "\n")
        self.process = None
        self.start()

    def _passwords(self, users):
        path = self.directory / "passwords"
        path.touch()
        for name, password in users.items():
            services.subprocess.run(
                [services.program("mosquitto_passwd"), "-b", path, name, password], check=True
            )
        return path

    def start(self):
        self.process = services.Process(
            [services.program("mosquitto"), "-c", self.directory / "config"],
            self.directory / "log",
            lambda: services.accepts(self.port),
        )

    def stop(self):
        self.process.stop()

    @property
    def target(self):
        return f"mqtt://127.0.0.1:{self.port}"

    def wait_log(self, pattern, seconds=10):
        """The first line that fits, as a match."""
        until = time.monotonic() + seconds
        while not (match := re.search(pattern, self.process.text())):
            assert time.monotonic() < until, f"no {pattern!r} in\n{self.process.text()}"
            time.sleep(0.02)
        return match

    def client(self, client_id):
        """What CONNECT said: (version, clean, keepalive, user)."""
        m = self.wait_log(
            rf"New client connected from \S+ as {re.escape(client_id)} "
            r"\(p(\d), c(\d), k(\d+)(?:, u'([^']*)')?\)"
        )
        version = {1: V31, 2: V311, 5: V5}[int(m[1])]
        return version, m[2] == "1", int(m[3]), m[4]


@contextlib.contextmanager
def broker(*lines, **how):
    with services.place() as directory:
        b = Broker(directory, *lines, **how)
        try:
            yield b
        finally:
            b.stop()
