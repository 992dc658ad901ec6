# SPDX-License-Identifier: Apache-2.0
"""Documents are true: what they tell to type works, what they list is all
there is, what they measured still holds."""

import configparser
import http.client
import json
import re
import shlex
import shutil
import ssl
import subprocess

import documents
import gangway as harness
import pytest
import services
from backends import Server, echo
from gangway import BINARY, ROOT, Place
from ops import metrics
from rawws import RawWs, ask, request
from topics import Topics

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "bridges/README.md"]
MANUAL = "gateway/gangway.8.scd"
STRICT = "-std=c17 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -O2".split()

SCENES = [
    *(scene for document in DOCUMENTS for scene in documents.scenes(document)),
    *documents.manual_examples(MANUAL),
]


def manual():
    """The manual page as it is read, in one line."""
    page = (ROOT / MANUAL).read_text()
    return re.sub(r"\s+", " ", re.sub(r"\\(.)", r"\1", page))


def output(*command):
    return subprocess.run(
        [str(BINARY), *command], capture_output=True, text=True, check=True
    ).stdout


# ---- commands -----------------------------------------------------------------


@pytest.fixture(scope="module")
def sshd():
    with services.sshd() as server:
        yield server


@pytest.fixture(scope="module")
def broker():
    with services.mosquitto() as port:
        yield port


@pytest.fixture
def world(tmp_path, server_pair, authority, sshd, broker, request):
    page = tmp_path / "novnc"
    page.mkdir()
    (page / "vnc.html").write_text("<!doctype html><title>noVNC</title>")
    with services.place() as short:
        with Server(echo) as tcp, Server(echo, path=short / "echo") as unix:
            backends = {"5900": tcp.port, "22": sshd.port, "1883": broker}
            w = documents.World(
                tmp_path, backends, server_pair, authority, sshd, unix.path, page
            )
            yield w
            w.close()


def talk(world, documented, path, tls=None, text="hello"):
    """A message there and back."""
    scheme = "wss" if tls else "ws"
    with RawWs(Place(scheme, "127.0.0.1", world.port(documented)), path, tls=tls) as ws:
        ws.text(text)
        received = ws.recv_message()[1]
        assert received == text.encode()
        ws.close_normally()


def status(world, documented, path, tls=None):
    """Of a handshake that is refused."""
    scheme = "wss" if tls else "ws"
    place = Place(scheme, "127.0.0.1", world.port(documented))
    return ask(place, request(path), tls=tls).status


def after_desktop(world):
    client = http.client.HTTPConnection("127.0.0.1", world.port("6080"), timeout=20)
    client.request("GET", "/vnc.html")
    answer = client.getresponse()
    assert answer.status == 200 and b"noVNC" in answer.read()
    client.close()
    talk(world, "6080", "/websockify")


def tls_of(world):
    return ssl.create_default_context(cafile=str(world.authority.certificate))


def after_services(world):
    talk(world, "443", "/vnc", tls_of(world))
    talk(world, "443", "/redis", tls_of(world))
    assert status(world, "443", "/irc", tls_of(world)) == 502  # no name server


def after_database(world):
    tls = tls_of(world)
    assert status(world, "443", "/v1?address=shop.db.internal:5432", tls) == 502
    assert status(world, "443", "/v1?address=shop.db.internal:22", tls) == 403
    assert status(world, "443", "/v1?address=127.0.0.1:5432", tls) == 403
    assert status(world, "443", "/v1", tls) == 400


def after_reload(world):
    world.until_told(" reloaded ")
    talk(world, "8080", "/echo")


def after_relay(world):
    command = f"/usr/bin/python3 conf/demo/service.py {world.port('7000')}"
    world.serve(command, "a TCP service on")
    with RawWs(Place("ws", "127.0.0.1", world.port("8080"))) as ws:
        ws.text("quit\n")
        data, (code, _) = ws.drain()
        assert b"This is a TCP service" in data and data.endswith(b"Good bye.\n")
        assert code == 1000
        ws.send_close(1000)
        ws.closed()


CONNECT = b"\x10\x0e\0\4MQTT\4\2\0\0\0\2me"

# What a page has that Node has not.
PAGE = """\
import WebSocket from %s;
globalThis.WebSocket = WebSocket;
globalThis.show = (...values) => {
  console.log(...values.map((v) => JSON.stringify(v)));
  process.exit();
};
await import("./page.mjs");
"""


def after_web_app(world):
    """All kinds of client; the snippet as it stands, in Node."""
    place = Place("ws", "127.0.0.1", world.port("8080"))
    with RawWs(place, subprotocols=("mqtt",)) as packets:
        packets.binary(CONNECT)
        assert packets.recv_message() == (2, b"\x20\2\0\0")
    with Topics(place) as page:
        page.sub("news/sports/+")
        assert page.refused(op="pub", topic="news/x", text="x") == "forbidden"
        assert page.refused(op="sub", topic="#") == "forbidden"
    shutil.copy(ROOT / "bridges/mqtt/gangway.mjs", world.directory)
    snippet = world.directory / "page.mjs"
    snippet.write_text(world.adapt(snippet.read_text()))
    library = ROOT / "tests/browser/node_modules/ws/wrapper.mjs"
    (world.directory / "run.mjs").write_text(PAGE % json.dumps(str(library)))
    done = subprocess.run(
        [services.program("node"), "run.mjs"],
        cwd=world.directory, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stdout == '"chat/kitchen" {"from":"me","text":"dinner?"}\n', done


def after_rooms(world):
    place = Place("ws", "127.0.0.1", world.port("8080"))
    assert status(world, "8080", "/") == 400  # no room
    with RawWs(place, "/?room=hall", subprotocols=("mqtt",)) as packets:
        packets.binary(CONNECT)
        assert packets.recv_message() == (2, b"\x20\2\0\0")
    with Topics(place, "/?room=hall") as page:
        page.sub("chat/hall/#")
        page.pub("chat/hall/door", data={"open": True}, qos=1)
        assert page.message()["data"] == {"open": True}
        assert page.refused(op="sub", topic="chat/bath/#") == "forbidden"
        page.sub("news/#")


def after_failover(world):
    """Nobody listens on the first backend's port; lines end as they should."""
    talk(world, "8080", "/", text="a line")


def after_rewriting(world):
    for name in ("gangway.yaml", "gangway.yaml.5.scd"):
        assert (world.directory / "conf" / name).read_text() == (
            ROOT / "conf" / name
        ).read_text(), f"conf/{name} is not what the table says"


# What must be true once a scene is played, beside that its commands succeed.
AFTER = {
    "README.md: A remote desktop in the browser": after_desktop,
    "README.md: Many services behind one certificate": after_services,
    "README.md: Bridge a web app to a broker in one line": after_web_app,
    "README.md: PostgreSQL from the browser": after_database,
    "README.md: A service that stays up": after_reload,
    "bridges/README.md: One with a backend": after_relay,
    "CONTRIBUTING.md: Settings": after_rewriting,
    f"{MANUAL}: A remote desktop in the browser": after_desktop,
    f"{MANUAL}: Two backends, the second if the first does not answer; lines as messages":
        after_failover,
    f"{MANUAL}: everything below news, and talk in their room": after_rooms,
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_what_is_told_to_type(world, scene):
    world.play(scene)
    AFTER.get(str(scene), lambda _: None)(world)


def test_every_expectation_has_its_scene():
    assert set(AFTER) <= {str(scene) for scene in SCENES}


# ---- bridges/README.md ----------------------------------------------------------


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_examples_compile_without_a_warning(tmp_path, compiler):
    blocks = [
        block
        for scene in documents.scenes("bridges/README.md")
        for block in scene.blocks
        if block.kind == "c"
    ]
    assert [b.name for b in blocks] == ["shout.c", "relay.c"]
    for block in blocks:
        source = tmp_path / block.name
        source.write_text(block.text)
        for command in (
            [compiler, *STRICT, "-fPIC", "-shared", "-I", ROOT / "bridges",
             "-o", source.with_suffix(".so"), source],
            ["clang-format", f"--style=file:{ROOT}/.clang-format", "--dry-run", "-Werror", source],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0 and not done.stderr, done.stderr


# ---- the sample -----------------------------------------------------------------


@pytest.fixture
def clock(gangway):
    def start(target="clock:?every=50ms", **more):
        sample = BINARY.parent / "sample.so"
        args = ["--plugin", sample, "--admin", "127.0.0.1:0"]
        return gangway(target, args=args, **more)

    return start


def test_the_sample_ticks_answers_and_counts(clock):
    gw = clock()
    with RawWs(gw) as ws:
        for _ in range(3):
            opcode, payload = ws.recv_message()
            assert opcode == 1
            assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", payload)
        ws.text("grüß")
        while True:
            _, payload = ws.recv_message()
            if payload.endswith("Z grüß".encode()):
                break
        ws.binary(b"\x00")
        _, (code, reason) = ws.drain()
        assert (code, reason) == (1003, b"a clock takes text")
        ws.send_close(1003)
        ws.closed()
    gw.session_end(reason="unsupported", code=1003, by="gateway")
    assert metrics(gw)['gangway_bridge_ticks_total{bridge="clock"}'] >= 3


def test_the_sample_skips_a_client_that_does_not_read(clock):
    """Its queue is full, ticks go by, and nothing grows."""
    gw = clock(
        "clock:?every=10ms",
        settings={"limits.queue_high": "1KiB", "limits.queue_low": "512"},
    )
    skipped = 'gangway_bridge_skipped_total{bridge="clock"}'
    with RawWs(gw, rcvbuf=2048) as ws:
        text = "x" * 65536  # comes back: the kernel's buffers are soon full
        for _ in range(200):
            try:
                ws.sock.settimeout(0.5)
                ws.text(text)
            except TimeoutError:
                break  # now it does not read from us either
        else:
            raise AssertionError("the clock was never paused")
        gw.until(lambda: metrics(gw)[skipped] > 0, what="a tick that is skipped")


@pytest.mark.parametrize(
    "target, why",
    [
        ("clock:?evry=1s", "unknown option 'evry'; did you mean 'every'?"),
        ("clock:?every=1ms", "every: at least 10ms"),
        ("clock:?format=local", "utc|unix"),
        ("clock:somewhere", "'clock:' takes no address"),
    ],
)
def test_options_of_a_plugin_are_checked(target, why):
    done = subprocess.run(
        [BINARY, "--check", "--plugin", "sample.so", "127.0.0.1:0", target],
        cwd=BINARY.parent,  # a bare name is a file there, too
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78 and why in done.stderr, done.stderr


# ---- the manual lists what there is ------------------------------------------------


def test_manual_has_every_flag():
    flags = set(re.findall(r"--[a-z][a-z-]+", output("--help")))
    text = manual()
    assert flags == {f for f in re.findall(r"\*(--[a-z][a-z-]+)\*", text)}


def test_manual_has_every_option_of_the_stream_bridge():
    source = (ROOT / "bridges/stream/stream.c").read_text()
    options = dict(re.findall(r'\[OPT_\w+\] = \{"(\w+)", GW_OPT_\w+, (NULL|"[^"]*")', source))
    assert {"mode", "proxy", "sni"} <= set(options)
    section = manual().split("## Options of tcp, tls and unix")[1].split("## Targets that")[0]
    told = dict(re.findall(r"\*(\w+)\*=_([\w|]+)_", section))
    assert set(told) == set(options)
    for name, values in options.items():
        if values != "NULL":
            assert told[name] == values.strip('"')


OPTION = re.compile(
    r'\{\s*"(\w+)",\s*GW_OPT_(\w+),\s*(NULL|"[^"]*"),\s*(NULL|"[^"]*"),'
)
TOPIC_SECTIONS = {
    "mqtt": ["mqtt, mqtts and local", "mqtt and mqtts: packets", "mqtt and mqtts: TLS and the pool"],
    "local": ["mqtt, mqtts and local", "local"],
}


def topic_options(file):
    """{name: (words of an enum, default)} of a bridge's table."""
    header = (ROOT / "bridges/mqtt/topics_route.h").read_text().replace("\\\n", "\n")
    source = (ROOT / "bridges/mqtt" / file).read_text()
    assert "TOPICS_OPTIONS,\n" in source
    return {
        name: tuple(None if v == "NULL" else v.strip('"') for v in (words, standard))
        for name, _, words, standard in OPTION.findall(source + header)
    }


def told_options(titles):
    """{name: (its values, its paragraph)} of sections of the manual."""
    told = {}
    for title in titles:
        section = manual().split(f"## Options of {title} *")[1]
        section = "*" + re.split(r" #+ [A-Z]", section)[0]
        for names, text in re.findall(r"((?:\*\w+\*=\S+ )+)(.*?)(?=\*\w+\*=|$)", section):
            for name, values in re.findall(r"\*(\w+)\*=(\S+?),? ", names):
                told[name] = (values.strip("_"), text)
    return told


@pytest.mark.parametrize("bridge, file", [("mqtt", "mqtt.c"), ("local", "local_bridge.c")])
def test_manual_has_every_option_of_topics(bridge, file):
    options = topic_options(file)
    assert {"allow", "slow", "hold_bytes"} <= set(options)
    told = told_options(TOPIC_SECTIONS[bridge])
    assert set(told) == set(options)
    for name, (words, standard) in options.items():
        if words:
            assert told[name][0] == words
        if standard:
            default = re.search(r"Default: (.*?)\.(?= |$)", told[name][1])
            assert default and standard in default[1].split(", "), name


SHARED = "version keepalive connect_timeout window will_topic will_payload max_payload hold hold_max hold_bytes pool_client_id"
OTHERS = {
    "version": "3.1.1", "keepalive": "9s", "connect_timeout": "9s", "window": "9",
    "will_topic": "gone", "will_payload": "gone", "max_payload": "9KiB", "hold": "9s",
    "hold_max": "9", "hold_bytes": "9KiB", "pool_client_id": "other",
}  # fmt: skip


@pytest.mark.timeout(120)
def test_routes_share_what_the_manual_says(gangway, broker):
    section = manual().split("*Sharing.*")[1].split("## Options")[0].split("*local:*")[0]
    assert set(re.findall(r"\*(\w+)\*", section)) == set(SHARED.split()) == set(OTHERS)
    target = f"mqtt://127.0.0.1:{broker}"
    same = ["", "?queue=9&queue_bytes=9KiB&slow=conflate", "?allow=all:a&presence=a", "?form=b64&qos=1"]
    routes = {f"/same/{i}": target + options for i, options in enumerate(same)}
    routes |= {f"/{name}": f"{target}?{name}={value}" for name, value in OTHERS.items()}
    gw = gangway(routes, args=["--admin", "127.0.0.1:0"])
    up = 'gangway_bridge_upstreams_up{bridge="mqtt"}'
    sessions = [Topics(gw, f"/same/{i}") for i in range(len(same))]
    gw.until(lambda: metrics(gw)[up] == 1, what="one pool")
    sessions += [Topics(gw, f"/{name}") for name in OTHERS]
    gw.until(lambda: metrics(gw)[up] == 1 + len(OTHERS), what="a pool for each other one")
    for session in sessions:
        session.close()


def test_local_routes_share_what_the_manual_says(gangway):
    names = ["max_payload", "hold", "hold_max", "hold_bytes", "retained_max", "retained_bytes"]
    values = OTHERS | {"retained_max": "9", "retained_bytes": "9KiB"}
    routes = {f"/{name}": f"local:?{name}={values[name]}" for name in names}
    gw = gangway({"/": "local:", "/same": "local:?queue=9&slow=conflate", **routes})
    with Topics(gw) as one, Topics(gw, "/same") as same:
        same.sub("a")
        others = [Topics(gw, path) for path in routes]
        for other in others:
            other.sub("a")
        one.pub("a", data=1)
        assert same.message()["data"] == 1
        for other in others:
            assert other.silent() == []
            other.close()


def test_the_protocol_page_has_the_limits():
    """Its table of limits, held against the options."""
    page = (ROOT / "bridges/mqtt/PROTOCOL.md").read_text().split("## Limits")[1]
    options = topic_options("mqtt.c")
    rows = re.findall(r"^\|[^|]*?((?:`\w+`(?:, )?)+) \| ([^|]+) \|", page, re.M)
    assert len(rows) >= 4
    for names, values in rows:
        names, values = re.findall(r"`(\w+)`", names), values.split(", ")
        if names == ["data"]:
            continue  # how deep it may be nested is no option
        assert [options[n][1] for n in names] == [v.replace(" ", "") for v in values]


def test_manual_has_every_variable_of_the_environment():
    found = set()
    for folder in ("gateway", "bridges"):
        for source in (ROOT / folder).rglob("*.c"):
            found |= set(re.findall(r'getenv\("(\w+)"\)', source.read_text()))
    section = manual().split("# ENVIRONMENT")[1].split("# EXIT STATUS")[0]
    assert found == {w for w in re.findall(r"\*(\w+)\*", section) if w.isupper()} - {"TOPICS"}


def test_the_example_of_a_broker_loads(tmp_path, server_pair):
    """With certificates of ours: also what only a bridge can check."""
    text = (ROOT / "conf/examples/mqtt.yaml").read_text()
    text = text.replace("fullchain.pem", str(server_pair.certificate))
    (tmp_path / "mqtt.yaml").write_text(text.replace("privkey.pem", str(server_pair.key)))
    assert "good: 1 listener, 3 routes" in output("--check", "--config", str(tmp_path / "mqtt.yaml"))


def test_manual_has_every_end():
    text = (ROOT / "gateway/serve/ends.def").read_text()
    ends = re.findall(r'END\(END_\w+, "(\w+)", (\d+),', text)
    assert len(ends) > 10
    section = manual().split("# HOW SESSIONS END")[1].split("# SIGNALS")[0]
    told = re.findall(r"\| (\w+) : (\d+|none) : ", section)
    assert told == [(label, code.replace("0", "none") if code == "0" else code)
                    for label, code in ends]


def test_the_page_knows_every_code_that_is_sent():
    codes = (ROOT / "conf/demo/web/codes.mjs").read_text()
    known = set(re.findall(r"^  \[(\d{4}),", codes, re.M))
    ends = (ROOT / "gateway/serve/ends.def").read_text()
    assert set(re.findall(r", (1\d{3}),", ends)) <= known


def test_the_manual_of_the_file_checks(tmp_path, server_pair):
    """Its example, with certificates of ours."""
    page = (ROOT / "conf/gangway.yaml.5.scd").read_text()
    example = re.search(r"# EXAMPLE\n\n```\n(.*?)```", page, re.S)[1]
    example = example.replace("fullchain.pem", str(server_pair.certificate))
    example = example.replace("privkey.pem", str(server_pair.key))
    (tmp_path / "gangway.yaml").write_text(example)
    assert "good" in output("--check", "--config", str(tmp_path / "gangway.yaml"))


# ---- the unit ----------------------------------------------------------------------


class Unit(configparser.ConfigParser):
    def __init__(self, path):
        super().__init__(strict=False, interpolation=None, delimiters=["="])
        self.optionxform = str
        self.read(path)


def test_the_unit_starts_what_there_is(tmp_path):
    unit = Unit(ROOT / "conf/gangway.service")["Service"]
    (tmp_path / "gangway.yaml").write_text((ROOT / "conf/gangway.yaml").read_text())
    for key in ("ExecStartPre", "ExecStart"):
        words = shlex.split(unit[key])
        assert words[0] == "/usr/local/bin/gangway"  # make install's
        check = [w.replace("/etc/gangway", str(tmp_path)) for w in words[1:]]
        assert "good" in output("--check", *check)
    assert unit["ExecReload"] == "/bin/kill -HUP $MAINPID"
    drain = re.search(r"drain: (\d+)s", (ROOT / "conf/gangway.yaml").read_text())[1]
    assert int(unit["TimeoutStopSec"]) > int(drain)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_takes_the_unit(tmp_path):
    """And finds it well locked up: an exposure of 2 of 10 at most."""
    unit = tmp_path / "gangway.service"
    text = (ROOT / "conf/gangway.service").read_text()
    text = text.replace("/usr/local/bin/gangway", str(BINARY))
    unit.write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.M))
    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "gangway.service" not in done.stderr, done.stderr
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-400:]


# ---- what was measured ----------------------------------------------------------------

SESSIONS = 1000


def cost(gw, tls=None):
    """KiB of memory that an idle session takes, after it was used."""
    warm = [RawWs(gw, tls=tls) for _ in range(50)]
    before = gw.rss()
    sessions = [RawWs(gw, tls=tls) for _ in range(SESSIONS)]
    for ws in sessions:
        ws.text("x" * 100)
        ws.recv_message()
    after = gw.rss()
    for ws in [*warm, *sessions]:
        ws.close()
    return (after - before) / SESSIONS / 1024


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.skipif(harness.SANITIZER is not None, reason="memory of a checked binary")
def test_idle_sessions_cost_what_the_readme_says(
    gangway, echo_server, server_pair, authority
):
    told = {
        key: float(kib)
        for key, kib in re.findall(
            r"^\| `(wss?://` to `\w+:)\S* .*\| ([\d.]+) KiB", (ROOT / "README.md").read_text(), re.M
        )
    }
    tls = ssl.create_default_context(cafile=str(authority.certificate))
    wss = {
        "listen": ["wss://127.0.0.1:0"],
        "args": ["--cert", server_pair.certificate, "--key", server_pair.key],
    }
    measured = {
        "ws://` to `echo:": cost(gangway("echo:")),
        "ws://` to `tcp:": cost(gangway(echo_server.url)),
        "wss://` to `echo:": cost(gangway("echo:", **wss), tls),
    }
    print(json.dumps(measured))
    assert set(told) == set(measured)
    for key, kib in told.items():
        assert measured[key] <= kib * 1.1, f"{key}: {measured[key]:.2f} KiB, {kib} told"
