# SPDX-License-Identifier: Apache-2.0
"""Ends that take two steps: one side has finished, then something breaks."""

import socket
import time

import pytest
from rawws import BINARY, RawWs, Wire, dial

SOON_S = 1.5  # less than timeouts.linger


@pytest.mark.parametrize("target", ["echo:", "stream"])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_client_that_hangs_up_is_gone_at_once(
    gangway, wss, authority, echo_server, scheme, target
):
    """Its FIN is all there will be: nothing is waited for."""
    target = echo_server.url if target == "stream" else target
    secure = {"config": wss, "listen": ()} if scheme == "wss" else {}
    gw = gangway(target, **secure)
    tls = authority.client_context() if secure else None
    ws = RawWs(gw, tls=tls)
    ws.binary(b"x")
    assert ws.recv_message() == (BINARY, b"x")
    began = time.monotonic()
    ws.close()
    gw.session_end(reason="client_gone", code=1006, by="client")
    assert time.monotonic() - began < SOON_S


def test_half_closed_backend_that_breaks(gangway, backend):
    """It is done speaking and then dies: the client is told."""
    gw = gangway(f"{backend.url}?half_close")
    with RawWs(gw) as ws, backend.accept() as peer:
        peer.send(b"bye")
        peer.finish()
        assert ws.recv_bytes(3) == b"bye"
        ws.binary(b"still here")
        assert peer.exactly(10) == b"still here"
        peer.reset()
        began = time.monotonic()
        ws.binary(b"anybody?")  # the first write may succeed
        while time.monotonic() - began < 5:
            try:
                ws.binary(b"anybody?")
                ws.expect_nothing(0.05)
            except AssertionError:
                break
        assert ws.recv_close()[0] == 1011
        ws.send_close(1011)
        ws.closed()
    gw.session_end(reason="backend_lost", code=1011)


def test_client_that_vanishes_after_its_end(gangway, backend, wss, authority):
    """A secure client sends close_notify, then is gone while much is on its
    way to it: the session ends, and the backend is let go."""
    gw = gangway(backend.url, config=wss, listen=(), settings={"timeouts.linger": "500ms"})
    ws = RawWs(gw, tls=authority.client_context(), rcvbuf=16384)
    with backend.accept() as peer:
        ws.sock.settimeout(0)
        with pytest.raises(OSError):
            ws.sock.unwrap()
        assert peer.until_eof() == b""  # its end came through
        peer.send(b"x" * 30_000)
        ws.reset()
        peer.send(b"x" * 30_000)
        gw.session_end(3, code=1006, by="client")


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("after_fin", [False, True])
def test_download_that_is_reset(gangway, wss, authority, tmp_path, scheme, after_fin):
    """Nothing stays behind of a client that goes in the midst of a file."""
    (tmp_path / "big").write_bytes(bytes(8 << 20))
    secure = {"config": wss, "listen": ()} if scheme == "wss" else {}
    gw = gangway("echo:", args=["--web", tmp_path], **secure)
    tls = authority.client_context() if secure else None
    fds = gw.fds()
    for _ in range(5):
        wire = Wire(dial(gw.place, tls, rcvbuf=16384))
        wire.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.take_line() == "HTTP/1.1 200 OK"
        if after_fin:
            wire.sock.shutdown(socket.SHUT_WR)
        wire.reset()
    gw.until(lambda: gw.fds() == fds, 5, what="all connections to be let go")


def test_download_that_is_reset_with_more_asked_for(gangway, tmp_path):
    """The same when another request is waiting behind it."""
    (tmp_path / "big").write_bytes(bytes(8 << 20))
    gw = gangway("echo:", args=["--web", tmp_path])
    fds = gw.fds()
    wire = Wire(dial(gw.place, rcvbuf=16384))
    wire.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
    assert wire.take_line() == "HTTP/1.1 200 OK"
    wire.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
    wire.reset()
    gw.until(lambda: gw.fds() == fds, 5, what="the connection to be let go")
