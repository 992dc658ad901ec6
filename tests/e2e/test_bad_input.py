# SPDX-License-Identifier: Apache-2.0
"""Whatever a client may not send: the right code, and nothing behind it."""

import struct

import pytest
from backends import Backend
from rawws import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawWs, frame


@pytest.fixture(scope="module")
def gw_and_backend(shared_gangway):
    with Backend() as backend:
        yield shared_gangway(backend.url), backend


def length64(opcode, n, payload=b""):
    return frame(opcode, payload, length=n, form=64, key=b"\0\0\0\0")


BAD = {
    # Section 5.1: masking.
    "unmasked text": (1002, frame(TEXT, b"evil", masked=False)),
    "unmasked, empty": (1002, frame(BINARY, b"", masked=False)),
    "unmasked ping": (1002, frame(PING, b"evil", masked=False)),
    "unmasked close": (1002, frame(CLOSE, b"\x03\xe8", masked=False)),
    # Section 5.2: reserved bits and opcodes.
    **{f"RSV {rsv:03b}": (1002, frame(TEXT, b"evil", rsv=rsv)) for rsv in range(1, 8)},
    "RSV in a ping": (1002, frame(PING, b"evil", rsv=1)),
    **{
        f"opcode {op}": (1002, frame(op, b"evil"))
        for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    # Section 5.2: lengths.
    "16-bit length not minimal": (1002, frame(BINARY, b"a" * 125, form=16)),
    "16-bit length of nothing": (1002, frame(BINARY, b"", form=16)),
    "64-bit length not minimal": (1002, frame(BINARY, b"a" * 65535, form=64)),
    "64-bit length of nothing": (1002, frame(BINARY, b"", form=64)),
    "length with the top bit": (1002, length64(BINARY, 1 << 63, b"evil")),
    "length of all ones": (1002, length64(BINARY, (1 << 64) - 1, b"evil")),
    # Section 5.4: fragmentation.
    "continuation of nothing": (1002, frame(CONTINUATION, b"evil")),
    "unfinished continuation of nothing": (1002, frame(CONTINUATION, b"evil", fin=False)),
    # Section 5.5: control frames.
    "ping of 126 bytes": (1002, frame(PING, b"a" * 126)),
    "pong of 126 bytes": (1002, frame(PONG, b"a" * 126)),
    "close of 126 bytes": (1002, frame(CLOSE, b"\x03\xe8" + b"a" * 124)),
    "ping in fragments": (1002, frame(PING, b"evil", fin=False)),
    "pong in fragments": (1002, frame(PONG, b"evil", fin=False)),
    "close in fragments": (1002, frame(CLOSE, b"\x03\xe8", fin=False)),
    "ping with a long length field": (1002, frame(PING, b"evil", form=16)),
    # Section 8.1: text is UTF-8.
    "not UTF-8": (1007, frame(TEXT, b"\xff")),
    "overlong slash": (1007, frame(TEXT, b"\xc0\xaf")),
    "overlong NUL of three": (1007, frame(TEXT, b"\xe0\x80\x80")),
    "surrogate": (1007, frame(TEXT, b"\xed\xa0\x80")),
    "above U+10FFFF": (1007, frame(TEXT, b"\xf4\x90\x80\x80")),
    "lone continuation byte": (1007, frame(TEXT, b"\x80")),
    "ends within a character": (1007, frame(TEXT, b"\xe2\x82")),
}


@pytest.mark.parametrize("code, data", BAD.values(), ids=BAD)
def test_refused_and_not_delivered(gw_and_backend, code, data):
    gw, backend = gw_and_backend
    with RawWs(gw) as ws, backend.accept() as peer:
        ws.text("good")
        ws.send(data)
        assert ws.recv_close()[0] == code
        got = peer.until_end()
        assert got.startswith(b"good")
        assert set(got[4:]) <= {0xE2, 0x82}, got  # the start of a character at most
        assert ws.gone() in ("eof", "reset")
    gw.session_end(by="gateway", code=code,
                   reason="protocol_error" if code == 1002 else "bad_data")


@pytest.mark.parametrize("code, data", BAD.values(), ids=BAD)
def test_same_byte_by_byte(gw_and_backend, code, data):
    if len(data) > 200:
        data = data[:200]
    gw, backend = gw_and_backend
    with RawWs(gw) as ws, backend.accept() as peer:
        try:
            for i in data:
                ws.send(bytes([i]))
        except OSError:
            pass  # refused at the first byte that was wrong
        assert ws.recv_close()[0] == code
        assert set(peer.until_end()) <= {0xE2, 0x82, 0xE0, 0xED, 0xF4}


def test_new_message_within_a_message(gw_and_backend):
    gw, backend = gw_and_backend
    for opcode in (TEXT, BINARY):
        with RawWs(gw) as ws, backend.accept() as peer:
            ws.text("begun", fin=False)
            ws.frame(opcode, b"evil")
            assert ws.recv_close()[0] == 1002
            assert peer.until_end() == b"begun"


def test_bad_text_in_a_continuation(gw_and_backend):
    """Fails at the byte, not at the end of the message."""
    gw, backend = gw_and_backend
    with RawWs(gw) as ws, backend.accept() as peer:
        ws.text("fine ".encode() + b"\xe2", fin=False)
        ws.frame(CONTINUATION, b"\x82\xac ", fin=False)
        ws.frame(CONTINUATION, b"\xce\xba\xff", fin=False)
        assert ws.recv_close()[0] == 1007
        got = peer.until_end()
        assert got.startswith("fine €".encode()) and b"\xff" not in got


def test_bad_text_ends_the_session_before_the_frame_does(gw_and_backend):
    gw, backend = gw_and_backend
    with RawWs(gw) as ws, backend.accept() as peer:
        whole = frame(TEXT, b"a" * 1000 + b"\xff" + b"b" * 60000)
        ws.send(whole[:2000])
        assert ws.recv_close()[0] == 1007
        assert b"\xff" not in peer.until_end()


def test_good_text_everywhere(gw_and_backend):
    gw, backend = gw_and_backend
    text = "\x00é€😀\ud7ff\ue000\U0010ffff\ufeff".encode()
    with RawWs(gw) as ws, backend.accept() as peer:
        for cut in range(len(text) + 1):
            ws.text(text[:cut], fin=False)
            ws.frame(CONTINUATION, text[cut:])
            assert peer.exactly(len(text)) == text
        ws.text(b"".join(struct.pack("B", i) for i in range(128)))
        assert peer.exactly(128) == bytes(range(128))
        ws.close_normally()


def test_http_instead_of_frames(gw_and_backend):
    gw, backend = gw_and_backend
    with RawWs(gw) as ws, backend.accept() as peer:
        ws.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert ws.recv_close()[0] == 1002
        assert peer.until_end() == b""


@pytest.mark.parametrize("opcode", [PING, PONG], ids=["ping", "pong"])
def test_control_flood(gangway, opcode):
    gw = gangway("echo:", settings={"limits.control_rate": 10, "limits.control_burst": 20})
    with RawWs(gw) as ws:
        for _ in range(20):
            ws.frame(opcode, b"x")
        ws.text("fine so far")
        while (got := ws.recv_frame()).opcode == PONG:
            assert got.payload == b"x"
        assert got == (TEXT, b"fine so far", True)
        try:
            for _ in range(200):
                ws.frame(opcode, b"x")
        except OSError:
            pass
        while (got := ws.recv_frame()).opcode == PONG:
            pass
        assert got.opcode == CLOSE
        assert struct.unpack("!H", got.payload[:2]) == (1008,)
    gw.session_end(reason="policy", code=1008, by="gateway")


def test_one_bad_client_does_not_disturb_others(gangway, echo_server):
    gw = gangway(echo_server.url)
    with RawWs(gw) as good:
        for code, data in list(BAD.values())[::4]:
            with RawWs(gw) as bad:
                bad.send(data)
                assert bad.recv_close()[0] == code
            good.text("hello")
            assert good.recv_message() == (TEXT, b"hello")
        good.close_normally()
