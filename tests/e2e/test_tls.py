# SPDX-License-Identifier: Apache-2.0
"""TLS of listeners: versions, certificates, clients' certificates, tickets;
and what is said at the start about certificates that are no use."""

import socket
import ssl
import subprocess
import threading
import time

import pytest
from backends import Backend, Server, echo
from certs import Authority, Pair, openssl
from gangway import Place
from ops import Run, fetch, http, metrics, reload, until_metric
from rawws import BINARY, PING, PONG, TEXT, Gone, RawWs, Wire, ask, dial, frame, request

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def tls_block(pair, *more, **settings):
    if not more:
        return {"certificate": str(pair.certificate), "key": str(pair.key), **settings}
    return {
        "certificates": [
            {"certificate": str(p.certificate), "key": str(p.key)} for p in (pair, *more)
        ],
        **settings,
    }


def config(pair, *more, workers=2, routes=None, **settings):
    return {
        "listeners": [{"url": "wss://127.0.0.1:0", "tls": tls_block(pair, *more, **settings)}],
        "routes": [
            {"path": path, "target": target}
            for path, target in (routes or {"/...": "echo:"}).items()
        ],
        "workers": workers,
    }


@pytest.fixture
def start(gangway):
    def run(*args, **kwargs):
        settings = kwargs.pop("set", {})
        extra = kwargs.pop("args", ())
        return gangway(config=config(*args, **kwargs), listen=(), settings=settings, args=extra)

    return run


@pytest.fixture(scope="module")
def pairs(authority):
    """Certificates of several names."""
    return {
        "a": authority.issue("a.example", "also-a.example"),
        "b": authority.issue("b.example"),
        "wild": authority.issue("*.wild.example"),
        "one": authority.issue("one.wild.example"),
    }


def context(authority, low=None, high=None, **more):
    c = authority.client_context()
    if low:
        c.minimum_version = low
    if high:
        c.maximum_version = high
    for name, value in more.items():
        setattr(c, name, value)
    return c


def anyone(authority):
    """A client that takes any name, to see which one it gets."""
    return context(authority, check_hostname=False)


def names_shown(gw, tls, server_name):
    """The DNS names in the certificate that a client is shown."""
    with socket.create_connection(gw.address, 10) as sock:
        with tls.wrap_socket(sock, server_hostname=server_name) as secure:
            return [v for k, v in secure.getpeercert()["subjectAltName"] if k == "DNS"]


def talks(ws):
    ws.text("hello")
    assert ws.recv_message() == (TEXT, b"hello")


def s_client(gw, *args, send=b"", seconds=10):
    """What openssl s_client prints of a connection; it ends with its input."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{gw.place.port}", *map(str, args)],
        input=send, capture_output=True, timeout=seconds, check=False,
    )  # fmt: skip
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


# ---- versions and ciphers ---------------------------------------------------------


@pytest.mark.parametrize("version", [V12, V13])
def test_versions(start, server_pair, authority, version):
    gw = start(server_pair)
    with RawWs(gw, tls=context(authority, version, version)) as ws:
        assert ws.sock.version() == {V12: "TLSv1.2", V13: "TLSv1.3"}[version]
        talks(ws)
        data = bytes(range(256)) * 1000
        assert ws.echoed(data) == data
        ws.close_normally()
    assert gw.wait_log("session-open")["tls"] == {V12: "TLSv1.2", V13: "TLSv1.3"}[version]


def test_min_version(start, server_pair, authority):
    gw = start(server_pair, min_version="1.3")
    with RawWs(gw, tls=context(authority, V13)) as ws:
        talks(ws)
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        dial_tls(gw, context(authority, high=V12)).close()
    gw.wait_log("tls-failed")


def dial_tls(gw, tls, server_name="localhost"):
    sock = socket.create_connection(gw.address, 10)
    try:
        return tls.wrap_socket(sock, server_hostname=server_name)
    except BaseException:
        sock.close()
        raise


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_not_spoken(start, server_pair, version):
    out = s_client(start(server_pair), version, "-cipher", "DEFAULT@SECLEVEL=0")
    assert "Cipher is (NONE)" in out


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256"])
def test_only_authenticated_ciphers(start, server_pair, cipher):
    out = s_client(start(server_pair), "-tls1_2", "-cipher", f"{cipher}@SECLEVEL=0")
    assert "Cipher is (NONE)" in out


def test_ciphers_are_a_setting(start, server_pair, authority):
    gw = start(
        server_pair,
        ciphers="ECDHE-ECDSA-CHACHA20-POLY1305",
        ciphersuites="TLS_CHACHA20_POLY1305_SHA256",
    )
    for version in (V12, V13):
        with RawWs(gw, tls=context(authority, version, version)) as ws:
            assert "CHACHA20" in ws.sock.cipher()[0]


def test_no_renegotiation(start, server_pair):
    out = s_client(start(server_pair), "-tls1_2", send=b"R\n")
    assert "no renegotiation" in out.lower()


def test_no_early_data_no_compression(start, server_pair, authority):
    out = s_client(start(server_pair), "-tls1_3", "-CAfile", authority.certificate,
                   "-verify_return_error", send=b"Q\n")  # fmt: skip
    assert "Verify return code: 0 (ok)" in out
    assert "Compression: NONE" in out
    assert "Max Early Data: 0" in out or "Max Early Data" not in out


def test_openssls_own_client_gets_a_session(start, server_pair, authority):
    process = subprocess.Popen(
        ["openssl", "s_client", "-quiet", "-verify_return_error", "-no_ign_eof",
         "-CAfile", str(authority.certificate), "-servername", "localhost",
         "-connect", f"127.0.0.1:{start(server_pair).place.port}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with process:
        process.stdin.write(request() + frame(TEXT, b"over openssl"))
        process.stdin.flush()
        got = b""
        while b"over openssl" not in got:
            part = process.stdout.read1(4096)
            assert part, got
            got += part
        assert got.startswith(b"HTTP/1.1 101 ")
        process.stdin.close()


def test_key_updates(start, server_pair, authority):
    """A TLS 1.3 client changes its keys, and asks for ours to change."""
    gw = start(server_pair)
    process = subprocess.Popen(
        ["openssl", "s_client", "-tls1_3", "-CAfile", str(authority.certificate),
         "-connect", f"127.0.0.1:{gw.place.port}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    with process:
        # The bytes of a message must not begin a line with a command's letter.
        process.stdin.write(request())
        process.stdin.flush()
        seen = until(process, b"", b"101 Switching")
        for i in range(5):
            for command in (b"k\n", b"K\n"):
                process.stdin.write(command)
                process.stdin.flush()
                seen = until(process, seen, b"KEYUPDATE")
            message = b"round %d" % i
            process.stdin.write(frame(TEXT, message, key=b"\0\0\0\0"))
            process.stdin.flush()
            seen = until(process, seen, message)
        process.kill()


def until(process, seen, text):
    """Read on until text has come; what follows it."""
    while text not in seen:
        part = process.stdout.read1(4096)
        assert part, seen
        seen += part
    return seen.partition(text)[2]


@pytest.mark.parametrize(
    "offered, chosen",
    [(None, None), (["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1"), (["h2"], None)],
)
def test_alpn(start, server_pair, authority, offered, chosen):
    tls = context(authority)
    if offered:
        tls.set_alpn_protocols(offered)
    with RawWs(start(server_pair), tls=tls) as ws:
        assert ws.sock.selected_alpn_protocol() == chosen
        talks(ws)


# ---- the bytes on the wire ------------------------------------------------------------


class Records:
    """A TLS client over memory: the test sends the bytes as it likes."""

    def __init__(self, gw, tls, server_name="localhost"):
        self.sock = socket.create_connection(gw.address, 10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.inward, self.outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = tls.wrap_bio(self.inward, self.outward, server_hostname=server_name)

    def handshake(self, send):
        while True:
            try:
                self.tls.do_handshake()
                send(self.outward.read())
                return
            except ssl.SSLWantReadError:
                send(self.outward.read())
                self.feed()

    def feed(self):
        got = self.sock.recv(65536)
        assert got, "the connection ended"
        self.inward.write(got)

    def sealed(self, data):
        self.tls.write(data)
        return self.outward.read()

    def read(self, n):
        data = b""
        while len(data) < n:
            try:
                data += self.tls.read(n - len(data))
            except ssl.SSLWantReadError:
                self.feed()
        return data

    def drip(self, data, size=1):
        for i in range(0, len(data), size):
            self.sock.sendall(data[i : i + size])

    def until_head(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.read(1)
        return head

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


@pytest.mark.parametrize("version", [V12, V13])
def test_byte_by_byte(start, server_pair, authority, version):
    with Records(start(server_pair), context(authority, version, version)) as c:
        c.handshake(c.drip)
        c.drip(c.sealed(request()))
        assert c.until_head().startswith(b"HTTP/1.1 101 ")
        c.drip(c.sealed(frame(TEXT, b"drop by drop")))
        assert c.read(14) == b"\x81\x0cdrop by drop"


def test_many_records_at_once(start, server_pair, authority):
    """Hundreds of small records in one segment, one message in each."""
    with Records(start(server_pair), context(authority)) as c:
        c.handshake(c.sock.sendall)
        c.sock.sendall(c.sealed(request()))
        c.until_head()
        c.sock.sendall(b"".join(c.sealed(frame(TEXT, b"%04d" % i)) for i in range(500)))
        got = c.read(6 * 500)
        assert got == b"".join(b"\x81\x04%04d" % i for i in range(500))


def test_handshake_request_and_message_together(start, server_pair, authority):
    """What follows the client's Finished in the same segment counts."""
    with Records(start(server_pair), context(authority, V13)) as c:
        held = []
        c.handshake(lambda data: held.append(data) or (len(held) < 2 and c.sock.sendall(data)))
        finished = held[-1]
        c.sock.sendall(finished + c.sealed(request() + frame(TEXT, b"early")))
        assert c.until_head().startswith(b"HTTP/1.1 101 ")
        assert c.read(7) == b"\x81\x05early"


def test_a_record_that_is_cut(start, server_pair, authority):
    """Half a record, then the end of the stream: the session is gone, and the
    half is not taken for anything."""
    gw = start(server_pair)
    with Records(gw, context(authority)) as c:
        c.handshake(c.sock.sendall)
        c.sock.sendall(c.sealed(request()))
        c.until_head()
        c.sock.sendall(c.sealed(frame(TEXT, b"x" * 100))[:50])
    gw.session_end(code=1006, by="client", bytes_in=0)


def test_a_record_that_was_changed(start, server_pair, authority):
    gw = start(server_pair)
    with Records(gw, context(authority)) as c:
        c.handshake(c.sock.sendall)
        c.sock.sendall(c.sealed(request()))
        c.until_head()
        record = bytearray(c.sealed(frame(TEXT, b"x" * 100)))
        record[60] ^= 1
        c.sock.sendall(record)
        gw.session_end(code=1006, bytes_in=0)


def test_close_notify_is_sent(start, server_pair, authority):
    """So that a client can tell an end from a cut."""
    gw = start(server_pair)
    with socket.create_connection(gw.address, 10) as sock:
        secure = authority.client_context().wrap_socket(
            sock, server_hostname="localhost", suppress_ragged_eofs=False
        )
        with Wire(secure) as wire:
            wire.send(http("GET", "/none", ("Connection", "close")))
            wire.answer()
            assert wire.gone() == "eof"


@pytest.mark.parametrize("rude", [False, True])
def test_client_that_ends_without_a_close_frame(start, server_pair, authority, rude, backend):
    """With close_notify or without: what it sent is delivered."""
    gw = start(server_pair, routes={"/...": backend.url})
    with RawWs(gw, tls=authority.client_context()) as ws, backend.accept() as peer:
        ws.binary(b"last words")
        if rude:
            ws.sock.shutdown(socket.SHUT_WR)
        else:
            ws.sock.settimeout(0)  # our close_notify leaves; theirs may come
            with pytest.raises(ssl.SSLWantReadError):
                ws.sock.unwrap()
        assert peer.until_eof() == b"last words"
        peer.close()
    gw.session_end(reason="client_gone", code=1006)


# ---- which certificate ------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, expected",
    [
        ("a.example", "a"),
        ("A.EXAMPLE", "a"),
        ("also-a.example", "a"),
        ("b.example", "b"),
        ("any.wild.example", "wild"),
        ("one.wild.example", "one"),  # exact before wildcard
        ("two.labels.wild.example", "a"),
        ("wild.example", "a"),
        ("unknown.example", "a"),
        (None, "a"),
    ],
)
def test_name_chooses_the_certificate(names_gw, authority, pairs, name, expected):
    shown = names_shown(names_gw, anyone(authority), name)
    assert shown == {
        "a": ["a.example", "also-a.example"],
        "b": ["b.example"],
        "wild": ["*.wild.example"],
        "one": ["one.wild.example"],
    }[expected]


@pytest.fixture(scope="module")
def names_gw(shared_gangway, pairs):
    c = config(pairs["a"], pairs["b"], pairs["wild"], pairs["one"])
    return shared_gangway(config=c, listen=())


def test_names_verify(names_gw, authority):
    for name in ("a.example", "b.example", "x.wild.example", "one.wild.example"):
        with RawWs(names_gw, tls=authority.client_context(), server_name=name) as ws:
            talks(ws)


def test_certificates_by_flags(gangway, authority, pairs):
    gw = gangway(
        "echo:", listen=["wss://127.0.0.1:0"],
        args=["--cert", pairs["a"].certificate, "--key", pairs["a"].key,
              "--cert", pairs["b"].certificate, "--key", pairs["b"].key],
    )  # fmt: skip
    for name in ("a.example", "b.example"):
        with RawWs(gw, tls=authority.client_context(), server_name=name) as ws:
            talks(ws)


def test_key_in_the_certificates_file(gangway, authority, pairs, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(pairs["b"].certificate.read_bytes() + pairs["b"].key.read_bytes())
    gw = gangway("echo:", listen=["wss://127.0.0.1:0"], args=["--cert", both])
    with RawWs(gw, tls=authority.client_context(), server_name="b.example") as ws:
        talks(ws)


def test_paths_are_relative_to_the_file(gangway, authority, pairs, tmp_path):
    (tmp_path / "conf").mkdir()
    for suffix, path in zip(("pem", "key"), pairs["b"]):
        (tmp_path / "conf" / f"b.{suffix}").write_bytes(path.read_bytes())
    written = tmp_path / "conf" / "c.yaml"
    written.write_text(
        "listeners: [{url: 'wss://127.0.0.1:0', tls: {certificate: b.pem, key: b.key}}]\n"
        "routes: [{path: /..., target: 'echo:'}]\n"
    )
    gw = gangway(listen=(), args=["--config", written])
    with RawWs(gw, tls=authority.client_context(), server_name="b.example") as ws:
        talks(ws)


def test_rsa_and_chain(gangway, tmp_path):
    """An RSA certificate by an intermediate authority, which is sent along."""
    root = Authority(tmp_path / "root", "root")
    middle, leaf = tmp_path / "middle", tmp_path / "leaf"
    for stem, issuer, extension in (
        (middle, (root.certificate, root.key), "basicConstraints=critical,CA:TRUE"),
        (leaf, (f"{middle}.pem", f"{middle}.key"), "subjectAltName=DNS:localhost"),
    ):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{stem}.key",
                "-out", f"{stem}.csr", "-subj", f"/CN={stem.name}")  # fmt: skip
        (tmp_path / "ext").write_text(extension)
        openssl("x509", "-req", "-in", f"{stem}.csr", "-CA", issuer[0], "-CAkey", issuer[1],
                "-CAcreateserial", "-out", f"{stem}.pem", "-days", "9",
                "-extfile", tmp_path / "ext")  # fmt: skip
    chain = tmp_path / "chain.pem"
    chain.write_bytes(leaf.with_suffix(".pem").read_bytes() + middle.with_suffix(".pem").read_bytes())
    gw = gangway("echo:", listen=["wss://127.0.0.1:0"],
                 args=["--cert", chain, "--key", f"{leaf}.key"])  # fmt: skip
    with RawWs(gw, tls=root.client_context()) as ws:
        talks(ws)


def test_tls_on_unix_and_inherited_sockets(gangway, server_pair, authority, tmp_path):
    path = str(tmp_path / "tls.sock")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        port = listener.getsockname()[1]
        fd = listener.fileno()
        gangway(
            config={
                "listeners": [
                    {"url": f"unix:{path}", "tls": tls_block(server_pair)},
                    {"url": f"fd:{fd}", "tls": tls_block(server_pair)},
                ],
                "routes": [{"path": "/", "target": "echo:"}],
            },
            listen=(),
            pass_fds=(fd,),
        )
    for place in (Place("unix", path=path), Place("wss", "127.0.0.1", port)):
        with RawWs(place, tls=authority.client_context()) as ws:
            talks(ws)


def test_files_over_tls(gangway, server_pair, authority, tmp_path):
    data = bytes(range(256)) * 4096
    (tmp_path / "f.bin").write_bytes(data)
    c = config(server_pair)
    gw = gangway(config=c, listen=(), args=["--web", tmp_path])
    assert fetch(gw.place, "/f.bin", tls=authority.client_context()).body == data


# ---- clients' certificates ----------------------------------------------------------------


@pytest.fixture(scope="module")
def other_authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("other"), "another CA")


def client_context(authority, pair=None, version=None):
    c = context(authority, version, version)
    if pair:
        c.load_cert_chain(pair.certificate, pair.key)
    return c


def comes_in(gw, tls):
    """Whether a client gets a session. In TLS 1.3 it hears of a refusal only
    after its own handshake."""
    try:
        with Wire(dial_tls(gw, tls)) as wire:
            wire.send(request() + frame(TEXT, b"x"))
            assert wire.answer().status == 101
            assert wire.take(3) == b"\x81\x01x"
        return True
    except (ssl.SSLError, Gone, ConnectionError):
        return False


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize(
    "asked, none, ours, others",
    [("none", True, True, True), ("optional", True, True, False), ("required", False, True, False)],
)
def test_client_certificates(
    start, server_pair, authority, other_authority, version, asked, none, ours, others
):
    ca = {} if asked == "none" else {"client_ca": str(authority.certificate)}
    gw = start(server_pair, client_certificate=asked, **ca)
    good = authority.issue("client", client=True)
    bad = other_authority.issue("client", client=True)
    assert comes_in(gw, client_context(authority, None, version)) is none
    assert comes_in(gw, client_context(authority, good, version)) is ours
    assert comes_in(gw, client_context(authority, bad, version)) is others
    if not others:
        gw.wait_log("tls-failed")


@pytest.mark.parametrize("wrong", ["expired", "server"])
def test_client_certificates_that_are_no_use(start, server_pair, authority, wrong):
    gw = start(
        server_pair, client_ca=str(authority.certificate), client_certificate="required"
    )
    pair = authority.issue("client", client=wrong != "server", days=-1 if wrong == "expired" else 9)
    assert not comes_in(gw, client_context(authority, pair))
    gw.wait_log("tls-failed")


# ---- tickets ---------------------------------------------------------------------------


def visit(gw, tls, name="localhost", session=None):
    """A short session; the TLS session to resume, and whether this one was."""
    with socket.create_connection(gw.address, 10) as sock:
        secure = tls.wrap_socket(sock, server_hostname=name, session=session)
        with Wire(secure) as wire:
            wire.send(request())
            assert wire.answer().status == 101
            wire.send(frame(TEXT, b"x"))
            wire.take(3)  # the tickets came before
            return secure.session, secure.session_reused


@pytest.mark.parametrize("version", [V12, V13])
def test_sessions_are_resumed(start, server_pair, authority, version):
    """By any worker."""
    gw = start(server_pair, workers=3)
    tls = context(authority, version, version)
    session, reused = visit(gw, tls)
    assert not reused and session.has_ticket
    for _ in range(8):
        session, reused = visit(gw, tls, session=session)
        assert reused


@pytest.mark.parametrize("version", [V12, V13])
def test_not_without_tickets(start, server_pair, authority, version):
    gw = start(server_pair, tickets=False)
    tls = context(authority, version, version)
    session, _ = visit(gw, tls)
    assert session is None or not session.has_ticket
    assert not visit(gw, tls, session=session)[1]


@pytest.mark.parametrize("version", [V12, V13])
def test_not_across_names(names_gw, authority, version):
    """A ticket is worth nothing under another certificate's name: neither the
    client's nor a stranger's name decides what was proven."""
    tls = context(authority, version, version, check_hostname=False)
    session, _ = visit(names_gw, tls, "a.example")
    assert visit(names_gw, tls, "a.example", session)[1]
    assert not visit(names_gw, tls, "b.example", session)[1]
    session, _ = visit(names_gw, tls, "b.example")
    assert visit(names_gw, tls, "b.example", session)[1]
    assert not visit(names_gw, tls, "a.example", session)[1]
    assert not visit(names_gw, tls, "x.wild.example", session)[1]


@pytest.mark.parametrize("version", [V12, V13])
def test_not_across_listeners_with_other_rules(gangway, server_pair, authority, version):
    """A ticket from the open door does not open the one that asks for a
    certificate."""
    strict = tls_block(
        server_pair, client_ca=str(authority.certificate), client_certificate="required"
    )
    gw = gangway(
        config={
            "listeners": [
                {"url": "wss://127.0.0.1:0", "tls": tls_block(server_pair)},
                {"url": "wss://127.0.0.1:0", "tls": strict},
            ],
            "routes": [{"path": "/", "target": "echo:"}],
        },
        listen=(),
    )
    tls = context(authority, version, version)
    session, _ = visit(gw, tls)
    assert session.has_ticket
    with pytest.raises((ssl.SSLError, Gone, ConnectionError)):
        with socket.create_connection(("127.0.0.1", gw.places[1].port), 10) as sock:
            secure = tls.wrap_socket(sock, server_hostname="localhost", session=session)
            with Wire(secure) as wire:
                wire.send(request())
                wire.answer()


def test_resumption_with_client_certificates(start, server_pair, authority):
    gw = start(
        server_pair, client_ca=str(authority.certificate), client_certificate="required"
    )
    tls = client_context(authority, authority.issue("client", client=True))
    session, _ = visit(gw, tls)
    assert visit(gw, tls, session=session)[1]


def test_old_tickets_after_a_reload(start, server_pair, authority):
    """A ticket that cannot be read any more costs a full handshake, no more."""
    gw = start(server_pair)
    tls = context(authority)
    session, _ = visit(gw, tls)
    reload(gw)
    visit(gw, tls, session=session)


# ---- reload ------------------------------------------------------------------------------


def test_certificate_is_exchanged_while_a_session_stays(gangway, authority, tmp_path):
    """The same file names, new content, as tools for renewal do it."""
    pem, key = tmp_path / "live.pem", tmp_path / "live.key"

    def install(pair):
        pem.write_bytes(pair.certificate.read_bytes())
        key.write_bytes(pair.key.read_bytes())

    install(authority.issue("old.example"))
    gw = gangway(config=config(Pair(pem, key)), listen=(), args=["--admin", "127.0.0.1:0"])
    tls = anyone(authority)
    before = metrics(gw)["gangway_tls_cert_not_after_timestamp_seconds"]
    with RawWs(gw, tls=tls) as old:
        assert names_shown(gw, tls, None) == ["old.example"]
        install(authority.issue("new.example", days=60))
        assert names_shown(gw, tls, None) == ["old.example"]
        reload(gw)
        assert names_shown(gw, tls, None) == ["new.example"]
        assert metrics(gw)["gangway_tls_cert_not_after_timestamp_seconds"] > before
        talks(old)
        data = bytes(200_000)
        assert old.echoed(data) == data
        old.close_normally()


def test_half_exchanged_certificate_changes_nothing(gangway, authority, tmp_path):
    """The certificate is new, its key not there yet."""
    one, two = authority.issue("one.example"), authority.issue("two.example")
    pem, key = tmp_path / "live.pem", tmp_path / "live.key"
    pem.write_bytes(one.certificate.read_bytes())
    key.write_bytes(one.key.read_bytes())
    gw = gangway(config=config(Pair(pem, key)), listen=())
    pem.write_bytes(two.certificate.read_bytes())
    gw.signal(1)
    why = gw.wait_log("reload-failed")["why"]
    assert "live.key" in why and "not the key" in why
    assert names_shown(gw, anyone(authority), None) == ["one.example"]
    key.write_bytes(two.key.read_bytes())
    reload(gw)
    assert names_shown(gw, anyone(authority), None) == ["two.example"]


# ---- handshakes that do not come to an end ------------------------------------------------


def test_silence_is_dropped(start, server_pair, authority):
    gw = start(server_pair, set={"timeouts.tls_handshake": "300ms"})
    with Wire(dial(gw.place)) as silent:
        began = time.monotonic()
        silent.gone()
        assert 0.2 < time.monotonic() - began < 3
    gw.wait_log("tls-failed", why="the handshake took too long")
    with RawWs(gw, tls=authority.client_context()) as ws:
        talks(ws)


def test_dripping_does_not_prolong_it(start, server_pair, authority):
    gw = start(server_pair, set={"timeouts.tls_handshake": "500ms"})
    with Records(gw, context(authority)) as c:
        with pytest.raises(ssl.SSLWantReadError):
            c.tls.do_handshake()
        hello = c.outward.read()
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            for i in range(len(hello)):
                c.sock.sendall(hello[i : i + 1])
                time.sleep(0.05)
        assert 0.4 < time.monotonic() - began < 3


def test_client_that_leaves_in_the_midst(start, server_pair, authority):
    """Noticed at once, not at the deadline."""
    gw = start(server_pair, set={"timeouts.tls_handshake": "1h"}, args=["--admin", "127.0.0.1:0"])
    with Records(gw, context(authority)) as c:
        with pytest.raises(ssl.SSLWantReadError):
            c.tls.do_handshake()
        c.sock.sendall(c.outward.read())
        c.feed()
    dial(gw.place).close()
    until_metric(gw, "gangway_tls_handshake_failures_total", 2)
    gw.wait_log("tls-failed", why="the client hung up")
    until_metric(gw, "gangway_connections_active", 0)


@pytest.mark.parametrize(
    "junk",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 70000, b"\0" * 100,
     b"\x16\x03\x01\0\x05\x01\0\0\x01\0", b"\x80\x2e\x01\x03\x01"],
)  # fmt: skip
def test_junk(start, server_pair, authority, junk):
    gw = start(server_pair)
    with Wire(dial(gw.place)) as wire:
        try:
            wire.send(junk)
            wire.sock.shutdown(socket.SHUT_WR)
            while True:
                wire.take(1)
        except (Gone, OSError):
            pass
    gw.wait_log("tls-failed")
    with RawWs(gw, tls=authority.client_context()) as ws:
        talks(ws)


# ---- what is no use is told at the start ---------------------------------------------------


def check(cwd, pair, **tls):
    c = config(pair)
    c["listeners"][0]["tls"].update(tls)
    return Run("--check", cwd=cwd, config=c)


def test_good_ones_pass(tmp_path, server_pair):
    run = check(tmp_path, server_pair)
    assert (run.code, run.err) == (0, "")


@pytest.mark.parametrize("which", ["certificate", "key"])
def test_missing_file(tmp_path, server_pair, which):
    run = check(tmp_path, server_pair, **{which: "nowhere.pem"})
    assert run.code == 78
    assert "nowhere.pem" in run.err and "No such file" in run.err
    assert "gangway.yaml:1:" in run.err


def test_key_of_another(tmp_path, authority):
    a, b = authority.issue("a"), authority.issue("b")
    run = check(tmp_path, Pair(a.certificate, b.key))
    assert run.code == 78 and "not the key of" in run.err


def test_encrypted_key(tmp_path, authority):
    pair = authority.issue("a")
    locked = tmp_path / "locked.key"
    openssl("pkey", "-in", pair.key, "-aes128", "-passout", "pass:secret", "-out", locked)
    run = check(tmp_path, Pair(pair.certificate, locked))
    assert run.code == 78
    assert "locked.key" in run.err and "encrypted" in run.err


def test_no_pem(tmp_path, server_pair):
    (tmp_path / "junk.pem").write_text("this is no certificate")
    for which in ("certificate", "key"):
        run = check(tmp_path, server_pair, **{which: str(tmp_path / "junk.pem")})
        assert run.code == 78 and "junk.pem" in run.err


def test_bad_ciphers(tmp_path, server_pair):
    run = check(tmp_path, server_pair, ciphers="NONSENSE")
    assert run.code == 78 and "ciphers" in run.err
    run = check(tmp_path, server_pair, ciphersuites="NONSENSE")
    assert run.code == 78 and "ciphersuites" in run.err


def test_client_certificates_without_an_authority(tmp_path, server_pair):
    run = check(tmp_path, server_pair, client_certificate="required")
    assert run.code == 78 and "client_ca" in run.err
    run = check(tmp_path, server_pair, client_certificate="required", client_ca="nowhere.pem")
    assert run.code == 78 and "nowhere.pem" in run.err


def test_without_a_certificate(tmp_path):
    run = Run("--check", cwd=tmp_path, config={
        "listeners": ["wss://:8443"], "routes": [{"path": "/", "target": "echo:"}]})  # fmt: skip
    assert run.code == 78 and "needs a certificate" in run.err


def test_an_expired_one_is_told_but_served(gangway, authority):
    """A client that does not mind still gets in; the operator hears of it."""
    gw = gangway(config=config(authority.issue("localhost", days=-1)), listen=())
    gw.wait_log("certificate-expired")
    tls = context(authority, check_hostname=False)
    tls.verify_mode = ssl.CERT_NONE
    with RawWs(gw, tls=tls) as ws:
        talks(ws)


# ---- towards backends ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, why",
    [
        ("ca=nowhere.pem", "nowhere.pem"),
        ("cert=nowhere.pem", "nowhere.pem"),
        ("insecure=perhaps", "true or false"),
        ("inscure", "did you mean 'insecure'"),
    ],
)
def test_bad_options_are_told_at_the_start(tmp_path, options, why):
    run = Run("--check", "--listen", "ws://:1", "--route", f"/=tls://127.0.0.1:1?{options}",
              cwd=tmp_path)  # fmt: skip
    assert run.code == 78 and why in run.err


def test_tls_options_of_a_plain_target(tmp_path):
    run = Run("--check", "--listen", "ws://:1", "--route", "/=tcp://127.0.0.1:1?insecure")
    assert run.code == 78 and "tls://" in run.err


def test_insecure_is_asked_for_by_name(gangway, tmp_path):
    stranger = Authority(tmp_path / "stranger")
    tls = stranger.server_context(stranger.issue("stranger"))
    with Server(echo, tls=tls) as server:
        gw = gangway({"/no": server.url, "/yes": f"{server.url}?insecure"})
        assert ask(gw.place, request("/no")).status == 502
        assert "certificate" in gw.wait_log(event_with_why(gw)).line
        with RawWs(gw, "/yes") as ws:
            ws.binary(b"x")
            assert ws.recv_message() == (BINARY, b"x")


def event_with_why(gw):
    """The event that tells why a request was refused."""
    gw.until(lambda: any("why" in line for line in gw.log), what="a reason")
    return next(line.event for line in gw.log if "why" in line)


def test_option_files_are_relative_to_the_configuration(gangway, authority, server_pair, tmp_path):
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "ca.pem").write_bytes(authority.certificate.read_bytes())
    with Server(echo, tls=authority.server_context(server_pair)) as server:
        written = folder / "c.yaml"
        written.write_text(
            "listeners: [ws://127.0.0.1:0]\n"
            f"routes: [{{path: /..., target: '{server.url}', options: {{ca: ca.pem}}}}]\n"
        )
        gw = gangway(listen=(), args=["--config", written])
        with RawWs(gw) as ws:
            ws.binary(b"x")
            assert ws.recv_message() == (BINARY, b"x")


def test_a_backend_of_the_past_is_refused(gangway, authority, server_pair):
    old = authority.server_context(server_pair)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with Backend() as backend:
        gw = gangway(f"tls://{backend.address}?ca={authority.certificate}")
        accepted = threading.Thread(target=serve_old, args=(backend, old))
        accepted.start()
        assert ask(gw.place, request()).status == 502
        accepted.join()


def serve_old(backend, tls):
    with backend.accept() as peer:
        try:
            tls.wrap_socket(peer.sock, server_side=True).close()
        except (ssl.SSLError, OSError):
            pass


@pytest.mark.parametrize("version", [V12, V13])
def test_both_versions_towards_backends(gangway, authority, server_pair, version):
    tls = authority.server_context(server_pair)
    tls.minimum_version = tls.maximum_version = version
    with Server(echo, tls=tls) as server:
        gw = gangway(f"{server.url}?ca={authority.certificate}")
        with RawWs(gw) as ws:
            data = bytes(range(256)) * 400
            sender = threading.Thread(target=ws.binary, args=(data,))
            sender.start()
            assert ws.recv_bytes(len(data)) == data
            sender.join()
            ws.frame(PING, b"p")
            assert ws.recv_frame().opcode == PONG
            ws.close_normally()
