# SPDX-License-Identifier: Apache-2.0
"""Brokers that die, refuse, are slow or want credentials: topic sessions stay
and are told, and the other sessions of the gateway notice nothing."""

import contextlib
import glob
import json
import os
import re
import signal
import socket
import statistics
import struct
import subprocess
import threading
import time

import pytest
import services
from backends import refusing_port
from certs import Authority
from gangway import SANITIZER
from mqtt_wire import broker
from ops import A, Names, fetch, metrics, until_metric
from rawws import BINARY, TEXT, RawWs, ask, frame, request
from topics import Topics

PATIENCE_S = 60 if SANITIZER else 30
ADMIN = ["--admin", "127.0.0.1:0"]
UP = 'gangway_bridge_upstreams_up{bridge="mqtt"}'


def kill(b):
    """SIGKILL, and it is gone."""
    b.process.process.kill()
    b.process.process.wait()


def mosquitto_pub(b, *options):
    subprocess.run(
        [services.program("mosquitto_pub"), "-h", "127.0.0.1", "-p", str(b.port), *options],
        check=True, timeout=PATIENCE_S,
    )  # fmt: skip


@contextlib.contextmanager
def stopped(process):
    """It neither reads nor writes."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


# ---- a broker that dies -----------------------------------------------------


class Thread(threading.Thread):
    """A session that is read by a thread of its own."""

    def __init__(self, ws):
        super().__init__(daemon=True)
        self.ws = ws
        self.error = None
        self.ending = threading.Event()
        self.changed = threading.Condition()
        ws.sock.settimeout(PATIENCE_S)
        self.start()

    def run(self):
        try:
            while not self.ending.is_set():
                self.turn()
        except Exception as e:  # told by the test's thread
            if not self.ending.is_set():
                self.error = e
        with self.changed:
            self.changed.notify_all()

    def until(self, true, what):
        with self.changed:
            met = self.changed.wait_for(lambda: self.error or true(), PATIENCE_S)
        assert self.error is None, f"{what}: {self.error!r}"
        assert met, f"not within {PATIENCE_S} s: {what}"

    def end(self):
        self.ending.set()
        with contextlib.suppress(OSError):
            self.ws.sock.shutdown(socket.SHUT_RDWR)
        self.join(PATIENCE_S)
        self.ws.close()


class Hearer(Thread):
    """Hears beats, in whichever dialect, and of the broker's state."""

    def __init__(self, ws):
        self.beat = -1
        self.states = []
        super().__init__(ws)

    def turn(self):
        opcode, data = self.ws.recv_message()
        state = beat = None
        if opcode == BINARY:
            beat = int(data[8 + struct.unpack_from("!H", data, 2)[0] :])
        elif data[:1] == b"{":
            answer = json.loads(data)
            state = answer.get("up")
            beat = answer.get("data")
        else:
            beat = int(data)
        with self.changed:
            if state is not None:
                self.states.append(state)
            if beat is not None:
                self.beat = max(self.beat, beat)
            self.changed.notify_all()


class Writer(Thread):
    """Publishes without pause, a score at a time, each to a topic of its own,
    and keeps what it was answered."""

    def __init__(self, ws, name):
        self.name_ = name
        self.sent = 0
        self.acked, self.failed = set(), {}
        super().__init__(ws)

    def turn(self):
        waiting = set(range(self.sent + 1, self.sent + 21))
        for i in sorted(waiting):
            self.ws.say(op="pub", id=i, topic=f"load/{self.name_}/{i}", data=i, qos=1)
        self.sent += 20
        while waiting:
            answer = self.ws.read()
            if answer["op"] == "state":
                continue
            waiting.remove(answer["id"])  # once each
            if answer["op"] == "ack":
                self.acked.add(answer["id"])
            else:
                self.failed[answer["id"]] = answer["code"]
        with self.changed:
            self.changed.notify_all()


def hearers(gw):
    yield Hearer(_subscribed(Topics(gw)))
    yield Hearer(_subscribed(Topics(gw, subprotocols=["gangway.v1"])))
    yield Hearer(RawWs(gw, "/raw"))


def _subscribed(client):
    client.sub("beat", qos=1)
    return client


def beat(driver, number, heard):
    """Publish it until it is acknowledged; then all hear it, sooner or later."""
    while driver.ask(op="pub", topic="beat", data=number, qos=1)["op"] != "ack":
        pass
    for h in heard:
        h.until(lambda h=h: h.beat >= number, f"beat {number}")


def killed_again_and_again(gw, b, times):
    everybody = []
    with Topics(gw) as driver:
        driver.sock.settimeout(PATIENCE_S)
        try:
            heard = []
            for h in hearers(gw):
                heard.append(h)
                everybody.append(h)
            writers = [Writer(Topics(gw), f"w{i}") for i in range(3)]
            everybody += writers
            # The raw session hears of no ack: until its filter is in force.
            while heard[2].beat < 0:
                driver.pub("beat", data=0, qos=1)
            beat(driver, 1, heard)
            rss, fds = gw.rss(), gw.fds()
            for i in range(times):
                before = [len(h.states) for h in heard[:2]]
                kill(b)
                for h, n in zip(heard, before):
                    h.until(lambda h=h, n=n: len(h.states) > n, "state false")
                b.start()
                for h, n in zip(heard, before):
                    h.until(lambda h=h, n=n: len(h.states) > n + 1, "state true")
                    assert h.states[n : n + 2] == [False, True]
                beat(driver, i + 2, heard)
                for w in writers:
                    w.until(lambda w=w, n=w.sent: w.sent > n, "writing goes on")
            gw.until(lambda: gw.fds() <= fds, what="as many descriptors as before")
            if not SANITIZER:
                assert gw.rss() < rss + (8 << 20)
        finally:
            for thread in everybody:
                thread.end()
    return writers


@pytest.fixture
def live():
    with broker() as b:
        yield b


def check_killed(gangway, b, version, times):
    target = f"{b.target}?version={version}&hold=20s"
    gw = gangway({"/": target, "/raw": f"{target}&subscribe=beat&qos=1"}, settings={"workers": 2})
    writers = killed_again_and_again(gw, b, times)
    text = b.process.text()
    for w in writers:
        took = {int(i) for i in re.findall(rf"Received PUBLISH from .*'load/{w.name_}/(\d+)'", text)}
        assert w.acked and w.acked <= took, f"lost: {sorted(w.acked - took)[:20]}"
        assert set(w.failed.values()) <= {"unavailable"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("version", ["5", pytest.param("3.1.1", marks=pytest.mark.slow)])
def test_broker_is_killed(gangway, live, version):
    check_killed(gangway, live, version, 10)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_broker_is_killed_fifty_times(gangway, live):
    check_killed(gangway, live, "5", 50)


def test_publishes_are_held_or_fail(gangway, live):
    gw = gangway({
        "/hold": f"{live.target}?hold=60s",
        "/short": f"{live.target}?hold=300ms",
        "/none": f"{live.target}?hold=0s",
        "/few": f"{live.target}?hold=60s&hold_max=3",
    })  # fmt: skip
    with Topics(gw, "/hold") as hold, Topics(gw, "/short") as short, \
            Topics(gw, "/none") as none, Topics(gw, "/few") as few:
        everybody = (hold, short, none, few)
        for client in everybody:
            client.pub("x", data=1, qos=1)
        kill(live)
        for client in everybody:
            client.state(False)
        hold.say(op="pub", id=900, topic="held/by/hold", data=1, qos=1)
        for i in range(3):
            few.say(op="pub", id=900 + i, topic=f"held/by/few/{i}", data=i, qos=1)
        assert few.refused(op="pub", topic="x", data=1, qos=1) == "unavailable"
        assert none.refused(op="pub", topic="x", data=1) == "unavailable"
        began = time.monotonic()
        assert short.refused(op="pub", topic="x", data=1, qos=1) == "unavailable"
        assert 0.25 < time.monotonic() - began < PATIENCE_S
        live.start()
        for client in everybody:
            client.sock.settimeout(PATIENCE_S)
        assert hold.answer_to(900)["op"] == "ack"
        assert [few.answer_to(900 + i)["op"] for i in range(3)] == ["ack"] * 3
        none.state(True)
        none.pub("x", data=1, qos=1)
    for topic in ("held/by/hold", "held/by/few/0", "held/by/few/2"):
        live.wait_log(rf"Received PUBLISH from .*'{topic}'")


def until_end(client):
    """What comes before the message "end"."""
    got = []
    while not got or got[-1]["data"] != "end":
        got.append(client.message())
    return [m["data"] for m in got[:-1]]


def test_retained_comes_again(gangway, live):
    """What changed while the broker was away, to those who want all that is
    retained."""
    gw = gangway(live.target, settings={"workers": 2})
    with Topics(gw) as sends, Topics(gw) as news, Topics(gw) as nones, Topics(gw) as gone:
        sends.pub("kept/a", data="old", retain=True, qos=1)
        nones.sub("kept/+", retain="none", qos=1)
        for client, how in ((sends, "send"), (news, "new"), (gone, "send")):
            client.sub("kept/+", retain=how, qos=1)
            assert client.message()["data"] == "old"
        gone.ask(op="unsub", topic="kept/+")
        kill(live)
        for client in (sends, news, nones, gone):
            client.state(False)
        with stopped(gw):  # until the broker has a value to begin with
            live.start()
            mosquitto_pub(live, "-t", "kept/a", "-m", '"new"', "-r", "-q", "1")
        for client in (sends, news, nones, gone):
            client.state(True)
        got = sends.message()
        assert got["data"] == "new" and got["retained"]
        sends.pub("kept/b", data="end", qos=1)
        for client in (sends, news, nones):
            assert until_end(client) == []
        assert gone.silent() == []


def test_retained_for_two_at_once(gangway, live):
    """The second subscribes before the broker has answered the first."""
    mosquitto_pub(live, "-t", "kept/a", "-m", "1", "-r", "-q", "1")
    gw = gangway(live.target, settings={"workers": 2})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Topics(gw)) for _ in range(4)]
        clients[0].sub("warm/up")
        with stopped(live.process):
            for client in clients:
                client.say(op="sub", id=500, topic="kept/+")
                client.ask(op="ping")  # it was taken
        for client in clients:
            assert client.answer_to(500)["op"] == "ack"
            assert client.message()["data"] == 1


def test_requests_for_one_filter_are_all_answered(gangway, live):
    gw = gangway(live.target)
    with Topics(gw) as client:
        client.sub("warm/up")
        with stopped(live.process):
            for i in range(4):
                client.say(op="sub", id=500 + i, topic="a", qos=i % 3)
            client.say(op="sub", id=600, topic="b")
            assert client.refused(op="sub", topic="a") == "rate"
            client.say(op="unsub", id=601, topic="b")
            answer = client.answer_to(600)
            assert (answer["op"], answer["code"]) == ("err", "unavailable")
            assert client.answer_to(601)["op"] == "ack"
        for i in range(4):
            assert client.answer_to(500 + i) == {"op": "ack", "id": 500 + i, "qos": 0}
        client.pub("a", data=1, qos=1)
        assert client.message()["data"] == 1
        assert client.silent() == []


# ---- the other sessions -----------------------------------------------------


def echo_p99(gw, seconds):
    """Of round trips through the same gateway, one after the other: the median
    of what several windows say, for the machine has other work, too."""
    windows = []
    with RawWs(gw, "/echo") as ws:
        for _ in range(5):
            took = []
            end = time.monotonic() + seconds / 5
            while time.monotonic() < end or len(took) < 20:
                began = time.monotonic()
                ws.binary(b"x" * 100)
                ws.recv_message()
                took.append(time.monotonic() - began)
                time.sleep(0.001)
            windows.append(sorted(took)[len(took) * 99 // 100])
    return statistics.median(windows)


# What the p99 of others may move by when something is blocked.
SLACK_S = 0.25 if SANITIZER else 0.01

SLOW_NAMES = """
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>
/* The C library asks for seconds: Paho, which is given names for TLS, is
 * blocked, and all who call it. */
int getaddrinfo(const char *name, const char *service,
                const struct addrinfo *hints, struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *,
                struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!name || strcmp(name, "slow.test") != 0)
        return real(name, service, hints, found);
    sleep(3);
    return EAI_AGAIN;
}
"""


def preload(tmp_path):
    c, so = tmp_path / "slow.c", tmp_path / "slow.so"
    c.write_text(SLOW_NAMES)
    subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", so, c, "-ldl"], check=True)
    return {"LD_PRELOAD": str(so)}


@contextlib.contextmanager
def refuses(_):
    sock, port = refusing_port()
    with contextlib.closing(sock):
        yield f"mqtt://127.0.0.1:{port}", f"127.0.0.1:{port}: .*connect", None


@contextlib.contextmanager
def wrong_password(_):
    with broker(users={"ann": "secret"}) as b:
        yield f"{b.target}?user=ann&password=wrong", "[Nn]ot authori[sz]ed|password", None


@contextlib.contextmanager
def other_authority(tmp_path):
    authority = Authority(tmp_path / "a")
    other = Authority(tmp_path / "b")
    with broker(tls=authority.issue("localhost", "127.0.0.1")) as b:
        yield (
            f"mqtts://localhost:{b.port}?ca={other.certificate}",
            "certificate verify failed",
            None,
        )


@contextlib.contextmanager
def stops(_):
    with broker() as b:
        yield f"{b.target}?keepalive=1s&connect_timeout=1s", ".", b.process


@contextlib.contextmanager
def black_hole(_):
    """It takes connections and says nothing."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        yield f"mqtt://127.0.0.1:{sock.getsockname()[1]}?connect_timeout=1s", ".", None


@contextlib.contextmanager
def silent_names(_):
    yield "mqtt://broker.test:1883?connect_timeout=1s", "broker.test:1883: name resolution timed out", None


@contextlib.contextmanager
def blocked_paho(_):
    yield "mqtts://slow.test:1883", "slow.test", None


TROUBLES = [
    refuses, stops, silent_names, blocked_paho,
    *(pytest.param(t, marks=pytest.mark.slow) for t in (wrong_password, other_authority, black_hole)),
]  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda t: t.__name__)
def test_tcp_sessions_notice_nothing(gangway, tmp_path, trouble):
    if trouble is blocked_paho and SANITIZER:
        pytest.skip("sanitizers bring a getaddrinfo of their own")
    with Names({"slow.test": ["127.0.0.1"]}) as names, trouble(tmp_path) as (target, why, process), \
            contextlib.ExitStack() as stack:
        names.silent = trouble is silent_names
        env = names.env | (preload(tmp_path) if trouble is blocked_paho else {})
        # On one loop, all of them.
        gw = gangway({"/": target, "/echo": "echo:"}, settings={"workers": 1}, env=env)
        quiet = echo_p99(gw, 1)
        clients = [stack.enter_context(Topics(gw)) for _ in range(10)]
        if process:
            clients[0].pub("x", data=1, qos=1)
            stack.enter_context(stopped(process))
        for client in clients:
            client.say(op="sub", id=800, topic="a/#")
            for i in range(50):
                client.say(op="pub", topic=f"a/{i}", text="x" * 1000, qos=1)
        p99 = echo_p99(gw, 2.5)
        for client in clients:
            client.state(False, PATIENCE_S)
            client.ask(op="ping")
        gw.wait_log("upstream-down", PATIENCE_S, text=re.compile(why))
    assert p99 < quiet + SLACK_S, f"p99 {p99 * 1000:.1f} ms, was {quiet * 1000:.1f} ms"


def test_names_that_are_not_resolved(gangway, live):
    """While name servers say nothing, publishes are held for as long as the
    route says; and one name does not hold up another."""
    with Names({"broker.test": ["127.0.0.1"]}) as names:
        names.silent = True
        target = f"mqtt://broker.test:{live.port}"
        gw = gangway(
            {"/": f"{target}?hold=300ms&connect_timeout=60s", "/other": live.target},
            env=names.env,
        )  # fmt: skip
        with Topics(gw) as client, Topics(gw, "/other") as other:
            client.state(False)
            for _ in range(3):
                began = time.monotonic()
                assert client.refused(op="pub", topic="x", data=1, qos=1) == "unavailable"
                assert 0.25 < time.monotonic() - began < (PATIENCE_S if SANITIZER else 2)
                other.pub("x", data=1, qos=1)
            client.say(op="sub", id=900, topic="a")
            names.silent = False
            client.state(True, PATIENCE_S)
            assert client.answer_to(900)["op"] == "ack"
            client.pub("a", data=2, qos=1)
            assert client.message()["data"] == 2
            assert ("broker.test", A) in names.asked


# ---- credentials ------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(authority):
    """A broker with TLS that wants a password; and one that wants a
    certificate."""
    pair = authority.issue("localhost", "127.0.0.1")
    ca = f"cafile {authority.certificate}"
    with broker(tls=pair, users={"ann": "right"}) as passwords, \
            broker(ca, "require_certificate true", "use_identity_as_username true",
                   tls=pair) as certificates:
        yield passwords, certificates


@pytest.mark.parametrize("version", ["5", pytest.param("3.1.1", marks=pytest.mark.slow)])
def test_credentials(gangway, authority, guarded, version):
    passwords, certificates = guarded
    client = authority.issue("bob", client=True)
    options = f"?version={version}&ca={authority.certificate}"
    gw = gangway({
        "/password": f"mqtts://localhost:{passwords.port}{options}&user=ann&password=right",
        "/pool": f"mqtts://localhost:{passwords.port}{options}"
                 "&user={query.user}&pool_user=ann&pool_password=right",
        "/certificate": f"mqtts://localhost:{certificates.port}{options}"
                        f"&cert={client.certificate}&key={client.key}",
        "/blind": f"mqtts://127.0.0.1:{passwords.port}?version={version}"
                  "&insecure=true&user=ann&password=right",
    })  # fmt: skip
    for path in ("/password", "/pool", "/certificate", "/blind"):
        with Topics(gw, path + "?user=x") as ws:
            topic = f"made/it{path}"
            ws.sub(topic, qos=1)
            ws.pub(topic, data=path, qos=1)
            assert ws.message()["data"] == path
    certificates.wait_log(r"New client connected from \S+ as gangway-\S+ \(.*u'bob'\)")


REFUSED = {
    "no password": ("p", "ca={ca}", "ot authori[sz]ed|password"),
    "wrong password": ("p", "ca={ca}&user=ann&password=wrong", "ot authori[sz]ed|password"),
    "no such user": ("p", "ca={ca}&user=eve&password=right", "ot authori[sz]ed|password"),
    "other authority": ("p", "ca={other}&user=ann&password=right", "certificate verify failed"),
    "system's authorities": ("p", "user=ann&password=right", "certificate verify failed"),
    "another name": ("n", "ca={ca}&user=ann&password=right", "certificate|name"),
    "no certificate": ("c", "ca={ca}", "TLS|certificate|lost|connect"),
    "their certificate": ("c", "ca={ca}&cert={theirs}&key={key}", "TLS|certificate|lost|connect"),
    "no TLS": ("t", "", "."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_credentials(gangway, authority, guarded, tmp_path, case):
    where, options, why = REFUSED[case]
    passwords, certificates = guarded
    other = Authority(tmp_path / "other")
    theirs = other.issue("bob", client=True)
    port = certificates.port if where == "c" else passwords.port
    host = "127.0.0.2" if where == "n" else "localhost"
    scheme = "mqtt" if where == "t" else "mqtts"
    options = options.format(
        ca=authority.certificate, other=other.certificate,
        theirs=theirs.certificate, key=theirs.key,
    )  # fmt: skip
    how = contextlib.nullcontext(port)
    if where == "n":  # the certificate is not for this one
        how = forward("127.0.0.2", port)
    with how as port:
        gw = gangway(f"{scheme}://{host}:{port}?{options}&hold=0s&connect_timeout=2s")
        with Topics(gw) as ws:
            ws.state(False, PATIENCE_S)
            line = gw.wait_log("upstream-down", PATIENCE_S, text=re.compile(why))
            assert line.severity == "warn" and "right" not in line.line
            assert ws.refused(op="pub", topic="a", data=1) == "unavailable"


@contextlib.contextmanager
def forward(host, port):
    """Another address of the same broker."""
    there = services.free_port()
    with services.place() as directory, services.Process(
        [services.program("socat"), f"TCP-LISTEN:{there},bind={host},reuseaddr,fork",
         f"TCP:127.0.0.1:{port}"],
        directory / "log", lambda: _listens(host, there),
    ):
        yield there


def _listens(host, port):
    with socket.socket() as sock:
        return sock.connect_ex((host, port)) == 0


# ---- a broker that allows little --------------------------------------------


def security(directory):
    """The broker's own rules: subscribe open/#, publish but to closed/#."""
    path = directory / "security.json"
    path.write_text(json.dumps({
        "defaultACLAccess": {
            "publishClientSend": True, "publishClientReceive": True,
            "subscribe": False, "unsubscribe": True,
        },
        "clients": [],
        "groups": [{"groupname": "all", "roles": [{"rolename": "reader"}], "clients": []}],
        "anonymousGroup": "all",
        "roles": [{"rolename": "reader", "acls": [
            {"acltype": "subscribePattern", "topic": "open/#", "priority": 0, "allow": True},
            {"acltype": "publishClientSend", "topic": "closed/#", "priority": 0, "allow": False},
        ]}],
    }))  # fmt: skip
    path.chmod(0o644)
    directory.chmod(0o755)
    plugin = "/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so"
    found = glob.glob("/usr/lib/*/mosquitto_dynamic_security.so")
    return (f"plugin {found[0] if found else plugin}", f"plugin_opt_config_file {path}")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_broker_refuses_a_filter(gangway, tmp_path, version):
    with broker(*security(tmp_path)) as b:
        gw = gangway(f"{b.target}?version={version}", settings={"workers": 2})
        with Topics(gw) as one, Topics(gw) as two:
            for client in (one, two):
                assert client.refused(op="sub", topic="closed/#") == "forbidden"
                client.sub("open/#", qos=1)
                assert client.refused(op="unsub", topic="closed/#") == "bad_topic"
            one.pub("closed/a", data=0)  # QoS 0: nobody answers
            if version == "5":  # 3.1.1 has no way to say so
                assert one.refused(op="pub", topic="closed/a", data=1, qos=1) == "forbidden"
            one.pub("open/a", data=2, qos=1)
            for client in (one, two):
                assert client.message()["data"] == 2
                assert client.silent() == []


def test_broker_refuses_a_raw_filter(gangway, tmp_path):
    """Who would never hear a thing is told, in the one way there is."""
    with broker(*security(tmp_path)) as b:
        gw = gangway({
            "/closed": f"{b.target}?subscribe=closed/a",
            "/one": f"{b.target}?subscribe=open/a,closed/b",
            "/denied": f"{b.target}?subscribe=open/a&allow=all:x",
            "/open": f"{b.target}?subscribe=open/a&publish=open/a&qos=1",
        })  # fmt: skip
        with Topics(gw, "/open") as client:
            client.sub("open/a")  # the broker is there
        for path in ("/closed", "/one"):
            with RawWs(gw, path) as raw:
                assert raw.recv_close() == (4000, b"the broker refuses this filter")
                answered = time.monotonic()
            # For two seconds the broker is not asked again.
            status = ask(gw.place, request(path)).status
            assert status == 403 or time.monotonic() > answered + 1.5
        assert ask(gw.place, request("/denied")).status == 403
        with RawWs(gw, "/open") as raw:
            raw.text("heard")
            assert raw.recv_message() == (TEXT, b"heard")


# ---- floods -----------------------------------------------------------------


class Flood(Thread):
    """Sends as fast as it is let, and reads what comes of it."""

    def __init__(self, ws, make):
        self.make = make
        self.answers = 0
        super().__init__(ws)
        self.sender = threading.Thread(target=self._send, daemon=True)
        self.sender.start()

    def _send(self):
        i = 0
        with contextlib.suppress(OSError):
            while not self.ending.is_set():
                self.ws.sock.sendall(b"".join(
                    frame(TEXT, json.dumps(e).encode()) for n in range(i, i + 100) for e in self.make(n)
                ))
                i += 100

    def turn(self):
        self.ws.recv_frame()
        self.answers += 1

    def end(self):
        super().end()
        self.sender.join(PATIENCE_S)


FLOODS = {
    "subscriptions": lambda n: [{"op": "sub", "id": n, "topic": f"flood/{n}"}],
    "short subscriptions": lambda n: [
        {"op": "sub", "topic": f"flood/{n}"}, {"op": "unsub", "topic": f"flood/{n}"},
    ],
    "the same": lambda n: [{"op": "sub", "id": n, "topic": "flood/same", "qos": n % 3}],
    "publishes": lambda n: [{"op": "pub", "id": n, "topic": f"flood/{n}", "text": "x" * 500, "qos": n % 3}],
}  # fmt: skip


@pytest.mark.parametrize(
    "away", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["there", "away"]
)
@pytest.mark.parametrize("kind", FLOODS)
def test_flood_of_one_session(gangway, live, kind, away):
    gw = gangway({"/": live.target, "/other": f"{live.target}", "/echo": "echo:"}, settings={"workers": 2})
    with Topics(gw, "/other") as other:
        other.sub("other", qos=1)
        if away:
            kill(live)
            other.state(False)
        rss = gw.rss()
        flood = Flood(RawWs(gw, "/", subprotocols=["gangway.v1.json"]), FLOODS[kind])
        try:
            took = []
            end = time.monotonic() + 1
            while time.monotonic() < end:
                began = time.monotonic()
                if away:
                    other.ask(op="ping")
                else:
                    other.pub("other", data=1, qos=1)
                    other.message()
                took.append(time.monotonic() - began)
                time.sleep(0.005)
            if not SANITIZER:
                assert gw.rss() < rss + (48 << 20)
                # Never far behind the flood; half of the time not at all.
                assert sorted(took)[len(took) // 2] < 1, took
            assert flood.error is None
        finally:
            flood.end()
        gw.session_end(PATIENCE_S)
        if away:
            live.start()
            other.state(True, PATIENCE_S)
        other.pub("other", data="after", qos=1)
        while other.message()["data"] != "after":
            pass


# ---- metrics ----------------------------------------------------------------


def bridge_metrics(gw, name):
    """{short name: value} of one bridge."""
    text = rf'gangway_bridge_(\w+?)(?:_total)?\{{bridge="{name}"\}}'
    return {m[1]: v for k, v in metrics(gw).items() if (m := re.fullmatch(text, k))}


def promtool(gw):
    done = subprocess.run(
        [services.program("promtool"), "check", "metrics"],
        input=fetch(gw.admin, "/metrics").body, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and not done.stdout + done.stderr, done.stdout + done.stderr


def test_metrics(gangway, live):
    gw = gangway({"/": live.target + "?allow=all:%23&deny=all:no/%23", "/local": "local:?retained_max=2"}, args=ADMIN)
    promtool(gw)
    with Topics(gw) as ws:
        until_metric(gw, UP, 1)
        ws.sub("a", qos=1)
        for i in range(3):
            ws.pub("a", data=i, qos=1)
            ws.message()
        ws.refused(op="sub", topic="no/x")
        got = bridge_metrics(gw, "mqtt")
        assert (got["publishes"], got["messages_received"], got["messages_delivered"]) == (3, 3, 3)
        assert got["denied"] == 1 and got["publishes_failed"] == 0 and got["messages_dropped"] == 0
        assert bridge_metrics(gw, "local")["upstreams_up"] == 0
        kill(live)
        ws.state(False)
        assert metrics(gw)[UP] == 0
        gw.wait_log("upstream-down", text=re.compile(f"127.0.0.1:{live.port}: "))
        live.start()
        ws.state(True, PATIENCE_S)
        assert metrics(gw)[UP] == 1
        gw.wait_log("upstream-up", text=re.compile(str(live.port)))
    with Topics(gw, "/local") as ws:
        assert bridge_metrics(gw, "local")["upstreams_up"] == 1
        for i in range(3):
            ws.pub(f"k/{i}", data=i, retain=True)
        ws.sub("k/#")
        assert [ws.message()["data"] for _ in range(2)] == [1, 2]
        got = bridge_metrics(gw, "local")
        assert (got["retained"], got["publishes"], got["messages_delivered"]) == (2, 3, 2)
        ws.pub("k/2", text="", retain=True)
        until_metric(gw, 'gangway_bridge_retained{bridge="local"}', 1)
    promtool(gw)
