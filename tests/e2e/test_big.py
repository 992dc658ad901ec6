# SPDX-License-Identifier: Apache-2.0
"""A lot of data, every byte of it, whoever ends the stream."""

import asyncio
import hashlib
import threading

import pytest
import websockets
from backends import Backend, Server, echo
from rawws import BINARY, CLOSE, PING, RawWs, close_payload, frame

MIB = 1 << 20
BIG = 200 * MIB
PIECE = hashlib.shake_128(b"gangway").digest(MIB)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def digest_of(pieces):
    digest = hashlib.sha256()
    for _ in range(pieces):
        digest.update(PIECE)
    return digest.hexdigest()


def receive(ws):
    """Digest and size of everything up to the Close frame, and its code."""
    digest, n = hashlib.sha256(), 0
    while (got := ws.recv_frame()).opcode != CLOSE:
        if got.opcode != PING:
            digest.update(got.payload)
            n += len(got.payload)
    return digest.hexdigest(), n, got.payload[:2]


@pytest.fixture(params=["ws", "wss"])
def connect(request, gangway, wss, authority):
    """connect(target) -> an open session with it"""

    def start(target):
        if request.param == "ws":
            gw, tls = gangway(target), None
        else:
            gw, tls = gangway(target, config=wss, listen=None), authority.client_context()
        ws = RawWs(gw, tls=tls)
        ws.gangway = gw
        return ws

    return start


def test_down_and_the_client_ends(connect):
    """The backend has it all when it sees the end."""
    with Backend() as backend:
        ws = connect(backend.url)
        peer = backend.accept()
        whole = hashlib.sha256()
        total = []

        def read():
            n = 0
            while data := peer.recv(1 << 20):
                whole.update(data)
                n += len(data)
            total.append(n)

        reader = threading.Thread(target=read)
        reader.start()
        block = frame(BINARY, PIECE, key=b"\1\2\3\4")
        for _ in range(BIG // MIB):
            ws.send(block)
        ws.send_close(1000)
        reader.join()
        peer.close()
        assert total == [BIG]
        assert whole.hexdigest() == digest_of(BIG // MIB)
        assert ws.recv_close()[0] == 1000
        ws.closed()
        ws.close()


def test_up_and_the_backend_ends(connect):
    async def give(_, writer):
        for _ in range(BIG // MIB):
            writer.write(PIECE)
            await writer.drain()

    with Server(give) as server:
        ws = connect(server.url)
        digest, n, code = receive(ws)
        assert n == BIG
        assert digest == digest_of(BIG // MIB)
        assert code == close_payload(1000)
        ws.send_close(1000)
        ws.closed()
        ws.close()


def test_both_ways_at_once(connect, authority):
    """Through an echo, which pushes back as soon as nobody reads."""

    async def session(url, tls):
        async with websockets.connect(url, ssl=tls, max_size=None, compression=None) as ws:

            async def write():
                for _ in range(BIG // MIB):
                    await ws.send(PIECE)

            writer = asyncio.create_task(write())
            digest, n = hashlib.sha256(), 0
            while n < BIG:
                data = await ws.recv()
                digest.update(data)
                n += len(data)
            await writer
        assert n == BIG
        assert digest.hexdigest() == digest_of(BIG // MIB)
        assert ws.close_code == 1000

    with Server(echo) as server, connect(server.url) as ws:
        url = ws.gangway.url().replace("127.0.0.1", "localhost")
        tls = authority.client_context() if url.startswith("wss") else None
        asyncio.run(session(url, tls))
        ws.close_normally()


def test_one_message_of_many_fragments(gangway, sink_server):
    """A message larger than any buffer is a stream like any other."""
    gw = gangway(sink_server.url)
    with RawWs(gw) as ws:
        ws.binary(PIECE, fin=False)
        for _ in range(98):
            ws.frame(0, PIECE, fin=False)
        ws.frame(0, PIECE)
        ws.frame(CLOSE, close_payload(1000))
        ws.recv_close()
    gw.session_end(reason="client_close")


def test_one_frame_of_200_mib(gangway):
    with Backend() as backend:
        gw = gangway(backend.url)
        before = gw.rss()
        with RawWs(gw) as ws, backend.accept() as peer:
            whole, n = hashlib.sha256(), 0
            head = frame(BINARY, b"", length=BIG, form=64, key=b"\0\0\0\0")

            def write():
                ws.send(head)
                for _ in range(BIG // MIB):
                    ws.send(PIECE)

            writer = threading.Thread(target=write)
            writer.start()
            peak = 0
            while n < BIG:
                data = peer.recv(1 << 20)
                whole.update(data)
                n += len(data)
                peak = max(peak, gw.rss())
            writer.join()
            assert whole.hexdigest() == digest_of(BIG // MIB)
            assert peak - before < 2 * MIB
            ws.close_normally()
