# SPDX-License-Identifier: Apache-2.0
"""Thousands of sessions come and go; what they used comes back."""

import random
import socket
import statistics

import pytest
from backends import Backend
from gangway import SANITIZER
from rawws import BINARY, TEXT, RawWs, Wire, dial, frame, request

MIB = 1 << 20
ROUNDS = 5 if SANITIZER else 40
PER_ROUND = 40
LEAK = 128  # bytes for each session that ended; an allocator's noise is half of it


def leave(ws, how):
    if how == "close":
        ws.send_close(1000)
        ws.drain()
    elif how == "fin":
        ws.finish()
    elif how == "reset":
        ws.reset()
        return
    ws.close()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("front", ["ws", "wss"])
def test_memory_and_descriptors_return(gangway, echo_server, wss, authority, front):
    """Whichever way sessions end, and whatever they did before."""
    config = wss if front == "wss" else None
    # One worker: how sessions are spread would move each one's peak.
    gw = gangway(echo_server.url, config=config, listen=None if config else ["ws://127.0.0.1:0"],
                 settings={"timeouts.linger": "200ms", "workers": 1})
    tls = authority.client_context() if config else None
    rng = random.Random(3)
    fds, rss = gw.fds(), []

    for _ in range(ROUNDS):
        sessions = [RawWs(gw, tls=tls) for _ in range(PER_ROUND)]
        for ws in sessions:
            ws.frame(rng.choice([TEXT, BINARY]), b"a" * rng.choice([1, 100, 5000]))
        for ws in sessions:
            if rng.random() < 0.8:
                ws.recv_message()
        for ws in sessions:
            leave(ws, "close" if tls else rng.choice(["close", "fin", "reset", "drop"]))
        gw.until(lambda: gw.fds() == fds, 20, "descriptors given back")
        rss.append(gw.rss())

    gw.wait_lines("session-end", ROUNDS * PER_ROUND)
    if not SANITIZER:
        # The first rounds warm the allocator: the second quarter is held
        # against the last.
        quarter = ROUNDS // 4
        then, now = rss[quarter : 2 * quarter], rss[-quarter:]
        grown = statistics.median(now) - statistics.median(then)
        assert grown < LEAK * PER_ROUND * 2 * quarter, rss


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_ten_thousand_one_after_the_other(gangway, echo_server):
    gw = gangway(echo_server.url)
    fds, rss = gw.fds(), []
    for i in range(10_000):
        with RawWs(gw) as ws:
            ws.text("x")
            assert ws.recv_message() == (TEXT, b"x")
            if i % 2:
                ws.reset()
        if i in (2000, 9999):
            gw.until(lambda: gw.fds() <= fds + 2, 20, "descriptors given back")
            rss.append(gw.rss())
    assert rss[1] - rss[0] < MIB, rss


@pytest.mark.slow
def test_idle_sessions_are_small(gangway, echo_server):
    """The promise: at most 12 KiB of our memory for an idle ws session."""
    n = 1000
    gw = gangway(echo_server.url, settings={"workers": 1})
    with RawWs(gw) as first:
        first.text("x")
        first.recv_message()
        before = gw.rss()
        sessions = [RawWs(gw) for _ in range(n)]
        for ws in sessions:
            ws.binary(b"x" * 3000)
            ws.recv_bytes(3000)
        each = (gw.rss() - before) / n
        for ws in sessions:
            ws.close()
        assert each < 12 << 10, f"{each:.0f} bytes each"


@pytest.mark.slow
def test_idle_costs_no_time(gangway, echo_server):
    gw = gangway(echo_server.url)
    sessions = [RawWs(gw) for _ in range(200)]
    for ws in sessions:
        ws.text("x")
        ws.recv_message()
    before = gw.cpu_s()
    sessions[0].expect_nothing(2)
    assert gw.cpu_s() - before <= 0.05
    for ws in sessions:
        ws.close()


def test_half_made_connections_leave_nothing(gangway):
    gw = gangway("echo:")
    fds = gw.fds()
    data = request()
    for cut in range(0, len(data), 5):
        for how in (Wire.close, Wire.reset, Wire.finish):
            wire = Wire(dial(gw.place))
            wire.send(data[:cut])
            how(wire)
            wire.close()
    gw.until(lambda: gw.fds() == fds, what="descriptors given back")


def test_sessions_cut_within_a_frame_leave_nothing(gangway, echo_server):
    gw = gangway(echo_server.url)
    fds = gw.fds()
    data = frame(TEXT, b"x" * 300)
    for cut in (1, 2, 3, 4, 7, 8, 100, len(data)):
        for how in (RawWs.close, RawWs.reset, RawWs.finish):
            ws = RawWs(gw)
            ws.send(data[:cut])
            how(ws)
            ws.close()
    gw.until(lambda: gw.fds() == fds, what="descriptors given back")


def test_backends_that_reset_at_any_time(gangway, backend):
    gw = gangway(backend.url)
    fds = gw.fds()
    for i in range(60):
        with RawWs(gw) as ws:
            peer = backend.accept()
            if i % 3 == 0:
                ws.binary(b"x" * 100_000)
            if i % 3 == 1:
                peer.send(b"y" * 100_000)
            peer.reset()
            ws.sock.settimeout(5)
            ws.sock.shutdown(socket.SHUT_WR)
    gw.until(lambda: gw.fds() == fds, what="descriptors given back")


def test_unread_data_on_both_sides_when_all_goes(gangway):
    """Queues that hold data when their session dies are freed with it."""
    with Backend(rcvbuf=4096) as backend:
        gw = gangway(backend.url)
        fds = gw.fds()
        for _ in range(10):
            ws = RawWs(gw, rcvbuf=4096)
            peer = backend.accept()
            peer.sock.settimeout(0.1)
            ws.sock.settimeout(0.1)
            for send, data in ((peer.sock.sendall, b"y" * 32 * MIB),
                               (ws.sock.sendall, frame(BINARY, b"x" * 32 * MIB))):
                with pytest.raises(TimeoutError):
                    send(data)
            ws.reset()
            peer.reset()
        gw.until(lambda: gw.fds() == fds, what="descriptors given back")
