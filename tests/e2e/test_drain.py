# SPDX-License-Identifier: Apache-2.0
"""SIGTERM: nobody new, 1001 to those inside, what was sent is delivered, 0."""

import os
import signal
import socket
import time

import pytest
from gangway import SANITIZER
from ops import Talkers, connects, fetch, http, metrics, until_metric
from rawws import BINARY, TEXT, Gone, RawWs, Wire, dial, parse_close, request

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def start(gangway):
    """A gangway that gives its sessions time."""

    def run(routes="echo:", drain="20s", settings=(), **how):
        return gangway(routes, settings={"timeouts.drain": drain, **dict(settings)}, **how)

    return run


def ended_in(gw, seconds):
    """gangway's exit code; it must come in this time."""
    began = time.monotonic()
    code = gw.wait(seconds + (10 if SANITIZER else 3))
    assert time.monotonic() - began < seconds + (8 if SANITIZER else 1)
    return code


# ---- the plain way -----------------------------------------------------------------


def test_nobody_inside(start):
    gw = start()
    gw.signal(signal.SIGTERM)
    assert ended_in(gw, 0) == 0
    assert not connects(gw.place)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sessions_get_1001(start, number):
    gw = start()
    with RawWs(gw) as a, RawWs(gw) as b:
        gw.signal(number)
        for ws in (a, b):
            assert ws.recv_close()[0] == 1001
            ws.send_close(1001)
            ws.closed()
    assert ended_in(gw, 0) == 0
    for _ in range(2):
        gw.session_end(reason="shutdown", code=1001, by="gateway")


def test_nobody_new_comes_in(start):
    gw = start()
    with RawWs(gw) as ws:
        gw.signal(signal.SIGTERM)
        assert ws.recv_close()[0] == 1001
        gw.until(lambda: not connects(gw.place), what="the listeners' end")
        ws.send_close(1001)
        ws.closed()
    assert ended_in(gw, 0) == 0


def test_backends_get_all_and_their_end(start, backend):
    """What a client sent before is delivered, then FIN."""
    gw = start(backend.url)
    with RawWs(gw) as ws, backend.accept() as peer:
        ws.binary(b"x" * 100_000)
        peer.exactly(1)
        gw.signal(signal.SIGTERM)
        assert ws.recv_close()[0] == 1001
        ws.send_close(1001)
        assert peer.until_eof() == b"x" * 99_999
        ws.closed()
        peer.close()
        assert ended_in(gw, 3) == 0


def test_queued_bytes_are_delivered_first(start, backend):
    """Megabytes wait for a slow client; the Close frame comes behind them."""
    n = 2 * MIB
    gw = start(
        backend.url,
        settings={"limits.queue_high": "8MiB"},
        args=["--admin", "127.0.0.1:0"],
    )
    data = os.urandom(n)
    with RawWs(gw, rcvbuf=16 * KIB) as ws, backend.accept() as peer:
        peer.send(data)
        until_metric(gw, 'gangway_ws_payload_bytes_total{direction="out"}', n)
        gw.signal(signal.SIGTERM)
        gw.wait_log("draining")
        time.sleep(0.3)  # the client is busy elsewhere
        got, (code, _) = ws.drain()
        assert got == data and code == 1001
        ws.send_close(1001)
        ws.closed()
        peer.close()
    assert ended_in(gw, 3) == 0
    gw.session_end(reason="shutdown", bytes_out=n)


def test_queued_bytes_are_delivered_first_over_tls(gangway, backend, wss, authority):
    n = 2 * MIB
    gw = gangway(
        backend.url, config=wss, listen=(),
        settings={"timeouts.drain": "20s", "limits.queue_high": "8MiB"},
        args=["--admin", "127.0.0.1:0"],
    )  # fmt: skip
    data = os.urandom(n)
    with RawWs(gw, rcvbuf=16 * KIB, tls=authority.client_context()) as ws:
        with backend.accept() as peer:
            peer.send(data)
            until_metric(gw, 'gangway_ws_payload_bytes_total{direction="out"}', n)
            gw.signal(signal.SIGTERM)
            gw.wait_log("draining")
            got, (code, _) = ws.drain()
            assert got == data and code == 1001
            ws.send_close(1001)
            ws.closed()
    assert ended_in(gw, 3) == 0


def test_the_answer_on_its_way_is_finished(start, tmp_path):
    """A file being sent to a plain HTTP client."""
    data = os.urandom(16 * MIB)
    (tmp_path / "big.bin").write_bytes(data)
    gw = start(args=["--web", tmp_path])
    with Wire(dial(gw.place, rcvbuf=16 * KIB)) as wire, Wire(dial(gw.place)) as idle:
        idle.send(http("GET", "/big.bin", ("Range", "bytes=0-9")))
        assert idle.answer().status == 206
        wire.send(http("GET", "/big.bin"))
        assert wire.take_line() == "HTTP/1.1 200 OK"
        gw.signal(signal.SIGTERM)
        gw.wait_log("draining")
        assert idle.gone() == "eof"  # it had nothing to wait for
        while wire.take_line():
            pass
        assert wire.take(len(data)) == data
        assert wire.gone() == "eof"
    assert ended_in(gw, 3) == 0


def test_requests_on_their_way_get_503(start, backend):
    """One whose head is half here, one whose backend is not connected yet."""
    gw = start({"/": "echo:", "/slow": f"tls://{backend.address}?insecure"}, args=["--workers", "1"])
    with Wire(dial(gw.place)) as half, Wire(dial(gw.place)) as waiting:
        head = request()
        half.send(head[:40])
        waiting.send(request("/slow"))
        with backend.accept(), RawWs(gw) as ws:
            gw.signal(signal.SIGTERM)
            assert ws.recv_close()[0] == 1001
            assert waiting.answer().status == 503
            half.send(head[40:])
            assert half.answer().status == 503
            ws.send_close(1001)
            ws.closed()
    assert ended_in(gw, 3) == 0


def test_sessions_that_close_anyway_keep_their_own_code(start, backend):
    """The client's Close frame was first."""
    gw = start(backend.url)
    with RawWs(gw) as ws, backend.accept() as peer:
        ws.send_close(4321)
        assert peer.until_eof() == b""
        gw.signal(signal.SIGTERM)
        gw.wait_log("draining")
        peer.close()
        assert ws.recv_close()[0] == 4321
        ws.closed()
    assert ended_in(gw, 3) == 0
    gw.session_end(reason="client_close", code=4321)


# ---- those who do not cooperate -------------------------------------------------------


def test_client_that_never_answers(start):
    """It is given timeouts.close, not the whole drain."""
    gw = start(settings={"timeouts.close": "500ms", "timeouts.linger": "500ms"})
    with RawWs(gw) as ws:
        gw.signal(signal.SIGTERM)
        assert ws.recv_close()[0] == 1001
        assert ended_in(gw, 1.5) == 0


def test_client_that_reads_nothing_is_cut_at_the_deadline(start, backend):
    gw = start(backend.url, drain="700ms")
    with RawWs(gw, rcvbuf=16 * KIB), backend.accept() as peer:
        peer.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            while True:
                peer.send(b"x" * 65536)
        gw.signal(signal.SIGTERM)
        assert ended_in(gw, 0.7) == 0
    gw.session_end(reason="shutdown", by="gateway")


def test_backend_that_never_ends_is_cut(start, backend):
    gw = start(backend.url, settings={"timeouts.linger": "300ms"})
    with RawWs(gw) as ws, backend.accept():
        gw.signal(signal.SIGTERM)
        assert ws.recv_close()[0] == 1001
        ws.send_close(1001)
        assert ended_in(gw, 1.5) == 0


def test_drain_of_no_time(start, backend):
    gw = start(backend.url, drain="0")
    with RawWs(gw), backend.accept():
        gw.signal(signal.SIGTERM)
        assert ended_in(gw, 0) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_ends_it_now(start, gangway, second):
    gw = start(drain="20s", settings={"timeouts.close": "20s", "timeouts.linger": "20s"})
    with RawWs(gw) as ws:
        gw.signal(signal.SIGTERM)
        assert ws.recv_close()[0] == 1001
        gw.signal(second)
        assert ended_in(gw, 0) == 1
    gw.wait_log("stopping-now")
    gangway.running.remove(gw)


def test_reload_while_draining_is_no_way_back(gangway):
    gw = gangway(
        config={"routes": [{"path": "/", "target": "echo:"}]},
        settings={"timeouts.drain": "20s"},
    )
    with RawWs(gw) as ws:
        gw.signal(signal.SIGTERM)
        assert ws.recv_close()[0] == 1001
        gw.signal(signal.SIGHUP)
        gw.until(lambda: not connects(gw.place))
        ws.send_close(1001)
        ws.closed()
    assert ended_in(gw, 0) == 0


# ---- what watches it sees ----------------------------------------------------------


def test_not_ready_while_draining(start):
    gw = start(args=["--admin", "127.0.0.1:0"])
    assert fetch(gw.admin, "/readyz").status == 200
    with RawWs(gw) as ws:
        gw.signal(signal.SIGTERM)
        assert ws.recv_close()[0] == 1001
        answer = fetch(gw.admin, "/readyz")
        assert answer.status == 503 and b"stopping" in answer.body
        assert fetch(gw.admin, "/healthz").status == 200
        assert metrics(gw)["gangway_sessions_active"] == 1
        ws.send_close(1001)
        ws.closed()
    assert ended_in(gw, 0) == 0


def test_admin_clients_do_not_hold_it_up(start):
    gw = start(args=["--admin", "127.0.0.1:0"])
    with Wire(dial(gw.admin)) as wire:
        wire.send(http("GET", "/healthz"))
        assert wire.answer().status == 200
        gw.signal(signal.SIGTERM)
        assert ended_in(gw, 0) == 0


# ---- under load ------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["echo:", "stream"])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_under_load_not_one_session_is_broken(
    start, wss, authority, echo_server, target, scheme
):
    """Each gets whole messages of what it is due, then 1001; none is reset."""
    target = echo_server.url if target == "stream" else target
    secure = {"config": wss, "listen": ()} if scheme == "wss" else {}
    gw = start(target, **secure)
    tls = authority.client_context() if secure else None
    sessions = [RawWs(gw, tls=tls) for _ in range(20)]
    talkers = Talkers(sessions, block=16 * KIB)
    talkers.until_rounds(3)
    gw.signal(signal.SIGTERM)
    talkers.join()
    for ws in sessions:
        ws.close()
    assert talkers.closes == [1001] * len(sessions)
    assert ended_in(gw, 3) == 0
    for _ in sessions:
        gw.session_end(reason="shutdown", code=1001)


def test_newcomers_at_the_door_are_told_or_refused(start):
    """Whoever connects while it drains: served, 503, or no connection at all."""
    gw = start()
    seen = {101: 0, 503: 0, "refused": 0, "reset": 0}
    with RawWs(gw) as inside:
        for i in range(200):
            if i == 50:
                gw.signal(signal.SIGTERM)
            seen[visit(gw, i >= 50)] += 1
        assert inside.recv_close()[0] == 1001
        inside.send_close(1001)
        inside.closed()
    # The kernel resets who came between the last accept and the close.
    assert seen["reset"] <= 2 and seen["refused"] > 0, seen
    assert ended_in(gw, 5) == 0


def visit(gw, draining):
    sock = socket.socket()
    sock.settimeout(10)
    if sock.connect_ex(gw.address) != 0:
        sock.close()
        return "refused"
    with Wire(sock) as wire:
        try:
            wire.send(request())
            status = wire.answer().status
        except (Gone, ConnectionError):
            return "reset"
        if status == 101 and draining:  # in just before: it gets its Close
            opcode, length = wire.take(2)
            assert opcode == 0x88
            assert parse_close(wire.take(length))[0] == 1001
        return status


def test_who_has_just_connected_is_answered(start):
    """Accepted before the signal, asking after it: told why, not reset."""
    gw = start(args=["--workers", "1"])
    with Wire(dial(gw.place)) as fresh, RawWs(gw) as ws:
        gw.signal(signal.SIGTERM)
        assert ws.recv_close()[0] == 1001
        fresh.send(request())
        assert fresh.answer().status == 503
        ws.send_close(1001)
        ws.closed()
    assert ended_in(gw, 0) == 0


def test_who_connects_and_never_asks_does_not_hold_it_up(start):
    gw = start(args=["--workers", "1"], settings={"timeouts.linger": "300ms"})
    with Wire(dial(gw.place)) as silent:
        with RawWs(gw) as ws:
            ws.close_normally()
        gw.signal(signal.SIGTERM)
        assert silent.gone() == "eof"
    assert ended_in(gw, 1) == 0


def test_a_message_under_way_is_not_torn(start, backend):
    """A fragmented message of the client is cut by the drain: the client may
    send it to its end, and nothing of it counts as an error."""
    gw = start(backend.url)
    with RawWs(gw) as ws, backend.accept() as peer:
        ws.text(b"begin", fin=False)
        assert peer.exactly(5) == b"begin"
        gw.signal(signal.SIGTERM)
        assert ws.recv_close()[0] == 1001
        ws.frame(0, b"end")
        ws.frame(BINARY, b"more")
        ws.frame(TEXT, b"more")
        ws.send_close(1001)
        ws.closed()
        peer.close()
    assert ended_in(gw, 3) == 0
    gw.session_end(reason="shutdown", code=1001)
