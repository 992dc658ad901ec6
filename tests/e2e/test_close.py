# SPDX-License-Identifier: Apache-2.0
"""How sessions end: every code, from every side, with every byte delivered."""

import time

import pytest
from backends import Server, source
from rawws import BINARY, CLOSE, PING, PONG, TEXT, Gone, RawWs, Wire, close_payload, dial, request

VALID = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
         3000, 3999, 4000, 4999]
INVALID = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65535]


@pytest.fixture(scope="module")
def echo(shared_gangway):
    return shared_gangway("echo:")


# ---- the client closes --------------------------------------------------------


@pytest.mark.parametrize("code", VALID)
def test_client_code_is_echoed(echo, code):
    with RawWs(echo) as ws:
        ws.send_close(code, "warum nicht? 😀".encode())
        assert ws.recv_close()[0] == code
        ws.closed()
    echo.session_end(reason="client_close", code=code, by="client")


def test_close_without_a_code(echo):
    with RawWs(echo) as ws:
        ws.send_close()
        assert ws.recv_close() == (None, b"")
        ws.closed()
    echo.session_end(reason="client_close", by="client")


def test_close_with_the_longest_reason(echo):
    with RawWs(echo) as ws:
        ws.send_close(1000, b"x" * 123)
        assert ws.recv_close()[0] == 1000
        ws.closed()


BAD_PAYLOADS = {
    **{f"code {code}": (1002, close_payload(code)) for code in INVALID},
    "half a code": (1002, b"\x03"),
    "a reason that is not UTF-8": (1007, close_payload(1000, b"\xc3\x28")),
    "a reason that ends within a character": (1007, close_payload(1000, b"\xe2\x82")),
}


@pytest.mark.parametrize("answer, payload", BAD_PAYLOADS.values(), ids=BAD_PAYLOADS)
def test_bad_close_frames(echo, answer, payload):
    with RawWs(echo) as ws:
        ws.frame(CLOSE, payload)
        assert ws.recv_close()[0] == answer
        ws.closed()


def test_what_follows_a_close_frame_is_ignored(gangway, backend):
    gw = gangway(backend.url)
    with RawWs(gw) as ws, backend.accept() as peer:
        ws.text("before")
        ws.send_close(1000)
        ws.text("after")
        ws.frame(PING, b"after")
        assert peer.until_eof() == b"before"
        peer.close()
        assert ws.recv_close() == (1000, b"")
        assert ws.gone() in ("eof", "reset")


def test_backend_gets_all_bytes_then_fin(gangway, backend):
    """A slow backend still gets what was sent before the Close frame."""
    gw = gangway(backend.url)
    data = bytes(range(256)) * 4096  # 1 MiB
    with RawWs(gw) as ws, backend.accept() as peer:
        ws.binary(data)
        ws.send_close(1000)
        assert peer.until_eof() == data
        peer.close()
        assert ws.recv_close() == (1000, b"")
        ws.closed()
    gw.session_end(reason="client_close", code=1000)


def test_client_closes_and_backend_never_does(gangway, backend):
    """timeouts.linger bounds the wait for a backend that will not hang up."""
    gw = gangway(backend.url, settings={"timeouts.linger": "300ms"})
    with RawWs(gw) as ws, backend.accept() as peer:
        ws.text("bye")
        ws.send_close(4321)
        assert ws.recv_close()[0] == 4321
        began = time.monotonic()
        ws.closed()
        assert peer.until_eof() == b"bye"
        gw.session_end(reason="client_close", code=4321)
        assert time.monotonic() - began < 3


def test_client_fin_without_a_close_frame(gangway, backend):
    """Its bytes are delivered, then the backend sees the end."""
    gw = gangway(backend.url)
    with RawWs(gw) as ws, backend.accept() as peer:
        ws.text("last words")
        ws.finish()
        assert peer.until_eof() == b"last words"
    gw.session_end(reason="client_gone", by="client")


def test_client_vanishes(gangway, backend):
    gw = gangway(backend.url)
    with RawWs(gw) as ws, backend.accept() as peer:
        ws.text("last words")
        assert peer.exactly(10) == b"last words"
        ws.reset()
        assert peer.until_end() == b""
    gw.session_end(reason="client_reset", by="client")


def test_client_leaves_while_the_backend_is_dialled(gangway, backend):
    """No session comes to be; nothing stays behind."""
    gw = gangway(f"tls://{backend.address}?insecure=true",
                 settings={"timeouts.connect": "300ms", "timeouts.tls_handshake": "300ms"})
    fds = gw.fds()
    with Wire(dial(gw.place)) as wire:
        wire.send(request())
        peer = backend.accept()
        wire.reset()
    peer.until_end()
    peer.close()
    gw.until(lambda: gw.fds() == fds, what="descriptors given back")


# ---- the backend closes ---------------------------------------------------------


def test_backend_fin(gangway, backend):
    gw = gangway(backend.url)
    with RawWs(gw) as ws, backend.accept() as peer:
        peer.send(b"goodbye")
        peer.close()
        assert ws.recv_message() == (BINARY, b"goodbye")
        assert ws.recv_close()[0] == 1000
        ws.expect_nothing(0.1)  # it waits for our half of the close
        ws.send_close(1000)
        ws.closed()
    gw.session_end(reason="backend_done", code=1000, by="backend")


def test_backend_fin_after_many_bytes(gangway):
    """All of them arrive before the Close frame."""
    piece, times = bytes(range(256)) * 256, 160  # 10 MiB
    with Server(source(piece, times)) as server:
        gw = gangway(server.url)
        with RawWs(gw) as ws:
            data, (code, _) = ws.drain()
            assert data == piece * times
            assert code == 1000
            ws.send_close(1000)
            ws.closed()


def test_backend_half_close_keeps_nothing_open(gangway, backend):
    """A FIN ends the session, although the backend could still read."""
    gw = gangway(backend.url)
    with RawWs(gw) as ws, backend.accept() as peer:
        peer.finish()
        assert ws.recv_close()[0] == 1000
        ws.send_close(1000)
        ws.closed()
        assert peer.until_eof() == b""


def test_backend_reset(gangway, backend):
    gw = gangway(backend.url)
    with RawWs(gw) as ws, backend.accept() as peer:
        peer.send(b"oh")
        assert ws.recv_message() == (BINARY, b"oh")
        peer.reset()
        assert ws.recv_close()[0] == 1011
        ws.send_close(1011)
        ws.closed()
    gw.session_end(reason="backend_lost", code=1011, by="backend")


def test_close_handshake_deadline(gangway, backend):
    """A client that never answers our Close frame is cut off."""
    gw = gangway(backend.url, settings={"timeouts.close": "300ms", "timeouts.linger": "300ms"})
    with RawWs(gw) as ws, backend.accept() as peer:
        peer.close()
        assert ws.recv_close()[0] == 1000
        began = time.monotonic()
        assert ws.gone() in ("eof", "reset")
        assert 0.2 < time.monotonic() - began < 3
    gw.session_end(reason="backend_done")


def test_data_after_our_close_frame_is_dropped(gangway, backend):
    gw = gangway(backend.url)
    with RawWs(gw) as ws, backend.accept() as peer:
        peer.close()
        assert ws.recv_close()[0] == 1000
        ws.text("too late")
        ws.frame(PING, b"too late")
        ws.send_close(1000)
        ws.closed()


def test_both_close_at_once(gangway, backend):
    gw = gangway(backend.url)
    with RawWs(gw) as ws, backend.accept() as peer:
        ws.send_close(1001)
        peer.close()
        assert ws.recv_close()[0] in (1000, 1001)
        ws.closed()
    gw.session_end()


# ---- time closes ------------------------------------------------------------------


def test_answering_pings_keeps_a_session(gangway):
    gw = gangway("echo:", settings={"timeouts.ping_interval": "100ms",
                                    "timeouts.pong_wait": "500ms"})
    with RawWs(gw) as ws:
        for _ in range(5):
            got = ws.recv_frame()
            assert got.opcode == PING
            ws.frame(PONG, got.payload)
        ws.text("alive")
        assert ws.recv_message() == (TEXT, b"alive")
        ws.close_normally()


def test_silent_client_is_dropped(gangway, backend):
    gw = gangway(backend.url, settings={"timeouts.ping_interval": "200ms",
                                        "timeouts.pong_wait": "300ms",
                                        "timeouts.close": "200ms",
                                        "timeouts.linger": "200ms"})
    with RawWs(gw) as ws, backend.accept() as peer:
        assert ws.recv_frame().opcode == PING
        began = time.monotonic()
        with pytest.raises(Gone):
            while True:
                assert ws.recv_frame().opcode in (PING, CLOSE)
        assert time.monotonic() - began < 3
        assert peer.until_eof() == b""
    gw.session_end(reason="client_silent", by="gateway")


def test_busy_client_is_not_pinged_to_death(gangway):
    """Data is a sign of life, even from a client that answers no ping."""
    gw = gangway("echo:", settings={"timeouts.ping_interval": "200ms",
                                    "timeouts.pong_wait": "400ms"})
    with RawWs(gw) as ws:
        began = time.monotonic()
        while time.monotonic() - began < 1.5:
            ws.text("x")
            while (got := ws.recv_frame()).opcode == PING:
                pass
            assert got == (TEXT, b"x", True)
            time.sleep(0.02)


def test_idle_session_ends(gangway, backend):
    """Pings and pongs are not data."""
    gw = gangway(backend.url, settings={"timeouts.idle": "500ms",
                                        "timeouts.ping_interval": "100ms"})
    with RawWs(gw) as ws, backend.accept() as peer:
        ws.text("x")
        assert peer.exactly(1) == b"x"
        began = time.monotonic()
        while (got := ws.recv_frame()).opcode == PING:
            ws.frame(PONG, got.payload)
        assert got.opcode == CLOSE
        assert got.payload[:2] == close_payload(1001)
        assert 0.3 < time.monotonic() - began < 3
        ws.send_close(1001)
        ws.closed()
        assert peer.until_eof() == b""
    gw.session_end(reason="idle", code=1001, by="gateway")


def test_stopping_ends_sessions(gangway, backend):
    """SIGTERM: sessions are told 1001 when the drain time is over."""
    gw = gangway(backend.url, settings={"timeouts.drain": "300ms"})
    with RawWs(gw) as ws, backend.accept() as peer:
        ws.text("x")
        assert peer.exactly(1) == b"x"
        gw.process.terminate()
        assert ws.recv_close()[0] == 1001
        ws.send_close(1001)
        ws.closed()
        assert peer.until_eof() == b""
    assert gw.wait() == 0
    gw.session_end(reason="shutdown", code=1001, by="gateway")


def test_each_session_is_logged_once(gangway, backend):
    """One line when it opens, one when it ends, with what an operator asks."""
    gw = gangway({"/vnc": backend.url})
    with RawWs(gw, "/vnc?token=secret", subprotocols=["binary"]) as ws:
        with backend.accept() as peer:
            opened = gw.wait_log("session-open")
            assert opened["client"].startswith("127.0.0.1")
            assert opened["route"] == "/vnc"
            assert opened["path"] == "/vnc"
            assert opened["bridge"] == "stream"
            assert opened["subprotocol"] == "binary"
            ws.binary(b"12345")
            assert peer.exactly(5) == b"12345"
            peer.send(b"1234567")
            assert ws.recv_message() == (BINARY, b"1234567")
            ws.send_close(1000)
            peer.close()
            ws.recv_close()
    ended = gw.session_end()
    assert ended["sid"] == opened["sid"]
    assert (ended["bytes_in"], ended["bytes_out"]) == ("5", "7")
    gw.stop()
    lines = [line for line in gw.log if line.get("sid") == opened["sid"]]
    assert [line.event for line in lines] == ["session-open", "session-end"]
    assert "secret" not in gw.text()
