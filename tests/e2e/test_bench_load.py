# SPDX-License-Identifier: Apache-2.0
"""The benchmark's load generator: its figures are worth something only if it
notices every byte that goes wrong, and if they add up."""

import json
import os
import shlex
import socket
import subprocess
import threading

import pytest
from gangway import BINARY, ROOT, SANITIZER
from services import free_port

FLAVOURED = (BINARY.parent / "flags").exists()
OUT = BINARY.parent if FLAVOURED else ROOT / "build"
TOOLS = OUT / "bench"
QUICK = ("--warmup", "0.1", "--seconds", "0.3", "--settle", "0.1")
UNTIL_A_FAULT = ("--seconds", "20")  # which ends the window
SUBSCRIBE = b'{"op":"sub","id":1,"topic":"t"}'
PUBLISH = b'{"op":"pub","topic":"t","data":{"degrees":21.5}}'


@pytest.fixture(scope="module", autouse=True)
def tools():
    """Built as gangway was: with its sanitizer, if it has one."""
    build = OUT.parent if SANITIZER and FLAVOURED else OUT
    flavour = {"address": "address,undefined", "thread": "thread"}
    subprocess.run(
        ["make", "-s", "-C", ROOT, f"BUILD={build}",
         f"SAN={flavour.get(SANITIZER, '') if FLAVOURED else ''}",
         TOOLS / "load", TOOLS / "relay", TOOLS / "tls_relay"],
        check=True, stdout=subprocess.DEVNULL,
        env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")},
    )  # fmt: skip


def load(mode, url, *flags, exit_code=0, quick=QUICK):
    """A run's result. It prints one line, and its exit code says the same."""
    done = subprocess.run(
        [TOOLS / "load", mode, "--url", url, *quick, *map(str, flags)],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == exit_code, done.stdout + done.stderr
    assert done.stdout.count("\n") == 1, done.stdout
    result = json.loads(done.stdout)
    assert result["ok"] == (exit_code == 0), result
    assert ("error" in result) == (exit_code != 0), result
    return result


def measured(*args):
    """The same of a gateway that does right, checked. On a busy machine a
    short window may pass in which nobody gets the processor."""
    result = load(*args)
    if result["messages"] == 0:
        result = load(*args, quick=("--seconds", "5"))
    adds_up(result)
    return result


# ---- gateways that do wrong --------------------------------------------------


class Meddler:
    """A gateway for plain streams that does something to what it relays.

    change(direction, at, data) returns what takes the place of `data`, whose
    first byte is the stream's byte `at`; direction is "up" or "down".
    """

    def __init__(self, target, change=None, cross=False):
        self.target = target
        self.change = change or (lambda direction, at, data: data)
        self.cross = cross
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = [self.listener]
        self.waiting = None  # crossed: the client whose other is not there yet
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                client = self.listener.accept()[0]
                service = socket.create_connection(("127.0.0.1", self.target))
                self.sockets += [client, service]
                self.relay("up", client, service)
                if not self.cross:
                    self.relay("down", service, client)
                elif self.waiting:
                    self.relay("down", service, self.waiting[0])
                    self.relay("down", self.waiting[1], client)
                else:
                    self.waiting = (client, service)
        except OSError:
            pass

    def relay(self, direction, source, sink):
        def run():
            at = 0
            try:
                while data := source.recv(65536):
                    sink.sendall(self.change(direction, at, data))
                    at += len(data)
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        threading.Thread(target=run, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in self.sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()


FATEFUL = 20_003  # which byte it happens to


def edit(where, new):
    """A change of the one fateful byte, of one direction."""

    def change(direction, at, data):
        i = FATEFUL - at
        if direction == where and 0 <= i < len(data):
            return data[:i] + new(data[i : i + 1]) + data[i + 1 :]
        return data

    return change


FAULTS = {
    "changed": lambda byte: bytes([byte[0] ^ 1]),
    "dropped": lambda byte: b"",
    "doubled": lambda byte: byte + byte,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("mode", "direction"), [("echo", "up"), ("echo", "down"), ("up", "up"), ("down", "down")]
)
def test_one_wrong_byte_is_noticed(mode, direction, fault):
    backend = free_port()
    with Meddler(backend, edit(direction, FAULTS[fault])) as gateway:
        result = load(
            mode, f"tcp://127.0.0.1:{gateway.port}", "--backend", backend,
            "--size", "1k", "--window", 4, quick=UNTIL_A_FAULT, exit_code=1,
        )  # fmt: skip
    assert result["corrupted"] >= 1, result
    assert "near" in result["error"]


@pytest.mark.parametrize("mode", ["up", "down"])
def test_a_wrong_byte_within_frames(gangway, mode):
    """The same behind the frames of WebSocket: payload, not their headers."""
    backend = free_port()
    g = gangway(f"tcp://127.0.0.1:{backend}")
    with Meddler(g.place.port, edit(mode, FAULTS["changed"])) as gateway:
        result = load(
            mode, f"ws://127.0.0.1:{gateway.port}/", "--backend", backend,
            "--size", "64k", quick=UNTIL_A_FAULT, exit_code=1,
        )  # fmt: skip
    assert result["corrupted"] >= 1, result


def test_the_end_of_a_stream_is_missed():
    """What is kept back does not come too late to be noticed."""

    def change(direction, at, data):
        return data if at < FATEFUL else b""

    backend = free_port()
    with Meddler(backend, change) as gateway:
        url = f"tcp://127.0.0.1:{gateway.port}"
        result = load("up", url, "--backend", backend, exit_code=1)
    assert result["lost_bytes"] > 0 and result["corrupted"] == 0, result
    assert "have not come" in result["error"]


def test_bytes_of_another_session():
    backend = free_port()
    with Meddler(backend, cross=True) as gateway:
        url = f"tcp://127.0.0.1:{gateway.port}"
        result = load(
            "echo", url, "--backend", backend, "--sessions", 2,
            quick=UNTIL_A_FAULT, exit_code=1,
        )  # fmt: skip
    assert result["corrupted"] == 2, result


ANSWERS = {
    "hangs up": (b"", "closed"),
    "refuses": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "not 101"),
    "does not know the key": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        "Sec-WebSocket-Accept",
    ),
}


@pytest.mark.parametrize("how", ANSWERS)
def test_a_gateway_that_does_not_upgrade(how):
    answer, words = ANSWERS[how]
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            client = listener.accept()[0]
            client.recv(4096)
            client.sendall(answer)
            client.close()

        threading.Thread(target=serve, daemon=True).start()
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        result = load("echo", url, exit_code=1)
    assert result["refused"] == 1 and words in result["error"], result


def test_nobody_listens():
    result = load("connect", f"ws://127.0.0.1:{free_port()}/", exit_code=1)
    assert result["refused"] >= 1 and "Connection refused" in result["error"], result
    assert result["messages"] == 0


def test_the_gateway_ends_meanwhile(gangway):
    backend = free_port()
    g = gangway(f"tcp://127.0.0.1:{backend}")
    stopper = threading.Timer(0.5, g.stop)
    stopper.start()
    result = load(
        "echo", g.url(), "--backend", backend, "--pid", g.pid,
        quick=UNTIL_A_FAULT, exit_code=1,
    )  # fmt: skip
    stopper.join()
    assert result["broken"] >= 1 and result["seconds"] < 20, result


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "mode"),
        ("fly --url ws://127.0.0.1:1/", "no such mode"),
        ("echo", "--url"),
        ("echo --url ws://192.0.2.1:80/", "loopback"),
        ("echo --url ws://[2001:db8::1]:80/", "loopback"),
        ("echo --url ws://example.org:80/", "loopback"),
        ("echo --url ws://127.0.0.1/", "port"),
        ("echo --url http://127.0.0.1:1/", "ws://"),
        ("echo --url ws://127.0.0.1:1/ --size 0", "--size"),
        ("echo --url ws://127.0.0.1:1/ --size 12q", "--size"),
        ("echo --url ws://127.0.0.1:1/ --sessions 1.5", "--sessions"),
        ("echo --url ws://127.0.0.1:1/ --seconds nan", "--seconds"),
        ("echo --url ws://127.0.0.1:1/ --size", "missing"),
        ("echo --url ws://127.0.0.1:1/ --loud", "no such flag"),
        ("up --url ws://127.0.0.1:1/", "--backend"),
        ("echo --url ws://127.0.0.1:1/ --mqtt", "--mqtt"),
        ("echo --url ws://127.0.0.1:1/ --resume", "--resume"),
        ("fanout --url ws://127.0.0.1:1/", "--message"),
        ("fanout --url ws://127.0.0.1:1/ --message 0g", "hexadecimal"),
        ("fanout --url tcp://127.0.0.1:1 --message 00", "--packets"),
    ],
)
def test_wrong_usage(command, words):
    done = subprocess.run(
        [TOOLS / "load", *shlex.split(command)],
        capture_output=True, text=True, timeout=10, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and not done.stdout
    assert words in done.stderr and done.stderr.count("\n") == 1, done.stderr


# ---- figures that add up -----------------------------------------------------


def adds_up(result):
    """What must be true of every measured window."""
    seconds, messages, size = (result[k] for k in ("seconds", "messages", "bytes"))
    assert 0.3 <= seconds < 20 and messages > 0, result
    assert result["messages_per_s"] == pytest.approx(messages / seconds, rel=0.01)
    assert result["mb_per_s"] == pytest.approx(size / 1e6 / seconds, rel=0.01, abs=0.001)
    assert 0 < result["cpu_s"] < seconds * os.cpu_count() * 1.1, result
    per_message = result["cpu_s"] * 1e6 / messages
    assert result["cpu_us_per_message"] == pytest.approx(per_message, rel=0.01, abs=0.001)
    assert result["own_cpu_s"] > 0
    nothing = ("lost_bytes", "refused", "corrupted", "broken")
    assert all(result[k] == 0 for k in nothing), result
    assert result["hwm_kib"] > 500


@pytest.fixture(scope="module")
def route(shared_gateways):
    """A scheme -> (URL, flags) of something that leads to the same backend."""
    return shared_gateways


@pytest.fixture(scope="module")
def shared_gateways(shared_gangway, server_pair):
    port = free_port()
    tls = ["--cert", server_pair.certificate, "--key", server_pair.key]
    g = shared_gangway(
        {
            "/packets": f"mqtt://127.0.0.1:{port}",
            "/topics": "local:",
            "/echo": "echo:",
            "/...": f"tcp://127.0.0.1:{port}",
        },
        listen=("ws://127.0.0.1:0", "wss://127.0.0.1:0"),
        args=["--workers", "1", *tls],
    )
    flags = ("--backend", port, "--pid", g.pid)
    return {p.scheme: (p.url().rstrip("/"), flags) for p in g.places}


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("mode", ["echo", "up", "down", "connect"])
def test_modes_that_count_messages(route, mode, scheme):
    url, flags = route[scheme]
    result = measured(mode, f"{url}/", *flags, "--size", "2k", "--sessions", 3)
    assert result["bytes"] // 2048 == pytest.approx(result["messages"], abs=1)
    assert ("tls" in result) == (scheme == "wss")
    if mode in ("echo", "connect"):
        assert 0 < result["p50_us"] <= result["p99_us"] <= result["p999_us"]
    assert (mode == "down") == ("frame_avg" in result)


def test_tls_sessions_are_resumed(route):
    """A ticket serves once; how many there are is the gateway's affair."""
    url, flags = route["wss"]
    result = measured("connect", f"{url}/", *flags, "--resume")
    assert result["resumed"] > 0, result


def test_no_backend(route):
    """The gateway answers by itself; text is text."""
    url, flags = route["ws"]
    measured("echo", f"{url}/echo", *flags[2:], "--text", "--window", 5)


@pytest.mark.parametrize("path", ["/", "/packets"])
@pytest.mark.parametrize("mode", ["up", "down"])
def test_mqtt_packets(route, mode, path):
    """Through a bridge that knows nothing of MQTT, and one that reads it."""
    url, flags = route["ws"]
    result = measured(
        mode, url + path, *flags, "--mqtt", "--topics", 3, "--subprotocol", "mqtt",
        "--sessions", 2,
    )  # fmt: skip
    packet = 2 + 2 + len("bench/000") + 64
    assert result["bytes"] // packet == pytest.approx(result["messages"], abs=1)


@pytest.mark.slow
def test_idle(route):
    url, flags = route["ws"]
    result = load("idle", f"{url}/", *flags, "--sessions", 500)
    opened = (result["pss_kib_open"] - result["pss_kib_before"]) / 500
    assert result["pss_kib_per_session"] == pytest.approx(opened, abs=0.001)
    assert result["idle_cpu_ms_per_s"] < 500
    assert result["pss_kib_after"] > 0


def test_tail(route):
    url, flags = route["ws"]
    result = load("tail", f"{url}/", *flags)
    for phase in ("quiet", "bulk", "handshakes"):
        assert 0 < result[f"{phase}_p50_us"] <= result[f"{phase}_p99_us"]
    assert result["bulk_mb_per_s"] > 0 and result["handshakes_per_s"] > 0


def test_fanout(route):
    url, flags = route["ws"]
    result = measured(
        "fanout", f"{url}/topics", *flags[2:], "--subprotocol", "gangway.v1.json",
        "--text", "--first", SUBSCRIBE.hex(), "--ready", 2, "--message", PUBLISH.hex(),
        "--sessions", 20, "--window", 3,
    )  # fmt: skip
    # At the window's edges some have the message, others not yet.
    assert abs(result["deliveries"] - 20 * result["messages"]) <= 20 * 3
    each = result["cpu_s"] * 1e6 / result["deliveries"]
    assert result["cpu_us_per_delivery"] == pytest.approx(each, rel=0.01)


def test_children_are_charged():
    """A floor, and a gateway that is not the process named but its child."""
    port, backend = free_port(), free_port()
    command = f"{shlex.quote(str(TOOLS / 'relay'))} {port} {backend} & echo; wait"
    shell = subprocess.Popen(["/bin/sh", "-c", command], stdout=subprocess.PIPE)
    try:
        shell.stdout.readline()
        wait_for(port)
        url = f"tcp://127.0.0.1:{port}"
        result = measured("echo", url, "--backend", backend, "--pid", shell.pid)
        assert result["cpu_us_per_message"] > 0.5
    finally:
        children = f"/proc/{shell.pid}/task/{shell.pid}/children"
        with open(children, encoding="ascii") as f:
            for child in f.read().split():
                os.kill(int(child), 15)
        shell.wait(5)
        shell.stdout.close()


def test_the_floor_with_tls(server_pair):
    port, backend = free_port(), free_port()
    files = [server_pair.certificate, server_pair.key]
    relay = subprocess.Popen([TOOLS / "tls_relay", str(port), str(backend), *files])
    try:
        wait_for(port)
        url = f"tls://127.0.0.1:{port}"
        flags = ("--backend", backend, "--pid", relay.pid)
        measured("up", url, *flags)
        measured("down", url, *flags)
        result = measured("connect", url, *flags, "--resume")
        assert result["resumed"] == pytest.approx(result["messages"], rel=0.2, abs=5)
    finally:
        relay.terminate()
        relay.wait(5)


def wait_for(port):
    """Until somebody listens there; the connection made to see is a visitor
    like any other."""
    for _ in range(500):
        with socket.socket() as sock:
            sock.settimeout(5)
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        threading.Event().wait(0.01)
    raise AssertionError(f"nobody listens on {port}")
