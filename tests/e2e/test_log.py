# SPDX-License-Identifier: Apache-2.0
"""What is logged, what never is, and a log that nobody reads."""

import fcntl
import json
import os
import re
import resource
import signal
import subprocess
import threading
import time
from collections import Counter

import pytest
from gangway import (
    BINARY,
    SANITIZER,
    SANITIZER_ENV,
    START_S,
    STOP_S,
    Place,
    until_signals_are_handled,
)
from ops import PATIENCE_S, fetch, http, metrics
from rawws import BINARY as BIN
from rawws import TEXT, RawWs, Wire, ask, dial, request
from services import free_port

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def lines_of(gw, event):
    return [line for line in gw.log if line.event == event]


# ---- sessions ---------------------------------------------------------------------


def test_one_line_when_it_opens_and_one_when_it_ends(gangway, echo_server):
    gw = gangway({"/a": "echo:", "/b": echo_server.url})
    sessions = [RawWs(gw, path) for path in ("/a", "/b") * 5]
    for i, ws in enumerate(sessions):
        ws.binary(b"x" * (i + 1))
        assert len(ws.recv_bytes(i + 1)) == i + 1
        if i % 3 == 0:
            ws.close_normally()
            ws.close()
        elif i % 3 == 1:
            ws.close()
        else:
            ws.reset()
    for _ in sessions:
        gw.session_end()
    opened = Counter(line["sid"] for line in lines_of(gw, "session-open"))
    ended = Counter(line["sid"] for line in lines_of(gw, "session-end"))
    assert len(opened) == len(sessions) and set(opened.values()) == {1}
    assert opened == ended
    # In this order, each.
    for sid in opened:
        mine = [line.event for line in gw.log if line.get("sid") == sid]
        assert mine[0] == "session-open" and mine[-1] == "session-end"


def test_what_the_lines_say(gangway, backend):
    gw = gangway({"h.example/v/{x}": backend.url})
    with RawWs(gw, "/v/1?q", Host="h.example:99", subprotocols=["a", "b"]) as ws:
        port = ws.sock.getsockname()[1]
        with backend.accept() as peer:
            ws.binary(b"12345")
            ws.text("678")
            assert peer.exactly(8) == b"12345678"
            peer.send(b"abcd")
            assert ws.recv_bytes(4) == b"abcd"
            time.sleep(0.05)
            ws.send_close(4001, b"why")
            peer.until_eof()
            peer.close()
            assert ws.recv_close()[0] == 4001
    opened = gw.wait_log("session-open")
    assert opened.severity == "info" and TIME.match(opened.line)
    expected = {
        "client": "127.0.0.1", "port": str(port), "route": "h.example/v/{x}", "host": "h.example:99",
        "path": "/v/1", "bridge": "stream", "subprotocol": "a",
    }  # fmt: skip
    assert {k: opened.get(k) for k in expected} == expected
    assert "tls" not in opened and opened["ms"].isdigit()
    ended = gw.session_end()
    expected = {
        "sid": opened["sid"], "client": "127.0.0.1", "route": "h.example/v/{x}",
        "reason": "client_close", "code": "4001", "by": "client", "bytes_in": "8",
        "bytes_out": "4", "messages_in": "2", "frames_out": "1",
    }  # fmt: skip
    assert {k: ended.get(k) for k in expected} == expected
    assert int(ended["ms"]) >= 50


def test_over_unix_and_ipv6(gangway, tmp_path):
    path = str(tmp_path / "s")
    gw = gangway("echo:", listen=[f"unix:{path}", "ws://[::1]:0"])
    with RawWs(Place("unix", path=path)) as ws:
        ws.close_normally()
    assert gw.wait_log("session-open")["client"] == "unix"
    with RawWs(gw.places[-1]) as ws:
        ws.close_normally()
    assert gw.wait_log("session-open")["client"] == "::1"


def test_ipv4_through_a_dual_listener(gangway):
    """A mapped address is shown, and judged, as what it is."""
    gw = gangway("echo:", listen=["ws://:0"])
    with RawWs(("127.0.0.1", gw.place.port)) as ws:
        ws.close_normally()
    assert gw.wait_log("session-open")["client"] == "127.0.0.1"


def test_one_line_when_it_is_refused(gangway):
    gw = gangway({"/a": "echo:", "/dead": "tcp://127.0.0.1:1"}, args=["--origin", "https://o.example"])
    for data, status in (
        (request("/b"), 404),
        (request("/a", Origin="https://evil.example"), 403),
        (request("/dead"), 502),
        (request("/a", drop=["Sec-WebSocket-Key"]), 400),
        (b"nonsense\r\n\r\n", 400),
        (request("/" + "x" * 5000), 414),
    ):
        assert ask(gw.place, data).status == status
        gw.until(lambda: refused(gw, status), what=f"the line about {status}")
    gw.stop()
    lines = [line for line in gw.log if "status" in line]
    assert [line["status"] for line in lines] == ["404", "403", "502", "400", "400", "414"]
    for line in lines:
        assert line.event in ("request-refused", "session-refused")
        assert line["client"] == "127.0.0.1" and line["why"]


def refused(gw, status):
    return any(line.get("status") == str(status) for line in gw.log)


def test_levels(gangway):
    gw = gangway("echo:", settings={"log.level": "warn"}, args=["--admin", "127.0.0.1:0"])
    with RawWs(gw) as ws:
        ws.close_normally()
    assert ask(gw.place, request("/x", Sec_WebSocket_Version="1")).status == 426
    metrics(gw)
    assert gw.text() == ""


def test_debug_tells_where_a_session_was_led(gangway, echo_server):
    gw = gangway(f"tcp://localhost:{echo_server.port}", args=["-v"])
    with RawWs(gw) as ws:
        ws.close_normally()
    line = gw.wait_log("backend-connected")
    assert line.severity == "debug"
    assert line["to"] == f"127.0.0.1:{echo_server.port}"
    assert line["sid"] == gw.wait_log("session-open")["sid"]
    gw = gangway(echo_server.url)
    with RawWs(gw) as ws:
        ws.close_normally()
    gw.session_end()
    assert not lines_of(gw, "backend-connected")


# ---- JSON ---------------------------------------------------------------------------


def test_json_lines(gangway, backend):
    gw = gangway(
        {"/ok": "echo:", "/back": backend.url, "/dead": "tcp://127.0.0.1:1"},
        args=["--log-format", "json", "--admin", "127.0.0.1:0"],
    )
    odd = "/ok\"quoted'u0000{}&<>^`|"
    with RawWs(gw, "/ok") as ws:
        ws.text("hello")
        ws.recv_message()
        ws.close_normally(4000)
    with RawWs(gw, "/ok") as ws:
        ws.frame(3, b"")
        ws.recv_close()
    for data in (request("/dead"), request(odd), b"\x01\x02\x1b[31m\r\n\r\n", request("/" + "y" * 3000)):
        ask(gw.place, data)
    fetch(gw.place, "/plain")
    gw.signal(signal.SIGHUP)
    gw.until(lambda: '"reloaded"' in gw.text())
    gw.stop()
    found = []
    for line in gw.log:
        entry = json.loads(line.line)
        assert isinstance(entry, dict)
        assert list(entry)[:3] == ["time", "level", "event"]
        assert TIME.fullmatch(entry["time"])
        assert entry["level"] in ("error", "warn", "info", "debug")
        for key in ("bytes_in", "bytes_out", "code", "ms", "port"):
            assert isinstance(entry.get(key, 0), int), entry
        found.append(entry)
    events = {entry["event"] for entry in found}
    assert {"listening", "session-open", "session-end", "session-refused", "request-refused",
            "client-fault", "reloaded", "draining", "stopped"} <= events  # fmt: skip
    assert odd in [entry.get("path") for entry in found]
    ends = [e for e in found if e["event"] == "session-end" and e["code"] == 4000]
    assert len(ends) == 1 and ends[0]["bytes_in"] == 5


def test_a_line_cannot_be_forged(gangway):
    """Nothing that a client sends ends a line, or drives a terminal."""
    gw = gangway("echo:", args=["--log-format", "json"])
    for bad in ("\r\nx info session-end", "\x1b]0;title\x07", "\x9b31m", "\u202egnp.exe", "\x00"):
        raw = bad.encode("utf-8", "surrogateescape")
        for data in (
            b"GET /" + raw + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: " + raw + b"\r\n\r\n",
            request("/", Sec_WebSocket_Protocol=raw.decode("latin-1")),
            request("/", Origin=raw.decode("latin-1")),
        ):
            with Wire(dial(gw.place)) as wire:
                wire.send(data)
                wire.take_line()
    gw.stop()
    for line in gw.log:
        json.loads(line.line)
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e]", line.line)


def test_long_values_are_cut(gangway):
    gw = gangway("echo:", settings={"limits.uri_bytes": "6KiB"})
    gw2 = gangway({"/only": "echo:"}, settings={"limits.uri_bytes": "6KiB"})
    with RawWs(gw, "/" + "p" * 5000) as ws:
        ws.close_normally()
    ask(gw2.place, request("/" + "p" * 5000))
    for line in (gw.wait_log("session-open"), gw2.wait_log("request-refused")):
        assert line["path"].endswith("...") and 900 < len(line["path"]) < 1100
        assert len(line.line) < 8192


# ---- secrets ---------------------------------------------------------------------------

SECRET = "S3CR3T-t0ken"


def test_secrets_are_never_logged(gangway, echo_server, backend):
    """Queries, credentials, cookies, payloads and reasons: at no level, on no
    path, of good requests and bad ones."""
    gw = gangway(
        {
            "/echo": "echo:",
            "/stream": echo_server.url,
            "/dyn": "tcp://{query.address}",
            "/dead": "tcp://127.0.0.1:1",
            "/sub": "echo:",
        },
        settings={"log.level": "debug"},
        args=["--allow-target", "10.0.0.0/8:1", "--web", "."],
    )
    secrets = [
        ("Authorization", f"Bearer {SECRET}"),
        ("Cookie", f"session={SECRET}"),
        ("X-Api-Key", SECRET),
        ("Sec-WebSocket-Protocol", f"chat, bearer.{SECRET}"),
        ("Referer", f"https://x/?{SECRET}"),
        ("User-Agent", SECRET),
    ]
    for path in ("/echo", "/stream"):
        with RawWs(gw, f"{path}?token={SECRET}", Authorization=f"Bearer {SECRET}") as ws:
            ws.text(SECRET)
            assert ws.recv_message()[1] == SECRET.encode()
            ws.send_close(4000, SECRET.encode())
            ws.recv_close()
        with RawWs(gw, path) as ws:
            ws.text(SECRET.encode() + b"\xff")
            ws.drain()
    for path in ("/echo", "/none", "/dead", "/dyn", f"/dyn?address={SECRET}:1", "/plain"):
        both = "&" if "?" in path else "?"
        ask(gw.place, request(f"{path}{both}token={SECRET}", extra=secrets))
        fetch(gw.place, f"{path}{both}token={SECRET}", *secrets)
    ask(gw.place, request(f"/echo?{SECRET}", Sec_WebSocket_Version="1"))
    ask(gw.place, request(f"/echo?{SECRET}" + "x" * 9000))
    ask(gw.place, b"GET /echo?" + SECRET.encode() + b" HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    ask(gw.place, b"POST /echo?" + SECRET.encode() + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    gw.stop()
    assert len(gw.log) > 15
    assert SECRET not in gw.text()


def test_secrets_of_targets_are_not_told(tmp_path):
    for target in (f"tcp://user:{SECRET}@h:1", f"nonsense://u:{SECRET}@h", f"tcp://h:1?cert=x&{SECRET}=1"):
        done = subprocess.run(
            [BINARY, "--check", "--listen", "ws://:1", "--route", f"/={target}"],
            capture_output=True, text=True, env={**os.environ, **SANITIZER_ENV}, check=False,
        )  # fmt: skip
        assert done.returncode in (64, 78), target
        if "?" not in target:
            assert SECRET not in done.stderr, done.stderr


# ---- a log that is stuck, full or not there ------------------------------------------------


class Bare:
    """gangway with a stderr of the test's choice; nobody reads it here."""

    def __init__(self, *args, stderr, cwd, env=None, before=None):
        self.process = subprocess.Popen(
            [str(BINARY), "--listen", "ws://127.0.0.1:0", "--admin", "127.0.0.1:0", *map(str, args)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=cwd,
            env={**os.environ, **SANITIZER_ENV, **(env or {})}, preexec_fn=before,
        )  # fmt: skip
        self.pid = self.process.pid
        self.place = self.admin = None
        timer = threading.Timer(START_S, self.process.kill)
        timer.start()
        for line in self.process.stdout:
            line = line.strip()
            if line.startswith("listening on "):
                self.place = Place.parse(line.removeprefix("listening on "))
            elif line.startswith("admin on "):
                self.admin = Place.parse(line.removeprefix("admin on "))
            elif line == "ready":
                break
        timer.cancel()
        assert self.place and self.admin, "gangway did not start"

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(STOP_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


@pytest.fixture
def pipe():
    """A small pipe: (reading end, writing end)."""
    r, w = os.pipe()
    fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)
    yield r, w
    os.close(r)
    os.close(w)


def fill_the_log(gw, n=1400):
    """More than a MiB of lines, each of them for a request that is answered."""
    data = http("GET", "/" + "z" * 1500, host="h" * 200)
    began = time.monotonic()
    for _ in range(n):
        assert ask(gw.place, data).status == 404
    return time.monotonic() - began


def works(gw, rounds=20):
    with RawWs(gw) as ws:
        for _ in range(rounds):
            ws.text("x")
            assert ws.recv_message() == (TEXT, b"x")
        ws.close_normally()


def test_stuck_stderr_blocks_nothing(pipe, tmp_path):
    (tmp_path / "empty").mkdir()
    with Bare("--route", "/=echo:", "--web", "empty", stderr=pipe[1], cwd=tmp_path) as gw:
        with RawWs(gw) as session:
            took = fill_the_log(gw)
            assert took < (60 if SANITIZER else 20)
            session.binary(b"still here")
            assert session.recv_message() == (BIN, b"still here")
            works(gw)
            dropped = metrics(gw)["gangway_log_dropped_total"]
            assert dropped > 0
            assert fetch(gw.admin, "/healthz").status == 200
            fill_the_log(gw, 50)
            assert metrics(gw)["gangway_log_dropped_total"] >= dropped + 50
        began = time.monotonic()
        assert gw.stop() == 0
        assert time.monotonic() - began < (10 if SANITIZER else 5)


def test_stderr_that_was_stuck_for_a_while(pipe, tmp_path):
    """Whole lines come out, and one that tells how many are missing."""
    (tmp_path / "empty").mkdir()
    got = bytearray()
    with Bare("--route", "/=echo:", "--web", "empty", stderr=pipe[1], cwd=tmp_path) as gw:
        fill_the_log(gw)
        os.set_blocking(pipe[0], False)
        end = time.monotonic() + 20
        while b"log-dropped" not in got and time.monotonic() < end:
            read_some(pipe[0], got)
        works(gw)
        while got.count(b"session-end") < 1 and time.monotonic() < end:
            read_some(pipe[0], got)
        told = metrics(gw)["gangway_log_dropped_total"]
        assert gw.stop() == 0
        read_some(pipe[0], got)
    lines = got.decode().splitlines()
    assert all(TIME.match(line) for line in lines), lines[:3]
    counts = [int(re.search(r"count=(\d+)", line)[1]) for line in lines if " log-dropped " in line]
    assert sum(counts) == told
    assert sum(" request-refused " in line for line in lines) + told == 1400


def read_some(fd, into):
    try:
        while part := os.read(fd, 65536):
            into += part
    except BlockingIOError:
        time.sleep(0.005)


@pytest.mark.parametrize("how", ["full", "broken pipe", "closed"])
def test_stderr_that_is_no_use(tmp_path, how):
    """A full disk, a reader that is gone, none at all: nobody notices."""
    before = None
    if how == "full":
        stderr = open("/dev/full", "wb")
    else:
        r, w = os.pipe()
        os.close(r)
        stderr = open(w, "wb")
        if how == "closed":
            before = lambda: os.close(2)
    with stderr, Bare("--route", "/=echo:", stderr=stderr, cwd=tmp_path, before=before) as gw:
        for _ in range(5):
            works(gw)
        end = time.monotonic() + PATIENCE_S
        while how != "closed" and metrics(gw)["gangway_log_dropped_total"] < 10:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert gw.stop() == 0


def test_no_descriptor_is_taken_for_a_log(tmp_path):
    """Started with 0, 1 and 2 closed, as by a careless parent: no socket or
    file gets their numbers and with them what is meant for a log."""
    port = free_port()

    def close_all():
        for fd in range(3):
            os.close(fd)

    process = subprocess.Popen(
        [str(BINARY), "--listen", f"ws://127.0.0.1:{port}", "--route", "/=echo:"],
        cwd=tmp_path, env={**os.environ, **SANITIZER_ENV}, preexec_fn=close_all,
    )  # fmt: skip
    try:
        end = time.monotonic() + START_S
        place = Place("ws", "127.0.0.1", port)
        while True:
            try:
                with RawWs(place) as ws:
                    ws.text("x")
                    assert ws.recv_message() == (TEXT, b"x")
                    ws.close_normally()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, "it does not start"
                assert time.monotonic() < end
                time.sleep(0.02)
        for fd in range(3):
            assert os.readlink(f"/proc/{process.pid}/fd/{fd}") == "/dev/null"
        until_signals_are_handled(process.pid)
    finally:
        process.terminate()
        assert process.wait(STOP_S) == 0


def test_the_journal_gets_priorities(pipe, tmp_path):
    """As systemd sets it up: no time, but a level in front."""
    st = os.fstat(pipe[1])
    env = {"JOURNAL_STREAM": f"{st.st_dev}:{st.st_ino}"}
    got = bytearray()
    with Bare("--route", "/=echo:", stderr=pipe[1], cwd=tmp_path, env=env) as gw:
        works(gw)
        assert gw.stop() == 0
    os.set_blocking(pipe[0], False)
    read_some(pipe[0], got)
    lines = got.decode().splitlines()
    assert any(line.startswith("<6>info session-end ") for line in lines), lines
    assert all(re.match(r"<[3-7]>\w+ ", line) for line in lines)


def test_no_descriptors_are_told_once(gangway):
    """Who cannot be accepted waits; the log is not filled with it, no processor
    is spent on it, and it goes on as soon as there are some again."""
    gw = gangway("echo:", settings={"workers": 1})
    with RawWs(gw) as inside:
        before = resource.prlimit(gw.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(gw.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        waiting = [Wire(dial(gw.place)) for _ in range(5)]
        for wire in waiting:
            wire.send(request())
        gw.wait_log("accept-paused", why=re.compile("open files"))
        spent = gw.cpu_s()
        inside.text("x")
        assert inside.recv_message() == (TEXT, b"x")
        waiting[0].expect_nothing(0.5)
        assert gw.cpu_s() - spent < 0.1
        resource.prlimit(gw.pid, resource.RLIMIT_NOFILE, before)
        for wire in waiting:
            assert wire.answer().status == 101
            wire.close()
    assert len(lines_of(gw, "accept-paused")) == 1
