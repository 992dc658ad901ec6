# SPDX-License-Identifier: Apache-2.0
"""A peer that stops reading pauses the other side; nothing piles up here."""

import contextlib
import socket
import threading
import time

import pytest
from backends import Backend
from gangway import SANITIZER
from rawws import BINARY, PING, PONG, TEXT, RawWs, frame

KIB, MIB = 1 << 10, 1 << 20
BLOCK = b"x" * 65536
FRAME = frame(BINARY, BLOCK, key=b"\0\0\0\0")


MUCH = 64 * MIB  # more than all the buffers of the kernel between two peers


def fill(send, block):
    """Send until nothing has been taken for so long; how much was."""
    sent, view = 0, memoryview(block)
    try:
        while sent < MUCH:
            sent += send(view[sent % len(block) :])
    except TimeoutError:
        return sent
    raise AssertionError("everything was taken, and nobody read it")


def fill_backend(peer, seconds=0.5):
    peer.sock.settimeout(seconds)
    return fill(peer.sock.send, BLOCK)


def fill_client(ws, seconds=0.5):
    """The same with frames. Leaves a frame cut, as a stalled client does."""
    ws.sock.settimeout(seconds)
    return fill(ws.sock.send, FRAME)


def finish_frame(ws, sent):
    """Complete the frame that fill_client left; payload bytes sent in all."""
    ws.sock.settimeout(20)
    if sent % len(FRAME):
        ws.send(FRAME[sent % len(FRAME) :])
    return (sent + len(FRAME) - 1) // len(FRAME) * len(BLOCK)


def test_stalled_client_pauses_the_backend(gangway, backend):
    gw = gangway(backend.url)
    before = gw.rss()
    with RawWs(gw, rcvbuf=16 * KIB) as ws, backend.accept() as peer:
        sent = fill_backend(peer)
        if not SANITIZER:
            assert gw.rss() - before < 2 * MIB
        # All of it is still there when the client reads again.
        got = 0
        while got < sent:
            got += len(ws.recv_message()[1])
        assert got == sent
        ws.close_normally()


def test_stalled_backend_pauses_the_client(gangway):
    with Backend(rcvbuf=16 * KIB) as backend:
        gw = gangway(backend.url)
        before = gw.rss()
        with RawWs(gw, rcvbuf=16 * KIB) as ws, backend.accept() as peer:
            sent = fill_client(ws)
            if not SANITIZER:
                assert gw.rss() - before < 2 * MIB
            got = threading.Thread(target=lambda: read.append(peer.until_eof()))
            read = []
            got.start()
            total = finish_frame(ws, sent)
            ws.send_close(1000)
            got.join(30)
            assert len(read[0]) == total and set(read[0]) == {ord("x")}
            peer.close()
            assert ws.recv_close()[0] == 1000


def test_directions_are_independent(gangway, backend):
    """A client that does not read can still send."""
    gw = gangway(backend.url)
    with RawWs(gw, rcvbuf=16 * KIB) as ws, backend.accept() as peer:
        fill_backend(peer)
        peer.sock.settimeout(20)
        for i in range(50):
            ws.text(f"{i:04}")
            assert peer.exactly(4) == f"{i:04}".encode()


def test_pong_passes_queued_data(gangway, backend):
    """A ping is answered although much data is waiting: the pong is next."""
    gw = gangway(backend.url)
    with RawWs(gw, rcvbuf=16 * KIB) as ws, backend.accept() as peer:
        sent = fill_backend(peer)
        ws.frame(PING, b"now")
        got = 0
        while (part := ws.recv_frame()).opcode != PONG:
            got += len(part.payload)
        assert part.payload == b"now"
        while got < sent:
            got += len(ws.recv_frame().payload)
        assert got == sent


@pytest.mark.slow
def test_many_stalled_clients_stay_within_bounds(gangway):
    """Each costs at most its high mark and one read; others use it later."""
    n, peaks = 100, []
    with Backend() as backend:
        gw = gangway(backend.url, settings={"timeouts.write_stall": "60s"})
        with RawWs(gw) as ws, backend.accept() as peer:
            peer.send(b"x" * 1000)
            ws.recv_bytes(1000)
        before = gw.rss()
        for _ in range(2):
            pairs = []
            for _ in range(n):
                ws = RawWs(gw, rcvbuf=4 * KIB)
                peer = backend.accept()
                peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * KIB)
                pairs.append((ws, peer))
            threads = [threading.Thread(target=fill_backend, args=(p, 0.5)) for _, p in pairs]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            peaks.append(gw.rss() - before)
            per_session = peaks[-1] / n
            assert per_session < (64 + 64 + 16) * KIB, f"{per_session / KIB:.0f} KiB each"
            for ws, peer in pairs:
                ws.close()
                peer.close()
            # How much of it goes to the system at once is the allocator's choice.
            gw.until(lambda: gw.rss() - before < peaks[-1] * 2 // 3, what="memory given back")
        assert peaks[-1] < peaks[0] * 3 // 2, peaks


def test_client_that_takes_nothing_is_cut_off(gangway, backend):
    gw = gangway(backend.url, settings={"timeouts.write_stall": "500ms"})
    with RawWs(gw, rcvbuf=16 * KIB), backend.accept() as peer:
        began = time.monotonic()
        fill_backend(peer, 0.2)
        gw.session_end(reason="client_stalled", by="gateway")
        assert time.monotonic() - began < 5
        peer.sock.settimeout(20)
        assert peer.until_end() == b""


def test_backend_that_takes_nothing_is_cut_off(gangway):
    with Backend(rcvbuf=16 * KIB) as backend:
        gw = gangway(backend.url, settings={"timeouts.write_stall": "2s", "timeouts.close": "1s"})
        with RawWs(gw) as ws, backend.accept():
            fill_client(ws, 0.3)
            ended = gw.session_end(reason="backend_stalled", by="gateway")
            assert ended["code"] == "1011"
            ws.sock.settimeout(20)
            assert ws.recv_close()[0] == 1011


def test_slow_is_not_stalled(gangway, backend):
    """A client that takes a little now and then keeps its session."""
    gw = gangway(backend.url, settings={"timeouts.write_stall": "1s"})
    with RawWs(gw, rcvbuf=16 * KIB) as ws, backend.accept() as peer:
        sent = fill_backend(peer, 0.1)
        began, got = time.monotonic(), 0
        while time.monotonic() - began < 3:
            ws.buffer += ws.sock.recv(8192)  # 160 KiB a second
            time.sleep(0.05)
        while got < sent:
            got += len(ws.recv_frame().payload)
        assert got == sent


def test_stalled_session_does_not_slow_others(gangway, backend, echo_server):
    gw = gangway({"/stalled": backend.url, "/": echo_server.url}, settings={"workers": 1})
    with RawWs(gw, "/stalled", rcvbuf=16 * KIB), backend.accept() as peer:
        fill_backend(peer, 0.2)
        with RawWs(gw) as ws:
            began = time.monotonic()
            for _ in range(200):
                ws.text("x")
                assert ws.recv_message() == (TEXT, b"x")
            assert time.monotonic() - began < (10 if SANITIZER else 2)


def flood(ws):
    """Small messages without a pause, and their answers read, until it ends."""
    ws.sock.settimeout(None)
    block = frame(TEXT, b"x", key=b"\0\0\0\0") * 10_000

    def until_gone(do):
        with contextlib.suppress(OSError):
            while do():
                pass

    for do in (lambda: ws.sock.sendall(block) is None, lambda: ws.sock.recv(MIB)):
        threading.Thread(target=until_gone, args=(do,), daemon=True).start()


@pytest.mark.parametrize("front", ["ws", "wss"])
def test_a_client_that_never_pauses_does_not_stop_its_loop(gangway, wss, authority, front):
    """It sends faster than we answer: there is always more to read."""
    config, tls = (wss, authority.client_context()) if front == "wss" else (None, None)
    gw = gangway("echo:", config=config, listen=None if config else ["ws://127.0.0.1:0"],
                 settings={"workers": 1})
    with RawWs(gw, tls=tls) as busy, RawWs(gw, tls=tls) as ws:
        flood(busy)
        end = time.monotonic() + 1
        while (began := time.monotonic()) < end:
            ws.text("x")
            assert ws.recv_message() == (TEXT, b"x")
            assert time.monotonic() - began < (10 if SANITIZER else 2)
        busy.sock.shutdown(socket.SHUT_RDWR)
