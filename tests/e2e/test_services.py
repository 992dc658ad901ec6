# SPDX-License-Identifier: Apache-2.0
"""Real services behind gangway, and the real programs that speak to them."""

import asyncio
import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from typing import NamedTuple

import paho.mqtt.client as mqtt
import pytest
import services
import websockets
from gangway import ROOT, SANITIZER
from rawws import BINARY, CLOSE, PING, PONG, TEXT, RawWs

COPY_BYTES = 50 << 20
WSPROXY = ROOT / "tests" / "e2e" / "wsproxy.py"


def run(*command, check=True, **kwargs):
    kwargs.setdefault("timeout", 50)
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=False,
        **kwargs,
    )
    assert not check or done.returncode == 0, done.stderr.decode(errors="replace")
    return done


def wsproxy(gw, path, authority=None):
    """The command that carries standard input and output to a route."""
    url = gw.url(path).replace("127.0.0.1", "localhost")
    ca = [str(authority.certificate)] if authority else []
    return " ".join([sys.executable, str(WSPROXY), url, *ca])


@pytest.fixture(scope="module")
def sshd():
    with services.sshd() as server:
        yield server


@pytest.fixture(scope="module")
def redis():
    with services.redis() as server:
        yield server


@pytest.fixture(scope="module")
def postgres():
    with services.postgres() as server:
        yield server


class Irc(NamedTuple):
    port: int
    target: str


@pytest.fixture(scope="module")
def irc():
    with services.ngircd() as port:
        yield Irc(port, f"tcp://127.0.0.1:{port}?mode=line&eol=crlf")


@pytest.fixture(scope="module")
def broker():
    with services.mosquitto() as port:
        yield f"tcp://127.0.0.1:{port}"


@pytest.fixture
def local_socket():
    """Start a socat that leads a Unix socket into a command:
    local_socket(name, command) is its path."""
    running = []
    with services.place() as directory:

        def start(name, command):
            script = directory / "command"
            script.write_text(f"#!/bin/sh\nexec {command}\n")
            script.chmod(0o755)
            path = directory / name
            running.append(
                services.Process(
                    [services.program("socat"), f"UNIX-LISTEN:{path},fork", f"EXEC:{script}"],
                    directory / "log",
                    path.exists,
                )
            )
            return path

        yield start
        for process in running:
            process.stop()


# ---- SSH ------------------------------------------------------------------------


def digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
@pytest.mark.timeout(120)
def test_ssh_copies_a_large_file_each_way(gangway, sshd, wss, authority, tmp_path, secure):
    route = {"/ssh": f"tcp://127.0.0.1:{sshd.port}"}
    gw = gangway(route, config=wss, listen=()) if secure else gangway(route)
    options = [
        *sshd.options,
        f"-oProxyCommand={wsproxy(gw, '/ssh', authority if secure else None)}",
    ]
    size = 10 << 20 if secure or SANITIZER else COPY_BYTES
    original, there, back = (tmp_path / n for n in ("original", "there", "back"))
    with original.open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
    before = gw.rss()

    scp = [services.program("scp"), "-q", *options]
    run(*scp, original, f"{sshd.login}:{there}", timeout=100)
    run(*scp, f"{sshd.login}:{there}", back, timeout=100)

    assert back.stat().st_size == size
    assert digest(original) == digest(there) == digest(back)
    if not SANITIZER:
        assert gw.rss() - before < 8 << 20
    for _ in range(2):
        end = gw.session_end()
        assert int(end["bytes_in"]) + int(end["bytes_out"]) > size


def test_ssh_command_ends_exactly(gangway, sshd):
    """All of a command's output, and its exit code, arrive before the end."""
    gw = gangway({"/ssh": f"tcp://127.0.0.1:{sshd.port}"})
    done = run(
        services.program("ssh"), *sshd.options, f"-oProxyCommand={wsproxy(gw, '/ssh')}",
        sshd.login, "head -c 1000000 /dev/zero; exec wc -c; exit 1",
        stdin=None, input=b"x" * 300_000,
    )
    assert done.stdout == bytes(1_000_000) + b"300000\n"
    done = run(
        services.program("ssh"), *sshd.options, f"-oProxyCommand={wsproxy(gw, '/ssh')}",
        sshd.login, "echo last words; exit 7", check=False,
    )
    assert (done.returncode, done.stdout) == (7, b"last words\n")


# ---- Redis ----------------------------------------------------------------------


def command(*words):
    """A Redis command as it goes over the wire."""
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


@pytest.fixture(params=["tcp", "unix"])
def redis_target(request, redis):
    if request.param == "unix":
        return f"unix:{redis.path}"
    return f"tcp://127.0.0.1:{redis.port}"


def test_redis_pipelining(gangway, redis_target):
    """Commands in one message, in a message cut anywhere, and many at once."""
    gw = gangway(redis_target)
    everything = bytes(range(256)) * 400
    with RawWs(gw) as ws:
        ws.binary(command("SET", "every byte", everything) + command("GET", "every byte"))
        expected = b"+OK\r\n$%d\r\n%b\r\n" % (len(everything), everything)
        assert ws.recv_bytes(len(expected)) == expected

        ws.binary(b"".join(command("ECHO", i) for i in range(5000)))
        expected = b"".join(b"$%d\r\n%d\r\n" % (len(str(i)), i) for i in range(5000))
        assert ws.recv_bytes(len(expected)) == expected

        for byte in command("INCR", "counter"):
            ws.binary(bytes([byte]))
        assert ws.recv_bytes(4) == b":1\r\n"

        ws.binary(command("DEL", "every byte", "counter"))
        assert ws.recv_bytes(4) == b":2\r\n"
        ws.close_normally()


def test_redis_quit_then_close(gangway, redis_target):
    """What the service said last comes before the Close, which is a good one."""
    gw = gangway(redis_target)
    with RawWs(gw) as ws:
        ws.binary(command("PING") + command("QUIT"))
        said, (code, _) = ws.drain()
        assert (said, code) == (b"+PONG\r\n+OK\r\n", 1000)
        ws.send_close(1000)
        ws.closed()
    gw.session_end(reason="backend_done", code=1000, by="backend")


def test_redis_client_that_leaves_at_once(gangway, redis):
    """A command that is followed by the client's Close is still carried out."""
    gw = gangway(f"tcp://127.0.0.1:{redis.port}")
    with RawWs(gw) as ws:
        ws.binary(command("SET", "left", "behind"))
        ws.send_close(1000)
        said, (code, _) = ws.drain()
        assert said in (b"", b"+OK\r\n") and code == 1000
        ws.closed()
    with RawWs(gw) as ws:
        ws.binary(command("GETDEL", "left"))
        assert ws.recv_bytes(12) == b"$6\r\nbehind\r\n"
        ws.close_normally()


def test_redis_subscriber_is_kept_alive_by_pings(gangway, redis_target):
    """Nothing but pings for a while, then a message at once."""
    gw = gangway(redis_target, settings={"timeouts.ping_interval": "100ms"})
    with RawWs(gw) as subscriber:
        subscriber.binary(command("SUBSCRIBE", "news"))
        expected = b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"
        assert subscriber.recv_bytes(len(expected)) == expected
        for _ in range(5):
            ping = subscriber.recv_frame()
            assert ping.opcode == PING
            subscriber.frame(PONG, ping.payload)

        with RawWs(gw) as publisher:
            publisher.binary(command("PUBLISH", "news", "at last"))
            assert publisher.recv_bytes(4) == b":1\r\n"
        expected = b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$7\r\nat last\r\n"
        assert subscriber.recv_bytes(len(expected)) == expected


def test_redis_cli(gangway, redis, local_socket, tmp_path):
    """Redis' own client, for which the session is just a socket."""
    gw = gangway(f"tcp://127.0.0.1:{redis.port}")
    path = local_socket("redis", wsproxy(gw, "/"))
    value = tmp_path / "value"
    value.write_bytes(os.urandom(1 << 20))
    cli = [services.program("redis-cli"), "-s", path]
    with value.open("rb") as file:
        assert run(*cli, "-x", "SET", "blob", stdin=file).stdout == b"OK\n"
    assert run(*cli, "--no-raw", "STRLEN", "blob").stdout == b"(integer) 1048576\n"
    assert run(*cli, "--raw", "GETDEL", "blob").stdout == value.read_bytes() + b"\n"


# ---- PostgreSQL -----------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_postgres_from_a_browsers_driver(gangway, postgres, wss, authority, secure):
    """The driver names the database's address; the allow-list has to agree."""
    address = f"127.0.0.1:{postgres.port}"
    route = {"/v1": "tcp://{query.address}"}
    allow = ["--allow-target", address]
    gw = (
        gangway(route, args=allow, config=wss, listen=())
        if secure
        else gangway(route, args=allow)
    )

    def drive(address):
        url = gw.url("").replace("127.0.0.1", "localhost")
        done = run(
            "node", ROOT / "tests" / "browser" / "postgres.mjs",
            url, address, postgres.user, postgres.password,
            env={**os.environ, "NODE_EXTRA_CA_CERTS": str(authority.certificate)},
        )
        return json.loads(done.stdout)

    told = drive(address)
    assert "failed" not in told, told
    assert told["row"] == {"sum": 42, "text": "grüß 😀"}
    assert (told["rows"], told["last"]) == (20000, "x" * 100 + "20000")
    assert told["blob"] is True
    assert told["error"] == "22012"  # division by zero
    assert told["pool"] == [10, 20, 30, 40]
    # The database hangs up, and the driver hears of it without delay.
    assert told["closes"] == [1000] * 5
    assert told["end_ms"] < 2000 and told["closed_ms"] < 2000
    for _ in range(5):
        gw.session_end(reason="backend_done", code=1000)

    told = drive(f"127.0.0.1:{services.free_port()}")
    assert "403" in told["failed"] and told["closes"] == [1006]


def test_psql(gangway, postgres, local_socket):
    """PostgreSQL's own client, with a bulk copy each way."""
    gw = gangway(f"tcp://127.0.0.1:{postgres.port}")
    path = local_socket(".s.PGSQL.5432", wsproxy(gw, "/"))
    psql = [
        services.program("psql"), "-X", "-At", "-h", path.parent, "-U", postgres.user,
        "-v", "ON_ERROR_STOP=1", "postgres",
    ]
    env = {**os.environ, "PGPASSWORD": postgres.password}
    lines = b"".join(b"%d\t%s\n" % (i, b"x" * (i % 500)) for i in range(20000))
    script = (
        b"create temp table t (n int, s text);\n"
        b"copy t from stdin;\n" + lines + b"\\.\n"
        b"select count(*), sum(length(s)) from t;\n"
        b"copy (select * from t order by n) to stdout;\n"
    )
    done = run(*psql, stdin=None, input=script, env=env)
    head, _, copied = done.stdout.partition(b"20000|%d\n" % sum(i % 500 for i in range(20000)))
    assert head == b"CREATE TABLE\nCOPY 20000\n"
    assert copied == lines
    gw.session_end(code=1000)  # by whoever was first


# ---- IRC ------------------------------------------------------------------------


class IrcUser:
    """An IRC client of the browser's kind: text messages, one for each line,
    with no line end in them."""

    def __init__(self, ws):
        self.ws = ws

    async def say(self, line):
        await self.ws.send(line)

    async def hear(self, pattern):
        """The first line that fits. Whatever comes must be a bare line."""
        while True:
            line = await asyncio.wait_for(self.ws.recv(), 20)
            assert isinstance(line, str), line
            assert line and "\r" not in line and "\n" not in line
            if line.startswith("PING "):
                await self.say("PONG " + line[5:])
            if match := re.search(pattern, line):
                return match

    async def register(self, nick):
        await self.say(f"NICK {nick}")
        await self.say(f"USER {nick} 0 * :a test")
        await self.hear(rf" 001 {nick} ")
        await self.hear(r" 372 \S+ :- Grüß Gott, and 🙂$")
        await self.hear(r" 376 ")

    async def join(self, channel):
        await self.say(f"JOIN {channel}")
        await self.hear(rf" 366 \S+ {channel} ")


def test_irc_in_lines(gangway, irc):
    gw = gangway(irc.target)

    def user():
        return websockets.connect(gw.url(), subprotocols=["text.ircv3.net", "binary.ircv3.net"])

    async def session():
        async with user() as a, user() as b:
            assert a.subprotocol == "text.ircv3.net"
            alice, bob = IrcUser(a), IrcUser(b)
            await alice.register("alice")
            await bob.register("bob")
            await alice.join("#gangway")
            await bob.join("#gangway")
            await alice.hear(r"^:bob!\S+ JOIN ")

            words = "grüß dich, 世界 😀"
            await alice.say(f"PRIVMSG #gangway :{words}")
            await bob.hear(rf"^:alice!\S+ PRIVMSG #gangway :{words}$")
            await bob.say("PRIVMSG alice :psst\r\n")  # its own line end is enough
            await alice.hear(r"^:bob!\S+ PRIVMSG alice :psst$")
            # A message may hold several lines, and arrive in fragments.
            await bob.say("PRIVMSG alice :one\nPRIVMSG alice :two")
            await bob.say(["PRIVMSG ali", "ce :th", "ree"])
            for said in ("one", "two", "three"):
                await alice.hear(rf"^:bob!\S+ PRIVMSG alice :{said}$")

            # Somebody with a plain old client, and an old encoding.
            reader, writer = await asyncio.open_connection("127.0.0.1", irc.port)
            writer.write(b"NICK carl\r\nUSER carl 0 * :x\r\n")
            await asyncio.wait_for(reader.readuntil(b" 376 "), 20)
            writer.write("PRIVMSG bob :grüß\r\n".encode("latin-1"))
            await bob.hear(r"^:carl!\S+ PRIVMSG bob :gr\ufffd\ufffd$")
            writer.close()
            await writer.wait_closed()

            await bob.say("QUIT :good night")
            await bob.hear(r"^ERROR ")
            await asyncio.wait_for(b.wait_closed(), 10)
            assert b.close_code == 1000
            await alice.hear(r"^:bob!\S+ QUIT ")

    asyncio.run(session())


@pytest.mark.parametrize(
    "line",
    [
        b"cut at the end \xc3",
        b"\xe2\x82",
        b"x" * 5000 + b"\xff" + b"y" * 5000,
        b"\xff" * 9000,
    ],
    ids=["cut", "nothing but a cut character", "long", "all bad"],
)
def test_line_with_bytes_replaced_is_one_message(gangway, backend, line):
    gw = gangway(f"{backend.url}?mode=line")
    with RawWs(gw) as ws, backend.accept() as peer:
        peer.send(line + b"\nnext\n")
        assert ws.recv_message() == (TEXT, line.decode(errors="replace").encode())
        assert ws.recv_message() == (TEXT, b"next")


@pytest.mark.parametrize("at_once", [True, False], ids=["one read", "byte by byte"])
def test_long_lines_come_in_parts(gangway, backend, at_once):
    """Of at most max_line, however the bytes arrive, and none is lost."""
    gw = gangway(f"{backend.url}?mode=line&max_line=16&eol=crlf")
    lines = {
        b"x" * 16 + b"\r\n": [b"x" * 16],
        b"x" * 17 + b"\n": [b"x" * 16, b"x"],
        b"x" * 15 + b"\ry\n": [b"x" * 15 + b"\r", b"y"],
        b"x" * 32 + b"\r\n": [b"x" * 16, b"x" * 16],
        "€".encode() * 6 + b"\n": ["€".encode() * 5, "€".encode()],
        b"\xff" * 17 + b"\n": ["\ufffd".encode() * 16, "\ufffd".encode()],
        b"\r\n": [b""],
    }
    with RawWs(gw) as ws, backend.accept() as peer:
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b"".join(lines)
        for i in range(0, len(data), len(data) if at_once else 1):
            peer.send(data[i : i + len(data) if at_once else i + 1])
        for line, parts in lines.items():
            for part in parts:
                assert ws.recv_message() == (TEXT, part), line


def test_line_with_bytes_that_may_not_be_replaced(gangway, backend):
    gw = gangway(f"{backend.url}?mode=line&invalid=close")
    with RawWs(gw) as ws, backend.accept() as peer:
        peer.send(b"good\ncut \xc3\n")
        assert ws.recv_message() == (TEXT, b"good")
        assert ws.recv_close()[0] == 1007


# ---- MQTT -----------------------------------------------------------------------


class MqttPeer:
    """paho-mqtt over WebSocket, on a thread of its own."""

    def __init__(self, gw, name, authority=None):
        self.heard = []
        self.levels = set()
        self.connected, self.subscribed = threading.Event(), threading.Event()
        self.disconnected = []
        self.more = threading.Condition()
        self.client = mqtt.Client(client_id=name, transport="websockets")
        self.client.ws_set_options(path="/mqtt")
        if authority:
            self.client.tls_set(str(authority.certificate), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self.client.on_connect = lambda *_: self.connected.set()
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_disconnect = lambda client, data, code: self.disconnected.append(code)
        self.client.on_message = self._on_message
        self.client.connect("localhost", gw.place.port, keepalive=30)
        self.client.loop_start()
        assert self.connected.wait(20)

    def _on_message(self, client, data, message):
        with self.more:
            self.heard.append((message.topic, bytes(message.payload), message.qos))
            self.more.notify_all()

    def subscribe(self, topic, qos):
        self.subscribed.clear()
        self.client.subscribe(topic, qos)
        assert self.subscribed.wait(20)

    def wait_heard(self, n):
        with self.more:
            assert self.more.wait_for(lambda: len(self.heard) >= n, 20), self.heard

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_mqtt_to_the_brokers_tcp_port(gangway, broker, wss, authority, secure):
    route = {"/mqtt": broker}
    gw = gangway(route, config=wss, listen=()) if secure else gangway(route)
    ca = authority if secure else None
    messages = [
        (f"gangway/{size}", os.urandom(size), qos) for size in (0, 1, 1000, 300_000)
        for qos in (0, 1, 2)
    ]
    with MqttPeer(gw, "subscriber", ca) as subscriber, MqttPeer(gw, "publisher", ca) as publisher:
        subscriber.subscribe("gangway/#", 2)
        for topic, payload, qos in messages:
            publisher.client.publish(topic, payload, qos).wait_for_publish(20)
        subscriber.wait_heard(len(messages))
        assert sorted(subscriber.heard) == sorted(messages)
    assert subscriber.disconnected == publisher.disconnected == [0]
    opened = gw.wait_log("session-open")
    assert opened["subprotocol"] == "mqtt"
    gw.session_end()
    gw.session_end()


# ---- Telnet ---------------------------------------------------------------------

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
EIGHT_BIT = 0  # TRANSMIT-BINARY, RFC 856


class Telnet:
    """The client's side of RFC 854: what is text and what is a command."""

    def __init__(self, ws, keys):
        self.ws = ws
        self.keys = keys  # TEXT or BINARY: how keystrokes are sent
        self.screen = b""
        self.kinds = set()  # types of the messages that came
        self._pending = b""

    def type(self, text):
        self.ws.frame(self.keys, text.encode())

    def read(self):
        kind, data = self.ws.recv_message()
        self.kinds.add(kind)
        self._pending += data
        while self._pending:
            taken = self._take(self._pending)
            if not taken:
                return
            self._pending = self._pending[taken:]

    def _take(self, p):
        """Look at the beginning of p; how much of it is done."""
        if p[0] != IAC:
            end = p.find(IAC)
            text = p if end < 0 else p[:end]
            self.screen += text
            return len(text)
        if len(p) < 2:
            return 0
        if p[1] == IAC:
            self.screen += b"\xff"
            return 2
        if p[1] == SB:
            end = p.find(bytes([IAC, SE]))
            return end + 2 if end >= 0 else 0
        if p[1] not in (DO, DONT, WILL, WONT):
            return 2
        if len(p) < 3:
            return 0
        if p[1:3] == bytes([DO, EIGHT_BIT]):
            self.ws.binary(bytes([IAC, WILL, EIGHT_BIT, IAC, DO, EIGHT_BIT]))
        elif p[1] == DO:
            self.ws.binary(bytes([IAC, WONT, p[2]]))
        elif p[1] == WILL and p[2] != EIGHT_BIT:
            self.ws.binary(bytes([IAC, DONT, p[2]]))
        return 3

    def until(self, text):
        while text not in self.screen:
            self.read()
        before, _, self.screen = self.screen.partition(text)
        return before


@pytest.mark.parametrize("keys", [TEXT, BINARY], ids=["text", "binary"])
def test_telnet(gangway, keys, tmp_path):
    """A telnetd's commands are not text, whatever the keystrokes are."""
    login = tmp_path / "login"
    login.write_text(
        "#!/bin/sh\n"
        "stty -echo icrnl; printf 'who? '; read who\n"
        "printf 'hello %s\\n' \"$who\"\n"
        "printf '\\377 is one byte\\n'\n"
        "stty echo; printf 'bye? '; read key\n"  # it drops what is said last
    )
    login.chmod(0o755)
    with services.Telnetd(login) as server:
        gw = gangway(f"tcp://127.0.0.1:{server.port}")
        with RawWs(gw) as ws:
            telnet = Telnet(ws, keys)
            telnet.type("j")  # decides how the rest of the session comes
            telnet.until(b"who? ")
            telnet.type("ürgen 😀\r")
            telnet.until("hello jürgen 😀".encode())
            assert telnet.until(b" is one byte").endswith(b"\xff")
            telnet.until(b"bye? ")
            telnet.type("y")
            telnet.until(b"y")
            telnet.type("\r")
            _, (code, _) = ws.drain()
            assert code == 1000
            ws.send_close(1000)
            ws.closed()
        assert telnet.kinds == {BINARY, keys}  # 0xFF is no UTF-8


def test_terminal_in_text(gangway):
    """A line editor's echo, keystroke by keystroke, comes as text; what is not
    UTF-8 comes as binary, and then there is text again."""
    shell = "stty -onlcr; printf '> '; read x; printf '\\377'; read x; cat"
    with services.terminal(shell) as port:
        gw = gangway(f"tcp://127.0.0.1:{port}")
        with RawWs(gw) as ws:
            assert ws.recv_message() == (BINARY, b"> ")  # before any keystroke

            def expect(kind, data):
                got = b""
                while len(got) < len(data):
                    k, piece = ws.recv_message()
                    assert k == kind
                    got += piece
                assert got == data

            for key in "né😀":
                ws.text(key)
                expect(TEXT, key.encode())
            ws.text("\r")
            got = b""
            while not got.endswith(b"\xff"):
                kind, piece = ws.recv_message()
                assert kind == (BINARY if b"\xff" in piece else TEXT)
                got += piece
            assert got == b"\n\xff"
            ws.text("x\rhello\r")
            expect(TEXT, b"x\nhello\nhello\n")
            ws.text("\x04")  # the end of the input: cat leaves
            assert ws.recv_close() == (1000, b"")
            ws.send_close(1000)
            ws.closed()


# ---- side by side ---------------------------------------------------------------


@pytest.mark.timeout(120)
def test_many_services_in_one_process(gangway, sshd, redis, postgres, irc, broker, tmp_path):
    """Text and binary, lines and streams, fixed and chosen targets, at once."""
    gw = gangway(
        {
            "/ssh": f"tcp://127.0.0.1:{sshd.port}",
            "/redis": f"unix:{redis.path}",
            "/v1": "tcp://{query.address}",
            "/irc": irc.target,
            "/mqtt": broker,
        },
        args=["--allow-target", f"127.0.0.1:{postgres.port}", "--workers", "2"],
    )
    failures = []

    def ssh():
        original, there = tmp_path / "original", tmp_path / "there"
        original.write_bytes(os.urandom(8 << 20))
        run(
            services.program("scp"), "-q", *sshd.options,
            f"-oProxyCommand={wsproxy(gw, '/ssh')}", original, f"{sshd.login}:{there}",
        )
        assert digest(original) == digest(there)

    def redis_commands():
        for _ in range(20):
            with RawWs(gw, "/redis") as ws:
                ws.binary(b"".join(command("ECHO", i) for i in range(1000)) + command("QUIT"))
                said, (code, _) = ws.drain()
                assert said.endswith(b"$3\r\n999\r\n+OK\r\n") and code == 1000

    def database():
        done = run(
            "node", ROOT / "tests" / "browser" / "postgres.mjs", gw.url(""),
            f"127.0.0.1:{postgres.port}", postgres.user, postgres.password,
        )
        told = json.loads(done.stdout)
        assert told["row"]["sum"] == 42 and told["closes"] == [1000] * 5

    def chat():
        async def session():
            async with websockets.connect(gw.url("/irc"), subprotocols=["text.ircv3.net"]) as a:
                user = IrcUser(a)
                await user.register("dora")
                for i in range(20):
                    await user.say(f"PING :{i}")
                    await user.hear(rf" PONG \S+ :{i}$")

        asyncio.run(session())

    def topics():
        with MqttPeer(gw, "both") as peer:
            peer.subscribe("side/by/side", 1)
            for i in range(50):
                peer.client.publish("side/by/side", str(i), 1)
            peer.wait_heard(50)
            assert [int(p) for _, p, _ in peer.heard] == list(range(50))

    def tell(work):
        try:
            work()
        except Exception as e:  # pylint: disable=broad-except
            failures.append(f"{work.__name__}: {e!r}")

    threads = [
        threading.Thread(target=tell, args=(work,))
        for work in (ssh, redis_commands, database, chat, topics)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
        assert not thread.is_alive()
    assert not failures
