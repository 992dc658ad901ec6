# SPDX-License-Identifier: Apache-2.0
"""Messages of every form there and back, with five clients, plain and TLS."""

import asyncio
import hashlib
import json
import os
import random
import subprocess

import pytest
import websockets
import wsproto
from gangway import ROOT
from rawws import BINARY, CONTINUATION, PING, PONG, TEXT, RawWs, dial, frame

MIB = 1 << 20

# About every border of the length field and of buffers that are powers of 2.
SIZES = [0, 1, 2, 125, 126, 127, 4095, 65535, 65536, 65537, 131072, MIB, MIB + 1]


@pytest.fixture(scope="module", params=["echo", "tcp"])
def target(request, echo_server):
    """The echo inside gangway, which keeps messages, and one behind it."""
    return "echo:" if request.param == "echo" else echo_server.url


@pytest.fixture(scope="module", params=["ws", "wss"])
def gw(request, target, shared_gangway, server_pair):
    if request.param == "ws":
        return shared_gangway({"/": target})
    tls = {"certificate": str(server_pair.certificate), "key": str(server_pair.key)}
    config = {"listeners": [{"url": "wss://127.0.0.1:0", "tls": tls}]}
    return shared_gangway({"/": target}, config=config, listen=None)


@pytest.fixture
def tls(gw, authority):
    return authority.client_context() if gw.place.scheme == "wss" else None


@pytest.fixture
def ws(gw, tls):
    with RawWs(gw, tls=tls) as ws:
        yield ws
        ws.close_normally()


def recv_all(ws, kind, n):
    """n bytes in messages of this type, or none at all for n == 0."""
    data = b""
    while len(data) < n:
        got, payload = ws.recv_message()
        assert got == kind
        data += payload
    return data


@pytest.mark.parametrize("kind", [TEXT, BINARY], ids=["text", "binary"])
def test_sizes(ws, target, kind):
    for n in SIZES:
        data = b"a" * n if kind == TEXT else os.urandom(n)
        ws.frame(kind, data)
        if n == 0 and target != "echo:":
            continue  # an empty message is no byte of a stream
        if target == "echo:":
            assert ws.recv_message() == (kind, data)
        else:
            assert recv_all(ws, kind, n) == data


def test_types_are_kept_by_echo(gw, target, ws):
    if target != "echo:":
        # The type first seen is the answer's from then on.
        ws.text("a")
        assert ws.recv_message() == (TEXT, b"a")
        ws.binary(b"b")
        assert ws.recv_message() == (TEXT, b"b")
        return
    for kind in (TEXT, BINARY, TEXT, TEXT, BINARY):
        ws.frame(kind, b"x")
        assert ws.recv_message() == (kind, b"x")


def test_many_small_in_one_write(ws, target):
    """Frames that arrive together, and one that is cut by the read."""
    parts = [bytes([65 + i % 26]) * (i % 50) for i in range(2000)]
    ws.send(b"".join(frame(BINARY, p) for p in parts))
    if target == "echo:":
        assert [ws.recv_message()[1] for _ in parts] == parts
    else:
        whole = b"".join(parts)
        assert recv_all(ws, BINARY, len(whole)) == whole


def test_fragments(ws, target):
    """Cut anywhere, empty pieces included; the answer is the same message."""
    rng = random.Random(2)
    for _ in range(20):
        text = "".join(rng.choice("aé€😀") for _ in range(rng.randrange(1, 300)))
        data, at = text.encode(), 0
        pieces = []
        while at < len(data):
            n = rng.randrange(0, 40)
            pieces.append(data[at : at + n])
            at += n
        opcodes = [TEXT] + [CONTINUATION] * (len(pieces) - 1)
        for i, (opcode, piece) in enumerate(zip(opcodes, pieces)):
            ws.frame(opcode, piece, fin=i == len(pieces) - 1)
        if target == "echo:":
            assert ws.recv_message() == (TEXT, data)
        else:
            assert recv_all(ws, TEXT, len(data)) == data


def test_ping_amid_fragments(ws, target):
    """A pong comes at once, whatever message is under way."""
    ws.binary(b"one ", fin=False)
    ws.frame(PING, b"are you there?")
    got = b""
    while (part := ws.recv_frame()).opcode != PONG:
        got += part.payload
    assert part.payload == b"are you there?"
    ws.frame(CONTINUATION, b"two")
    while len(got) < 7:
        got += ws.recv_frame().payload
    assert got == b"one two"


def test_pings(ws):
    for n in (0, 1, 124, 125):
        payload = os.urandom(n)
        ws.frame(PING, payload)
        assert ws.recv_frame() == (PONG, payload, True)


def test_unasked_pongs_are_ignored(ws):
    ws.frame(PONG, b"nobody asked")
    ws.text("x")
    assert ws.recv_message() == (TEXT, b"x")


@pytest.mark.parametrize("key", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"])
def test_masking_keys(ws, key):
    ws.binary(bytes(range(256)) * 9, key=key)
    assert recv_all(ws, BINARY, 256 * 9) == bytes(range(256)) * 9


def test_frames_cut_by_the_network(gw, tls):
    """A frame may arrive in any pieces."""
    messages = [bytes([i % 256]) * i for i in (1, 125, 126, 300)]
    data = b"".join(frame(BINARY, m) for m in messages)
    expected = b"".join(messages)
    for step in (1, 2, 3, 7, 131):
        with RawWs(gw, tls=tls) as ws:
            for i in range(0, len(data), step):
                ws.send(data[i : i + step])
            assert recv_all(ws, BINARY, len(expected)) == expected


# ---- other people's clients ---------------------------------------------------

MESSAGES = ["", "grüß dich 😀", b"", b"\x00\xff" * 70, "x" * 65536, b"y" * 65536]
LARGE = 1 << 20


def test_with_websockets(gw, tls, target):
    keeps_messages = target == "echo:"

    async def there_and_back(ws, message):
        await ws.send(message)
        if keeps_messages:
            assert await ws.recv() == message
            return
        got = b""
        while len(got) < len(message):
            got += await ws.recv()
        assert got == message

    async def session():
        url = gw.url().replace("127.0.0.1", "localhost")
        async with websockets.connect(url, ssl=tls, max_size=None) as ws:
            for message in MESSAGES:
                # To a stream everything is bytes, and none are no message.
                if keeps_messages or (message and isinstance(message, bytes)):
                    await there_and_back(ws, message)
            await asyncio.wait_for(await ws.ping(), 10)
            await ws.send([b"a" * 1000] * 100)  # one message in fragments
            got = 0
            while got < 100_000:
                got += len(await ws.recv())
            assert got == 100_000
        assert ws.close_code == 1000

    asyncio.run(session())


def test_with_wsproto(gw, tls):
    from wsproto.events import (
        AcceptConnection,
        BytesMessage,
        CloseConnection,
        Ping,
        Pong,
        Request,
    )

    sock = dial(gw.place, tls)
    client = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    events = iter(())

    def event():
        nonlocal events
        while True:
            for got in events:
                return got
            client.receive_data(sock.recv(65536) or None)
            events = client.events()

    sock.sendall(client.send(Request(host="localhost", target="/")))
    assert isinstance(event(), AcceptConnection)
    data = os.urandom(LARGE)
    sock.sendall(client.send(Ping(payload=b"hello")))
    got = event()
    assert isinstance(got, Pong) and bytes(got.payload) == b"hello"
    back = bytearray()
    for i in range(0, LARGE, 65536):
        sock.sendall(client.send(BytesMessage(data=data[i : i + 65536])))
        while len(back) < i + 65536:
            got = event()
            assert isinstance(got, BytesMessage)
            back += got.data
    assert back == data
    sock.sendall(client.send(CloseConnection(code=3456, reason="done")))
    got = event()
    assert isinstance(got, CloseConnection) and got.code == 3456
    sock.close()


def test_with_autobahn(gw, tls):
    from autobahn.asyncio.websocket import (
        WebSocketClientFactory,
        WebSocketClientProtocol,
    )

    async def session():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        data = os.urandom(LARGE)
        back = bytearray()

        class Client(WebSocketClientProtocol):
            def onOpen(self):
                self.sendMessage(data, isBinary=True, fragmentSize=70000)

            def onMessage(self, payload, isBinary):
                back.extend(payload)
                if len(back) == LARGE:
                    self.sendClose(3000, "done")

            def onClose(self, wasClean, code, reason):
                done.set_result((wasClean, code))

        factory = WebSocketClientFactory(
            gw.url().replace("127.0.0.1", "localhost"), loop=loop
        )
        factory.protocol = Client
        factory.setProtocolOptions(
            maxMessagePayloadSize=0, maxFramePayloadSize=0,
            openHandshakeTimeout=30, closeHandshakeTimeout=30,  # not a second
        )  # fmt: skip
        await loop.create_connection(
            factory, gw.place.host, gw.place.port, ssl=tls,
            server_hostname="localhost" if tls else None,
        )
        assert await asyncio.wait_for(done, 30) == (True, 3000)
        assert back == data

    asyncio.run(session())


def test_with_node(gw, authority):
    script = ROOT / "tests" / "browser" / "ws_client.mjs"
    url = gw.url().replace("127.0.0.1", "localhost")
    done = subprocess.run(
        ["node", script, url, str(LARGE)],
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(authority.certificate)},
        stdout=subprocess.PIPE,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert told["bytes"] == LARGE
    assert told["sent"] == told["received"] == hashlib.sha256(b"\x5a" * LARGE).hexdigest()
    assert told["pong"] == "hello"
    assert told["close"] == 1000


def test_first_byte_of_a_stream_decides_nothing_before_it_comes(gangway, backend):
    """A backend that speaks first is heard in binary messages."""
    gw = gangway(backend.url)
    with RawWs(gw) as ws, backend.accept() as peer:
        peer.send(b"banner\r\n")
        assert ws.recv_message() == (BINARY, b"banner\r\n")
        ws.text("hello")
        assert peer.exactly(5) == b"hello"
        peer.send(b"so be it")
        assert ws.recv_message() == (TEXT, b"so be it")
