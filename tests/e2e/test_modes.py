# SPDX-License-Identifier: Apache-2.0
"""How a byte stream is put into messages: the mode option of stream targets."""

import base64
import os

import pytest
from backends import Backend
from gangway import SANITIZER
from rawws import BINARY, CONTINUATION, TEXT, RawWs


@pytest.fixture(scope="module")
def backend_of_all():
    with Backend() as backend:
        yield backend


@pytest.fixture(scope="module")
def gw(shared_gangway, backend_of_all):
    url = backend_of_all.url
    return shared_gangway(
        {
            "/auto": url,
            "/binary": f"{url}?mode=binary",
            "/text": f"{url}?mode=text",
            "/strict": f"{url}?mode=text&invalid=close",
            "/base64": f"{url}?mode=base64",
            "/line": f"{url}?mode=line",
            "/crlf": f"{url}?mode=line&eol=crlf",
        }
    )


@pytest.fixture
def session(gw, backend_of_all):
    """session("/text") -> (client, backend's end)"""
    opened = []

    def begin(path, **how):
        ws = RawWs(gw, path, **how)
        opened.append(ws)
        peer = backend_of_all.accept()
        opened.append(peer)
        return ws, peer

    yield begin
    for one in opened:
        one.close()


def messages(ws, kind, n):
    """Payloads of messages of this type, n bytes in all."""
    parts = []
    while sum(map(len, parts)) < n:
        got, payload = ws.recv_message()
        assert got == kind
        parts.append(payload)
    assert sum(map(len, parts)) == n
    return parts


# ---- auto and binary ------------------------------------------------------------


def test_auto_takes_both_and_answers_in_the_first(session):
    ws, peer = session("/auto")
    ws.text("a")
    ws.binary(b"\xff")
    assert peer.exactly(2) == b"a\xff"
    peer.send(b"x")
    assert ws.recv_message() == (TEXT, b"x")


def test_auto_is_binary_until_it_knows(session):
    ws, peer = session("/auto")
    peer.send(b"\xff\x00")
    assert ws.recv_message() == (BINARY, b"\xff\x00")
    ws.binary(b"b")
    assert peer.exactly(1) == b"b"
    peer.send(b"x")
    assert ws.recv_message() == (BINARY, b"x")


def test_auto_never_sends_invalid_text(session):
    """What a text client's backend says is text, or it is not sent as text."""
    ws, peer = session("/auto")
    ws.text("hello")
    peer.exactly(5)
    peer.send("é".encode()[:1])
    peer.send(b"")
    peer.send("é".encode()[1:] + b"!")
    assert b"".join(messages(ws, TEXT, 3)) == "é!".encode()


def test_binary(session):
    ws, peer = session("/binary")
    ws.binary(bytes(range(256)))
    assert peer.exactly(256) == bytes(range(256))
    ws.text("text is bytes too")
    assert peer.exactly(17) == b"text is bytes too"
    peer.send(b"plain")
    assert ws.recv_message() == (BINARY, b"plain")


# ---- text -------------------------------------------------------------------------


def test_text_is_cut_between_characters(session):
    """A character split by the backend is put together again."""
    ws, peer = session("/text")
    text = "aé€😀" * 50
    got = ""
    for i in range(0, len(text.encode()), 3):
        peer.send(text.encode()[i : i + 3])
        ready = text.encode()[: i + 3].decode(errors="ignore")
        while len(got) < len(ready):
            kind, payload = ws.recv_message()
            assert kind == TEXT and payload
            got += payload.decode()
        assert got == ready
    assert got == text


def test_text_that_is_none_is_replaced(session):
    """As browsers do it: U+FFFD for what is no character."""
    ws, peer = session("/text")
    peer.send(b"caf\xe9 \xff ok \xf0\x9f\x98")
    peer.close()
    data, (code, _) = ws.drain()
    assert data.decode() == b"caf\xe9 \xff ok \xf0\x9f\x98".decode(errors="replace")
    assert code == 1000


def test_text_that_is_none_ends_the_session_if_told_so(session, gw):
    ws, peer = session("/strict")
    peer.send(b"good \xff bad")
    data, (code, _) = ws.drain()
    assert b"\xff" not in data and b"bad" not in data
    assert code in (1007, 1011)


def test_text_takes_text(session):
    ws, peer = session("/text")
    ws.text("grüß")
    assert peer.exactly(6) == "grüß".encode()


def test_text_large(session):
    ws, peer = session("/text")
    text = ("€" * 100_001).encode()
    peer.send(text)
    peer.finish()
    data, (code, _) = ws.drain()
    assert (data, code) == (text, 1000)


# ---- base64 -----------------------------------------------------------------------


def test_base64_both_ways(session):
    ws, peer = session("/base64")
    for n in (1, 2, 3, 4, 100, 1000, 40_000):
        data = os.urandom(n)
        ws.text(base64.b64encode(data))
        assert peer.exactly(n) == data
        peer.send(data)
        back = b""
        while len(back) < n:
            kind, payload = ws.recv_message()
            assert kind == TEXT
            back += base64.b64decode(payload, validate=True)
        assert back == data


def test_base64_in_fragments(session):
    ws, peer = session("/base64")
    coded = base64.b64encode(b"hello, world")
    ws.text(coded[:3], fin=False)
    ws.frame(CONTINUATION, b"", fin=False)
    ws.frame(CONTINUATION, coded[3:9], fin=False)
    ws.frame(CONTINUATION, coded[9:])
    assert peer.exactly(12) == b"hello, world"


@pytest.mark.parametrize("bad", ["a", "ab", "abc", "ab=c", "ab!=", "====", "YQ==YQ=="])
def test_base64_that_is_none(session, bad):
    ws, peer = session("/base64")
    ws.text(base64.b64encode(b"good"))
    ws.text(bad)
    assert ws.recv_close()[0] == 1007
    assert peer.until_end()[:4] == b"good"


# ---- line -------------------------------------------------------------------------


def test_line_down(session):
    ws, peer = session("/line")
    ws.text("NICK alice")
    ws.text("")
    ws.text("JOIN #gang", fin=False)
    ws.frame(CONTINUATION, b"way")
    assert peer.exactly(len(b"NICK alice\n\nJOIN #gangway\n")) == b"NICK alice\n\nJOIN #gangway\n"


def test_line_up(session):
    ws, peer = session("/line")
    peer.send(b"one\ntwo\n\nthr")
    for expected in (b"one", b"two", b""):
        assert ws.recv_message() == (TEXT, expected)
    ws.expect_nothing(0.1)
    peer.send(b"ee\n")
    assert ws.recv_message() == (TEXT, b"three")


def test_line_crlf(session):
    ws, peer = session("/crlf")
    ws.text("PING")
    assert peer.exactly(6) == b"PING\r\n"
    peer.send(b"PONG\r\nnext\r")
    assert ws.recv_message() == (TEXT, b"PONG")
    ws.expect_nothing(0.1)
    peer.send(b"\n")
    assert ws.recv_message() == (TEXT, b"next")


def test_line_that_the_stream_ends_in(session):
    ws, peer = session("/line")
    peer.send(b"whole\npart")
    peer.close()
    assert ws.recv_message() == (TEXT, b"whole")
    assert ws.recv_message() == (TEXT, b"part")
    assert ws.recv_close()[0] == 1000


def test_many_lines_at_once(session):
    ws, peer = session("/line")
    lines = [f"line {i} ".encode() + b"x" * (i % 200) for i in range(3000)]
    peer.send(b"".join(line + b"\n" for line in lines))
    for line in lines:
        assert ws.recv_message() == (TEXT, line)


def test_line_without_end_is_cut(gangway, backend):
    """A backend that never ends its line cannot fill our memory."""
    gw = gangway(f"{backend.url}?mode=line&max_line=4KiB")
    before = gw.rss()
    with RawWs(gw) as ws, backend.accept() as peer:
        peer.send(b"x" * 4 * 4096 + b"y\n")
        for _ in range(4):
            assert ws.recv_message() == (TEXT, b"x" * 4096)
        assert ws.recv_message() == (TEXT, b"y")
        if not SANITIZER:
            assert gw.rss() - before < 1 << 20


def test_line_is_never_cut_within_a_character(gangway, backend):
    gw = gangway(f"{backend.url}?mode=line&max_line=1KiB")
    with RawWs(gw) as ws, backend.accept() as peer:
        peer.send("€".encode() * 1000 + b"\n")
        assert b"".join(messages(ws, TEXT, 3000)) == "€".encode() * 1000


def test_line_that_is_no_text(session):
    ws, peer = session("/line")
    peer.send(b"caf\xe9\n")
    assert ws.recv_message() == (TEXT, "caf\ufffd".encode())


# ---- half-closed ------------------------------------------------------------------


def test_half_close(gangway, backend):
    """With half_close a backend that is done speaking still listens."""
    gw = gangway(f"{backend.url}?half_close=true")
    with RawWs(gw) as ws, backend.accept() as peer:
        peer.send(b"ready")
        peer.finish()
        assert ws.recv_message() == (BINARY, b"ready")
        ws.binary(b"x" * 1000)
        assert peer.exactly(1000) == b"x" * 1000
        ws.send_close(1000)
        assert peer.until_eof() == b""
        assert ws.recv_close()[0] == 1000
        ws.closed()
