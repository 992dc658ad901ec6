# SPDX-License-Identifier: Apache-2.0
"""`make run`: it starts from nothing, tells where it is, works in browsers, with
a broker and without, and leaves nothing behind."""

import fcntl
import http.client
import json
import os
import pathlib
import pty
import pwd
import re
import shutil
import signal
import socket
import subprocess
import termios
import threading
import time

import gangway as harness
import pytest
import services
from browser import Browser
from gangway import BINARY, ROOT, LogLine, Place
from rawws import RawWs, ask, request
from topics import Topics

READY_S = 60
STOP_S = 20
SANITIZED = {"address": "address,undefined", "thread": "thread"}


def children(pid):
    """All processes that descend from pid, by their ids."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *children(child)]
    return found


def alive(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


class MakeRun:
    """`make run` in a terminal of its own."""

    def __init__(self, port=0, directory=ROOT, build=None, san="", broker="mosquitto",
                 seconds=READY_S, **popen):
        self.text = ""
        self._more = threading.Condition()
        master, slave = pty.openpty()
        self.master = master
        self.process = subprocess.Popen(
            ["make", "-s", "run", f"PORT={port}", f"BUILD={build or 'build'}", f"SAN={san}",
             f"BROKER={broker}"],
            cwd=directory,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            # A session of its own whose terminal this is, so that what is
            # typed there as Ctrl-C is one.
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={k: v for k, v in {**os.environ, **harness.SANITIZER_ENV}.items()
                 if not k.startswith(("MAKE", "MFLAGS"))},
            **popen,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.wait_text("The log follows", seconds)
            self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)/\s", self.text)[1])
            self.admin = re.search(r"(http://\S+)/metrics", self.text)[1]
            self.pids = children(self.process.pid)
        except BaseException:
            self.kill()
            raise

    def _read(self):
        try:
            while data := os.read(self.master, 65536):
                with self._more:
                    self.text += data.decode(errors="replace").replace("\r\n", "\n")
                    self._more.notify_all()
        except OSError:
            pass  # nobody has the terminal open any more
        with self._more:
            self._more.notify_all()

    def wait_text(self, text, seconds=20):
        with self._more:
            found = self._more.wait_for(
                lambda: text in self.text or not self._reader.is_alive(), seconds
            )
        assert found and text in self.text, f"no {text!r} in\n{self.text}"

    @property
    def place(self):
        return Place("ws", "127.0.0.1", self.port)

    def get(self, path):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        client.request("GET", path)
        answer = client.getresponse()
        body = answer.read()
        client.close()
        return answer, body

    def stop(self, key=b"\x03"):
        """Ctrl-C. Everything that it started is gone then."""
        if key:
            os.write(self.master, key)
        self.process.wait(STOP_S)
        end = time.monotonic() + STOP_S
        while left := [pid for pid in self.pids if alive(pid)]:
            assert time.monotonic() < end, f"still there: {left}\n{self.text}"
            time.sleep(0.02)
        self._reader.join(STOP_S)
        with socket.socket() as sock:
            assert sock.connect_ex(("127.0.0.1", self.port)) != 0

    def kill(self):
        for pid in [*getattr(self, "pids", []), self.process.pid]:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(STOP_S)
        os.close(self.master)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def make_run(**options):
    if harness.SANITIZER:
        options.setdefault("san", SANITIZED[harness.SANITIZER])
        options.setdefault("build", BINARY.parent.parent)
    return MakeRun(**{"build": BINARY.parent, **options})


@pytest.fixture(scope="module")
def demo():
    with make_run() as run:
        yield run
        run.stop()


# ---- what is served ---------------------------------------------------------------


def test_the_page_and_all_that_it_needs(demo):
    answer, body = demo.get("/")
    assert answer.status == 200
    assert answer.getheader("content-type") == "text/html; charset=utf-8"
    page = body.decode()
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page), "it loads from elsewhere"
    files = re.findall(r'(?:src|href)="([\w./]+)"', page)
    assert set(files) == {"demo.css", "demo.mjs", "topics.mjs", "client/gangway.mjs"}
    files.append("slow.mjs")  # a thread of topics.mjs
    for name in files:
        more = re.findall(r'from "\./([\w./]+)"', demo.get(f"/{name}")[1].decode())
        files += set(more) - set(files)
    for name in files:
        answer, _ = demo.get(f"/{name}")
        assert answer.status == 200, name
        assert answer.getheader("content-type").startswith("text/"), name
    for name in ("demo.yaml", "run.py", "../demo.yaml"):
        assert demo.get(f"/{name}")[0].status == 404


def test_the_service_by_bytes_and_by_lines(demo):
    with RawWs(demo.place, "/lines") as ws:
        assert ws.recv_message()[1].startswith(b"This is a TCP service at 127.0.0.1:")
        assert ws.recv_message() == (1, b"Try: help")
        ws.text("say grüß")
        assert ws.recv_message()[1].endswith(": grüß".encode())
        ws.text("anything else")
        assert ws.recv_message() == (1, b"You said: anything else")
        ws.text("quit")
        assert ws.drain() == (b"Good bye.", (1000, b""))
        ws.send_close(1000)
        ws.closed()
    with RawWs(demo.place, "/tcp") as ws:
        ws.text("bytes 300\n")
        ws.text("flood 1\n")
        data = b""
        while len(data.partition(b"help\n")[2]) < 300 + (1 << 20):
            data += ws.recv_message()[1]
        assert data.partition(b"help\n")[2][300:] == bytes(range(256)) * 4096
        ws.text("crash\n")
        assert ws.drain()[1][0] == 1011
        ws.send_close(1011)
        ws.closed()


def test_what_is_refused(demo):
    assert ask(demo.place, request("/refused")).status == 502
    assert ask(demo.place, request("/nowhere")).status == 404
    foreign = request("/echo", Origin="https://elsewhere.example")
    assert ask(demo.place, foreign).status == 403
    own = request("/refused", Origin=f"http://localhost:{demo.port}")
    assert ask(demo.place, own).status == 502


def test_the_log_comes_through_gangway(demo):
    with RawWs(demo.place, "/log") as log:
        with RawWs(demo.place, "/echo") as ws:
            ws.send_close(4001)
            assert ws.recv_close()[0] == 4001
        while True:
            line = LogLine(log.recv_message()[1].decode())
            if line.event == "session-end" and line.get("code") == "4001":
                break
        log.close_normally()
    demo.wait_text(line.line)  # and in the terminal


def mosquitto_of(run):
    """Its process id, or None."""
    for pid in run.pids:
        name = pathlib.Path(f"/proc/{pid}/comm")
        if name.exists() and name.read_text().strip() == "mosquitto":
            return pid
    return None


def topics_work(run):
    with Topics(run.place, "/topics") as one:
        one.pub("demo/lamp/7", data={"on": True}, retain=True, qos=1)
        with Topics(run.place, "/topics") as late:
            late.sub("demo/lamp/+", qos=1)
            kept = late.message()
            assert (kept["topic"], kept["data"]) == ("demo/lamp/7", {"on": True})
            assert kept["retained"]
        assert one.refused(op="sub", topic="#") == "forbidden"
        assert one.refused(op="pub", topic="other", text="x") == "forbidden"
        one.sub("demo/feed/+")
        with RawWs(run.place, "/feed/bath") as feed:
            feed.text("occupied")
            told = one.message()
            assert (told["topic"], told["text"]) == ("demo/feed/bath", "occupied")
            assert feed.recv_message() == (1, b"occupied")
            feed.close_normally()


def test_topics_with_a_broker(demo):
    assert mosquitto_of(demo)
    topics_work(demo)
    with Topics(demo.place, "/topics") as client:
        client.sub("$SYS/broker/version")
        assert client.message()["text"].startswith("mosquitto version")
    with RawWs(demo.place, "/mqtt", subprotocols=("mqtt",)) as packets:
        packets.binary(b"\x10\x0e\0\4MQTT\4\2\0\0\0\2me")
        assert packets.recv_message() == (2, b"\x20\2\0\0")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("broker", ["", "no-such-program", "/bin/false"])
def test_topics_without_a_broker(broker):
    with make_run(broker=broker) as run:
        assert "MQTT packets: nobody is there" in run.text
        assert ("did not start; going on without it" in run.text) == (broker == "/bin/false")
        assert not mosquitto_of(run)
        topics_work(run)
        refusal = ask(run.place, request("/mqtt", Sec_WebSocket_Protocol="mqtt"))
        assert refusal.status == 502
        run.stop()


def test_what_it_says_to_try_next_works(demo):
    """Each line of it, as it stands."""
    told = demo.text.split("Try next")[1].split("The log follows")[0]
    lines = [line.strip() for line in told.split("\n")[1:] if line.strip()]
    assert len(lines) >= 4
    expected = {
        "/lines": "closed: 1000",
        "/refused": "502 Bad Gateway: connection refused",
        "/feed/kitchen": "dinner is ready",
        "healthz": "ok: ",
    }
    for line in lines:
        if " 9000 " in line:  # one more gangway, before the same service
            line = line.replace(" 9000 ", " 127.0.0.1:0 ") + " --check"
        done = subprocess.run(
            ["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
        )
        output = done.stdout + done.stderr
        wanted = next((text for word, text in expected.items() if word in line), "good")
        assert wanted in output, f"{line}\n{output}"


# ---- in a browser ------------------------------------------------------------------


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def browser(request, tmp_path_factory):
    with Browser(request.param, tmp_path_factory.mktemp(request.param)) as b:
        yield b


@pytest.fixture
def page(browser, demo):
    browser.open(f"http://127.0.0.1:{demo.port}/")
    browser.until("document.querySelectorAll('#places input').length === 7")
    return browser


def click(page, selector):
    page.evaluate(f"document.querySelector({json.dumps(selector)}).click()")


def choose(page, path):
    click(page, f'input[value="{path}"]')
    click(page, "#open")


def quick(page, name):
    page.evaluate(
        "[...document.querySelectorAll('#quick button')]"
        f".find((b) => b.textContent === {json.dumps(name)}).click()"
    )


def is_open(page):
    page.until("document.getElementById('state').dataset.state === 'open'")


def last(way):
    """The last message that went out or came in, as the page shows it."""
    return f"[...document.querySelectorAll('#messages .{way}')].at(-1)?.innerText"


def fill(page, name, value):
    page.evaluate(f"void (document.getElementById('{name}').value = {json.dumps(value)})")


def send(page, text, kind="text"):
    click(page, f'input[name="kind"][value="{kind}"]')
    fill(page, "message", text)
    click(page, "#send-form button[type=submit]")


@pytest.mark.timeout(120)
def test_text_and_binary_there_and_back(page):
    choose(page, "/echo")
    is_open(page)
    send(page, "grüß 😀")
    page.until(f"{last('in')}?.includes('grüß 😀')")
    send(page, "00 ff:80,5a", "hex")
    shown = page.until(f"{last('in')}?.includes('00 ff 80 5a') && {last('in')}")
    assert "binary" in shown and "4 B" in shown
    assert "0000  00 ff 80 5a" in shown and "···Z" in shown
    send(page, "no hex", "hex")
    page.until("document.getElementById('message-note').textContent.includes('not hex')")

    # What was sent comes back with the up arrow.
    page.evaluate("void document.getElementById('message').focus()")
    page.do("press", ["ArrowUp"])
    page.until("document.getElementById('message').value === '00 ff:80,5a'")

    quick(page, "1 MiB")
    page.until("document.getElementById('in-bytes').textContent.replaceAll(',', '') > 1048576")


@pytest.mark.timeout(120)
def test_a_flood_is_counted_not_drawn(page):
    choose(page, "/tcp")
    is_open(page)
    quick(page, "flood 64")
    mib64 = 64 << 20
    page.until(
        f"document.getElementById('in-bytes').textContent.replaceAll(',', '') >= {mib64}",
        seconds=60,
    )
    assert page.evaluate("document.querySelectorAll('#messages li').length") <= 400
    assert "counted but not drawn" in page.evaluate("document.getElementById('talk').innerText")


@pytest.mark.timeout(120)
def test_close_codes_and_what_they_mean(page):
    end = "document.getElementById('end').innerText"
    choose(page, "/echo")
    is_open(page)
    fill(page, "code", "1001")  # which pages may not send
    click(page, "#closer button")
    page.until("document.getElementById('close-note').textContent.length > 10")
    fill(page, "code", "4321")
    fill(page, "reason", "enough")
    click(page, "#closer button")
    page.until(f"{end}.includes('4321') && {end}.includes('own')")

    choose(page, "/lines")
    is_open(page)
    quick(page, "quit")
    page.until(f"{end}.includes('1000') && {end}.includes('Normal closure')")
    choose(page, "/tcp")
    is_open(page)
    quick(page, "crash")
    page.until(f"{end}.includes('1011') && {end}.includes('Reason: ')")


@pytest.mark.timeout(120)
def test_a_refused_handshake_and_what_the_operator_sees(page):
    end = "document.getElementById('end').innerText"
    choose(page, "/refused")
    page.until(f"{end}.includes('1006') && {end}.includes('502 connection refused')")
    choose(page, "/nowhere")
    page.until(f"{end}.includes('1006') && {end}.includes('404 no route')")
    log = page.evaluate("document.getElementById('log').innerText")
    assert "session-refused" in log and "request-refused" in log


def press(page, box, name):
    """The button of this name, in the element with this id."""
    page.evaluate(
        f"[...document.querySelectorAll('#{box} button')]"
        f".find((b) => b.textContent === {json.dumps(name)}).click()"
    )


def subscribe(page, filter_, slow=False):
    fill(page, "sub-filter", filter_)
    page.evaluate(f"void (document.getElementById('sub-slow').checked = {json.dumps(slow)})")
    click(page, "#sub-form button")


NEWEST = "document.querySelector('#subs .subscriber').innerText"
ANSWER = "document.getElementById('pub-note').innerText"


@pytest.mark.timeout(120)
def test_mqtt_packets_by_hand(page):
    """Answers are looked for among all that came: what is retained comes, too."""
    came = "[...document.querySelectorAll('#messages .in')].map((m) => m.innerText)"
    choose(page, "/mqtt")
    is_open(page)
    for name, answer in (
        ("CONNECT", "CONNACK"),
        ("SUBSCRIBE demo/#", "SUBACK"),
        ("PUBLISH demo/lamp/1", 'PUBLISH demo/lamp/1: {"on":true}'),
        ("SUBSCRIBE #, not allowed", "90 03 00 01 80"),
        ("PINGREQ", "PINGRESP"),
    ):
        quick(page, name)
        page.until(f"{came}.some((text) => text.includes({json.dumps(answer)}))")
    quick(page, "DISCONNECT")
    page.until("document.getElementById('end').innerText.includes('1000')")


@pytest.mark.timeout(120)
def test_topics_published_and_subscribed(page):
    page.until("document.getElementById('bus-text').textContent.includes('mosquitto version')")
    subscribe(page, "demo/feed/+")
    page.until(f"/\\d+ message/.test({NEWEST})", seconds=60)
    press(page, "pub-quick", "lamp on, retained")
    page.until(f"{ANSWER}.includes('demo/lamp/1: acknowledged')")
    subscribe(page, "demo/lamp/1")
    page.until(f"{NEWEST}.includes('retained') && {NEWEST}.includes('{{\"on\":true}}')")
    press(page, "pub-quick", "not allowed")
    page.until(f"{ANSWER}.includes('forbidden')")
    subscribe(page, "other/#")
    page.until(f"{NEWEST}.includes('forbidden')")
    fill(page, "pub-value", "<b>no markup</b>")
    fill(page, "pub-topic", "demo/lamp/1")
    subscribe(page, "demo/lamp/1")
    page.until(f"{NEWEST}.includes('1 message')")
    click(page, "#pub-form button[type=submit]")
    page.until(f"{NEWEST}.includes('<b>no markup</b>')")

    choose(page, "/feed/kitchen")
    is_open(page)
    press(page, "pub-quick", "dinner, to the raw feed")
    page.until(f"{last('in')}?.includes('dinner is ready')")


@pytest.mark.timeout(120)
def test_a_slow_subscriber_loses_and_is_told(page):
    subscribe(page, "demo/burst", slow=True)
    page.until(f"/\\d+ message/.test({NEWEST})", seconds=60)
    press(page, "pub-quick", "a burst of 19 MiB")
    page.until(f"{ANSWER}.includes('600 messages')", seconds=60)
    # Firefox reads on, and keeps for a slow thread whatever comes.
    sign = "600 messages" if page.name == "firefox" else "[1-9]\\d* lost"
    page.until(f"/{sign}/.test({NEWEST})", seconds=60)


@pytest.mark.timeout(120)
def test_a_broker_that_goes_is_told(tmp_path):
    with make_run() as run, Browser("chromium", tmp_path) as browser:
        browser.open(f"http://127.0.0.1:{run.port}/")
        state = "document.getElementById('bus-text').textContent"
        browser.until(f"{state}.includes('mosquitto version')")
        os.kill(mosquitto_of(run), signal.SIGKILL)
        browser.until(f"{state}.includes('the broker is away')")
        run.wait_text(" warn upstream-down ")
        press(browser, "pub-quick", "lamp on, retained")
        browser.until(f"{ANSWER}.includes('unavailable')", seconds=30)
        browser.close()
        run.stop()


def test_no_word_of_the_page_is_taken_for_markup(page):
    choose(page, "/echo")
    is_open(page)
    send(page, "<img src=x onerror=document.title='bad'><b>bold</b>")
    page.until(f"{last('in')}?.includes('<b>bold</b>')")
    assert page.evaluate("document.querySelectorAll('#messages img, #messages b').length") == 0
    assert page.evaluate("document.title").startswith("gangway")


# ---- starting and stopping ------------------------------------------------------------


@pytest.mark.timeout(120)
def test_another_port_if_that_one_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with make_run(port=port) as run:
            assert run.port != port
            assert f"port {port}: Address already in use; taking another" in run.text
            assert run.get("/")[0].status == 200
            run.stop()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "the terminal is closed"])
def test_stopping_with_sessions_open(how):
    with make_run() as run:
        with RawWs(run.place, "/tcp") as ws:
            ws.text("tick 100\n")
            ws.recv_message()
            if how == "Ctrl-C":
                os.write(run.master, b"\x03")
            elif how == "SIGTERM":
                run.process.terminate()
            else:
                os.killpg(run.process.pid, signal.SIGHUP)
            assert ws.drain()[1][0] == 1001
            ws.send_close(1001)
            ws.closed()
        run.stop(key=None)
        assert "Traceback" not in run.text
        assert not harness.SANITIZER_REPORT.search(run.text), run.text


def test_a_configuration_that_fails_says_so():
    """The flags of ARGS reach gangway, and its errors the terminal."""
    done = subprocess.run(
        ["/usr/bin/python3", ROOT / "conf/demo/run.py", "--port", "0", BINARY,
         "--set", "limits.queue_hihg=1"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 64, done
    assert "did you mean 'queue_high'" in done.stderr
    assert "Open " not in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_from_a_fresh_clone():
    """Nothing is built yet; and, if the tests run as root, by another user, who
    may not enter pytest's directories."""
    with services.place() as directory:
        check_from_a_fresh_clone(directory / "fresh")


def check_from_a_fresh_clone(fresh):
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"],
        cwd=ROOT, stdout=subprocess.PIPE, check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/fuzz/corpus"):
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, fresh / name)
    popen = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in [fresh, *fresh.rglob("*")]:
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        popen = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    with MakeRun(directory=fresh, seconds=240, **popen) as run:
        with RawWs(run.place, "/lines") as ws:
            assert ws.recv_message()[1].startswith(b"This is a TCP service")
        run.stop()
