# SPDX-License-Identifier: Apache-2.0
"""The opening handshake: RFC 6455 section 4.2, and what is no handshake."""

import random
import ssl
import time

import pytest
from rawws import TEXT, Gone, RawWs, Wire, ask, dial, frame, request

ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # for rawws.KEY; the RFC's example


@pytest.fixture(scope="module")
def echo(shared_gangway):
    return shared_gangway({"/": "echo:", "/a/...": "echo:"})


ACCEPTED = {
    "plain": request(),
    "field names in any case": request().replace(b"Upgrade:", b"uPGRADE:"),
    "Upgrade in any case": request(Upgrade="WebSocket"),
    "Upgrade as a list": request(Upgrade="h2c, websocket"),
    "Connection as a list": request(Connection="keep-alive, Upgrade"),
    "Connection in lower case": request(Connection="upgrade"),
    "Connection on two lines": request(extra=[("Connection", "keep-alive")]),
    "blanks around values": request(Upgrade=" \t websocket \t "),
    "no blank after a colon": request().replace(b": ", b":"),
    "a query": request("/?a=b&c=%20d?e"),
    "a longer path": request("/a/b%20c/d"),
    "an IPv6 Host": request(Host="[::1]:8080"),
    "an origin": request(Origin="https://app.example.com"),
    "an extension that is not taken up": request(
        Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"
    ),
    "a field nobody knows": request(X_Other="\xfc"),
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(echo, data):
    answer = ask(echo.place, data)
    assert answer.status == 101
    assert answer.header("upgrade").lower() == "websocket"
    assert answer.header("connection").lower() == "upgrade"
    assert answer.header("sec-websocket-accept") == ACCEPT
    assert answer.header("sec-websocket-extensions") is None
    assert answer.header("sec-websocket-protocol") is None


OTHER_KEY = "AQIDBAUGBwgJCgsMDQ4PEA=="

REFUSED = {
    # The request line.
    "POST": (405, request(method="POST")),
    "HEAD": (405, request(method="HEAD")),
    "a method in lower case": (405, request(method="get")),
    "HTTP/1.0": (400, request(version="HTTP/1.0")),
    "HTTP/2.0": (505, request(version="HTTP/2.0")),
    "HTTP/1": (400, request(version="HTTP/1")),
    "a version in lower case": (400, request(version="http/1.1")),
    "no route": (404, request("/nowhere")),
    "an absolute target for another host": (400, request("http://elsewhere/")),
    "an asterisk": (400, request("*")),
    "a space in the path": (400, request("/a b")),
    "a broken escape": (400, request("/%zz")),
    "an escaped NUL": (400, request("/%00")),
    "a fragment": (400, request("/#a")),
    "a byte above ASCII in the path": (400, request("/\xe9")),
    # Section 4.2.1, point by point.
    "no Host": (400, request(drop=["Host"])),
    "Host twice": (400, request(extra=[("Host", "localhost")])),
    "a Host that is none": (400, request(Host="a b")),
    "no Upgrade": (426, request(drop=["Upgrade"])),
    "another Upgrade": (426, request(Upgrade="h2c")),
    "a longer Upgrade": (426, request(Upgrade="websockets")),
    "no Connection": (400, request(drop=["Connection"])),
    "another Connection": (400, request(Connection="keep-alive")),
    "a longer Connection": (400, request(Connection="upgraded")),
    "no key": (400, request(drop=["Sec-WebSocket-Key"])),
    "an empty key": (400, request(Sec_WebSocket_Key="")),
    "a key of 15 bytes": (400, request(Sec_WebSocket_Key="AQIDBAUGBwgJCgsMDQ4P")),
    "a key of 17 bytes": (400, request(Sec_WebSocket_Key="AQIDBAUGBwgJCgsMDQ4PEBE=")),
    "a key that is not base64": (400, request(Sec_WebSocket_Key="!QIDBAUGBwgJCgsMDQ4PEA==")),
    "a key not in canonical form": (400, request(Sec_WebSocket_Key="AQIDBAUGBwgJCgsMDQ4PEB==")),
    "two keys": (400, request(extra=[("Sec-WebSocket-Key", OTHER_KEY)])),
    "no version": (426, request(drop=["Sec-WebSocket-Version"])),
    "version 8": (426, request(Sec_WebSocket_Version="8")),
    "version 013": (426, request(Sec_WebSocket_Version="013")),
    "two versions": (400, request(extra=[("Sec-WebSocket-Version", "13")])),
    "a subprotocol that is no token": (400, request(Sec_WebSocket_Protocol="a b")),
    "a subprotocol offered twice": (400, request(Sec_WebSocket_Protocol="a, b, a")),
    # What two parsers may read in two ways.
    "a body": (413, request(extra=[("Content-Length", "5")]) + b"hello"),
    "two lengths": (400, request(extra=[("Content-Length", "0"), ("Content-Length", "5")])),
    "a length that is none": (400, request(extra=[("Content-Length", "+1")])),
    "chunks": (400, request(extra=[("Transfer-Encoding", "chunked")]) + b"0\r\n\r\n"),
    "a folded line": (400, request(extra=[("X", "a\r\n b")])),
    "a blank before the colon": (400, request().replace(b"Upgrade:", b"Upgrade :")),
    "a field without a name": (400, request(extra=[("", "a")])),
    "a field without a colon": (400, request().replace(b"\r\n\r\n", b"\r\nX\r\n\r\n")),
    "bare LF": (400, request().replace(b"\r\n", b"\n")),
    "one bare LF": (400, request().replace(b"\r\n", b"\n", 1)),
    "bare CR": (400, request(X="a\rb")),
    "NUL in a value": (400, request(X="a\0b")),
    "a control byte in a value": (400, request(X="a\x1bb")),
    "an empty line first": (400, b"\r\n" + request()),
    "TLS on a plain port": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    # Limits.
    "a long target": (414, request("/" + "a" * 4096)),
    "a target without end": (414, b"GET /" + b"a" * 9000),
    "long fields": (431, request(X="a" * 8192)),
    "many fields": (431, request(extra=[(f"X-{i}", "a") for i in range(64)])),
}


@pytest.mark.parametrize("status, data", REFUSED.values(), ids=REFUSED)
def test_refused(echo, status, data):
    with Wire(dial(echo.place)) as wire:
        wire.send(data)
        answer = wire.answer(head=data.startswith(b"HEAD"))
        assert answer.status == status, answer.body
        assert "close" in answer.header("connection").lower().split(", ")
        assert answer.header("sec-websocket-accept") is None
        assert wire.gone() == "eof"
    if status == 426:
        assert answer.header("sec-websocket-version") == "13"
        assert answer.header("upgrade").lower() == "websocket"
    if status == 405:
        assert "GET" in answer.header("allow")


def test_a_page_visit_is_told_to_upgrade(echo):
    answer = ask(echo.place, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.status == 426
    assert answer.header("upgrade").lower() == "websocket"


def test_limits_just_not_reached(gangway):
    gw = gangway("echo:", settings={"limits.header_bytes": "2KiB", "limits.header_count": 10,
                                    "limits.uri_bytes": 100})
    assert ask(gw.place, request("/" + "a" * 99)).status == 101
    assert ask(gw.place, request("/" + "a" * 100)).status == 414
    more = [(f"X-{i}", "a") for i in range(5)]
    assert ask(gw.place, request(extra=more)).status == 101
    assert ask(gw.place, request(extra=[*more, ("Y", "a")])).status == 431
    room = 2048 - len(request(X=""))
    assert ask(gw.place, request(X="a" * room)).status == 101
    assert ask(gw.place, request(X="a" * (room + 1))).status == 431


def test_cut_anywhere(echo):
    data = request("/a/b?c=d", Origin="https://app.example.com")
    for cut in random.Random(1).sample(range(1, len(data)), 12):
        with Wire(dial(echo.place)) as wire:
            wire.send(data[:cut])
            wire.expect_nothing(0.01)
            wire.send(data[cut:])
            assert wire.answer().status == 101


def test_byte_by_byte(echo):
    with Wire(dial(echo.place)) as wire:
        for i in request():
            wire.send(bytes([i]))
        assert wire.answer().status == 101


def test_early_bytes_become_the_first_message(echo):
    early = frame(TEXT, b"first") + frame(TEXT, b"second")[:3]
    with RawWs(echo, early=early) as ws:
        assert ws.recv_message() == (TEXT, b"first")


def test_early_bytes_wait_for_the_backend(gangway, backend, authority, server_pair):
    """Nothing of a client's reaches a backend before the 101."""
    gw = gangway(f"tls://{backend.address}?insecure=true")
    with Wire(dial(gw.place)) as wire:
        wire.send(request() + frame(TEXT, b"early"))
        peer = backend.accept()
        wire.expect_nothing(0.2)  # the backend has not finished its handshake
        wire.send(frame(TEXT, b", and late"))
        peer.sock = authority.server_context(server_pair).wrap_socket(
            peer.sock, server_side=True
        )
        assert wire.answer().status == 101
        assert peer.exactly(15) == b"early, and late"
        peer.close()


def test_much_early_data_is_held_by_the_client(gangway, backend):
    """A client that will not wait costs the gateway no memory."""
    gw = gangway(f"tls://{backend.address}?insecure=true")
    before = gw.rss()
    with Wire(dial(gw.place)) as wire:
        wire.send(request())
        wire.sock.settimeout(1)
        sent = 0
        flood = frame(TEXT, b"x" * 65536)
        with pytest.raises(TimeoutError):
            while sent < 256 << 20:
                sent += wire.sock.send(flood)
        assert gw.rss() - before < 4 << 20
        backend.accept().close()


def test_request_deadline(gangway):
    """A slow request ends with 408, however it drips."""
    gw = gangway("echo:", settings={"timeouts.request": "600ms"})
    with Wire(dial(gw.place)) as wire:
        began = time.monotonic()
        for i in request()[:8]:
            wire.send(bytes([i]))
            wire.expect_nothing(0.05)
        answer = wire.answer()
        took = time.monotonic() - began
        assert answer.status == 408
        assert answer.header("connection") == "close"
        assert wire.gone() == "eof"
        assert 0.5 < took < 2


def test_silent_connection_is_dropped(gangway):
    gw = gangway("echo:", settings={"timeouts.request": "300ms"})
    with Wire(dial(gw.place)) as wire:
        began = time.monotonic()
        while True:  # with a 408 or without: nothing was asked
            try:
                wire.take_line()
            except Gone as e:
                assert e.how == "eof"
                break
        assert 0.2 < time.monotonic() - began < 2


def test_tls_handshake_deadline(gangway, wss):
    gw = gangway(config={**wss, "routes": [{"path": "/", "target": "echo:"}]}, listen=None,
                 settings={"timeouts.tls_handshake": "400ms"})
    with Wire(dial((gw.place.host, gw.place.port))) as wire:
        wire.send(b"\x16\x03\x01")
        began = time.monotonic()
        wire.gone()
        assert 0.2 < time.monotonic() - began < 2


def test_plain_text_on_a_tls_port(gangway, wss, authority):
    gw = gangway(config={**wss, "routes": [{"path": "/", "target": "echo:"}]}, listen=None)
    place = (gw.place.host, gw.place.port)
    with Wire(dial(place)) as wire:
        wire.send(request())
        with pytest.raises(Gone):
            wire.take(4096)  # at most an alert
    with RawWs(gw, tls=authority.client_context()) as ws:
        ws.text("still here")
        assert ws.recv_message() == (TEXT, b"still here")


def test_wrong_authority_is_noticed_by_the_client(gangway, wss):
    gw = gangway(config={**wss, "routes": [{"path": "/", "target": "echo:"}]}, listen=None)
    with pytest.raises(ssl.SSLCertVerificationError):
        dial(gw.place, tls=ssl.create_default_context())


def test_listening_on_a_unix_socket(gangway, tmp_path):
    path = tmp_path / "front.sock"
    gw = gangway("echo:", listen=[f"unix:{path}"])
    with RawWs(gw) as ws:
        ws.text("hello")
        assert ws.recv_message() == (TEXT, b"hello")
        ws.close_normally()
    gw.session_end(reason="client_close")
    gw.stop()
    assert not path.exists()


def test_many_at_once(echo):
    wires = [Wire(dial(echo.place)) for _ in range(100)]
    for wire in wires:
        wire.send(request())
    for wire in wires:
        assert wire.answer().status == 101
        wire.close()
