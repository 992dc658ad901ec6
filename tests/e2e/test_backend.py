# SPDX-License-Identifier: Apache-2.0
"""Backends that are there, that are not, and how gangway finds out."""

import re
import ssl
import threading
import time

import pytest
from backends import Backend, Blackhole, Server, echo, refusing_port
from certs import Authority
from rawws import BINARY, TEXT, RawWs, Wire, ask, dial, request


@pytest.fixture
def refusing():
    sock, port = refusing_port()
    yield f"127.0.0.1:{port}"
    sock.close()


@pytest.fixture
def blackhole():
    with Blackhole() as hole:
        yield hole.address


def works(gw, path="/"):
    with RawWs(gw, path) as ws:
        ws.text("hello")
        assert ws.recv_message() == (TEXT, b"hello")
        ws.close_normally()


# ---- before the 101: an HTTP answer -------------------------------------------


def test_refused(gangway, refusing):
    gw = gangway(f"tcp://{refusing}")
    answer = ask(gw.place, request())
    assert answer.status == 502
    assert answer.header("connection") == "close"
    gw.wait_log("session-refused", status=502, why=re.compile("refused"))


def test_unresolvable(gangway):
    # RFC 7686: resolvers answer for .onion themselves, so no network is asked.
    gw = gangway("tcp://nowhere.onion:80")
    assert ask(gw.place, request()).status == 502


def test_no_answer(gangway, blackhole):
    gw = gangway(f"tcp://{blackhole}", settings={"timeouts.connect": "400ms"})
    began = time.monotonic()
    assert ask(gw.place, request()).status == 504
    assert 0.3 < time.monotonic() - began < 3


def test_no_answer_by_the_routes_own_deadline(gangway, blackhole):
    gw = gangway(f"tcp://{blackhole}?connect_timeout=400ms")
    began = time.monotonic()
    assert ask(gw.place, request()).status == 504
    assert 0.3 < time.monotonic() - began < 3


def test_recovers(gangway, tmp_path):
    """A backend that comes back is used again, with no restart."""
    path = tmp_path / "back.sock"
    gw = gangway(f"unix:{path}")
    for _ in range(2):
        assert ask(gw.place, request()).status == 502
        with Server(echo, path=path):
            works(gw)
        path.unlink()


# ---- several backends -----------------------------------------------------------


def test_failover_from_refused(gangway, refusing, echo_server):
    gw = gangway(f"tcp://{refusing},{echo_server.address}")
    for _ in range(3):
        works(gw)


def test_first_that_works_is_used(gangway, backend, echo_server):
    gw = gangway(f"tcp://{echo_server.address},{backend.address}")
    works(gw)
    backend.expect_no_connection()


def test_all_refuse(gangway, refusing):
    sock, port = refusing_port()
    with sock:
        gw = gangway(f"tcp://{refusing},127.0.0.1:{port}")
        assert ask(gw.place, request()).status == 502


def test_name_with_several_addresses(gangway):
    """localhost is ::1 and 127.0.0.1; whoever answers is taken."""
    for host in ("127.0.0.1", "::1"):
        with Server(echo, host=host) as server:
            works(gangway(f"tcp://localhost:{server.port}"))


def test_literal_ipv6(gangway):
    with Server(echo, host="::1") as server:
        works(gangway(f"tcp://[::1]:{server.port}"))


# ---- Unix sockets ----------------------------------------------------------------


def test_unix_socket(gangway, tmp_path):
    path = tmp_path / "back.sock"
    with Server(echo, path=path) as server:
        works(gangway(server.url))


def test_unix_socket_that_is_not_there(gangway, tmp_path):
    gw = gangway(f"unix:{tmp_path}/none.sock")
    assert ask(gw.place, request()).status == 502


def test_unix_socket_with_a_full_backlog(gangway, tmp_path):
    """The kernel says EAGAIN at once; that must not look like success."""
    with Backend(path=tmp_path / "full.sock", backlog=0) as backend:
        gw = gangway(backend.url, settings={"timeouts.connect": "300ms"})
        with RawWs(gw):
            assert ask(gw.place, request()).status in (502, 503, 504)


# ---- TLS --------------------------------------------------------------------------


@pytest.fixture
def tls_echo(authority, server_pair):
    with Server(echo, tls=authority.server_context(server_pair)) as server:
        yield server


def test_tls_with_our_authority(gangway, tls_echo, authority):
    gw = gangway(f"{tls_echo.url}?ca={authority.certificate}")
    works(gw)


def test_tls_carries_much(gangway, tls_echo, authority):
    gw = gangway(f"{tls_echo.url}?ca={authority.certificate}")
    data = bytes(range(256)) * 8192
    with RawWs(gw) as ws:
        for i in range(0, len(data), 65536):
            ws.binary(data[i : i + 65536])
            assert ws.recv_bytes(65536) == data[i : i + 65536]
        ws.close_normally()


def test_tls_of_an_unknown_authority_is_refused(gangway, tls_echo):
    gw = gangway(tls_echo.url)
    assert ask(gw.place, request()).status == 502
    gw.wait_log("session-refused", status=502, why=re.compile("certificate"))


def test_tls_of_another_authority_is_refused(gangway, tls_echo, tmp_path):
    other = Authority(tmp_path / "other", "somebody else")
    gw = gangway(f"{tls_echo.url}?ca={other.certificate}")
    assert ask(gw.place, request()).status == 502


def test_tls_with_a_wrong_name_is_refused(gangway, authority):
    pair = authority.issue("elsewhere.example")
    with Server(echo, tls=authority.server_context(pair)) as server:
        gw = gangway(
            {
                "/": f"{server.url}?ca={authority.certificate}",
                "/named": f"{server.url}?ca={authority.certificate}&sni=elsewhere.example",
            }
        )
        assert ask(gw.place, request()).status == 502
        works(gw, "/named")


def test_tls_not_verified_when_told_so(gangway, tls_echo):
    works(gangway(f"{tls_echo.url}?insecure=true"))


def test_tls_expired_is_refused(gangway, authority):
    pair = authority.issue("localhost", "127.0.0.1", days=0)
    with Server(echo, tls=authority.server_context(pair)) as server:
        gw = gangway(f"{server.url}?ca={authority.certificate}")
        assert ask(gw.place, request()).status == 502


def test_tls_name_is_asked_for(gangway, authority, server_pair):
    """The backend is told by SNI which host is meant."""
    asked = []
    context = authority.server_context(server_pair)
    context.sni_callback = lambda _sock, name, _context: asked.append(name)
    with Server(echo, tls=context) as server:
        works(gangway(f"tls://localhost:{server.port}?ca={authority.certificate}"))
    assert asked == ["localhost"]


def test_tls_client_certificate(gangway, authority, server_pair):
    context = authority.server_context(server_pair)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.certificate)
    mine = authority.issue("gangway", client=True)
    with Server(echo, tls=context) as server:
        base = f"{server.url}?ca={authority.certificate}"
        gw = gangway({"/": f"{base}&cert={mine.certificate}&key={mine.key}", "/without": base})
        works(gw)
        # TLS 1.3 refuses a client after the client's side is done: the session
        # may have begun by then, but it ends without a byte.
        answer = ask(gw.place, request("/without"))
        assert answer.status in (101, 502)


def test_tls_to_a_plain_backend(gangway, echo_server):
    gw = gangway(f"tls://{echo_server.address}?insecure=true",
                 settings={"timeouts.connect": "2s"})
    assert ask(gw.place, request()).status == 502


def test_tls_backend_that_never_answers(gangway, backend):
    gw = gangway(f"tls://{backend.address}?insecure=true",
                 settings={"timeouts.connect": "400ms", "timeouts.tls_handshake": "400ms"})
    began = time.monotonic()
    assert ask(gw.place, request()).status == 504
    assert 0.3 < time.monotonic() - began < 3


def test_tls_end_of_stream(gangway, backend, authority, server_pair):
    """close_notify is the backend's FIN: everything before it arrives."""
    backend.tls = authority.server_context(server_pair)
    gw = gangway(f"{backend.url}?ca={authority.certificate}")
    got = []
    thread = threading.Thread(target=lambda: got.append(backend.accept()))
    thread.start()
    with RawWs(gw) as ws:
        thread.join()
        peer = got[0]
        peer.send(b"x" * 100_000)
        peer.finish()
        peer.close()
        data, (code, _) = ws.drain()
        assert (len(data), code) == (100_000, 1000)
        ws.send_close(1000)
        ws.closed()


def test_tls_backend_gets_all_then_the_end(gangway, authority, server_pair, backend):
    backend.tls = authority.server_context(server_pair)
    gw = gangway(f"{backend.url}?ca={authority.certificate}")
    got = []

    def serve():
        with backend.accept() as peer:
            got.append(peer.until_eof())

    thread = threading.Thread(target=serve)
    thread.start()
    with RawWs(gw) as ws:
        ws.binary(b"y" * 300_000)
        ws.send_close(1000)
        assert ws.recv_close()[0] == 1000
        ws.closed()
    thread.join()
    assert got == [b"y" * 300_000]


# ---- routes ---------------------------------------------------------------------


def test_routes_lead_to_their_backends(gangway, tmp_path):
    with Backend() as one, Backend() as two, Backend(path=tmp_path / "b") as three:
        gw = gangway({"/one": one.url, "/two": two.url, "/two/three": three.url})
        for path, backend in (("/one", one), ("/two", two), ("/two/three", three)):
            with RawWs(gw, path) as ws, backend.accept() as peer:
                ws.binary(path.encode())
                assert peer.exactly(len(path)) == path.encode()
                peer.send(path.encode())
                assert ws.recv_message() == (BINARY, path.encode())


def test_one_dead_backend_does_not_slow_others(gangway, blackhole, echo_server):
    gw = gangway({"/dead": f"tcp://{blackhole}", "/good": echo_server.url},
                 settings={"workers": 1, "timeouts.connect": "2s"})
    waiting = [Wire(dial(gw.place)) for _ in range(20)]
    for wire in waiting:
        wire.send(request("/dead"))
    began = time.monotonic()
    for _ in range(20):
        works(gw, "/good")
    assert time.monotonic() - began < 1.5
    for wire in waiting:
        assert wire.answer().status == 504
        wire.close()
