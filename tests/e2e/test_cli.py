# SPDX-License-Identifier: Apache-2.0
"""The command line as it is used: to run, to listen, to load, to fail."""

import json
import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest
from backends import Server, echo
from gangway import (
    BINARY,
    SANITIZER,
    SANITIZER_ENV,
    Place,
    until_signals_are_handled,
)
from ops import Run, compile_plugin, connects, fetch
from rawws import BINARY as BIN
from rawws import PING, TEXT, RawWs, Wire, dial, request
from services import free_port


@pytest.fixture
def run(gangway):
    """gangway with these arguments and nothing else."""
    return lambda *args, **how: gangway(args=args, listen=(), **how)


def bounces(place, path="/", tls=None):
    with RawWs(place, path, tls=tls) as ws:
        ws.binary(b"x")
        assert ws.recv_message() == (BIN, b"x")
        ws.close_normally()


# ---- [ADDR:]PORT TARGET ---------------------------------------------------------


def test_port_and_target(run, echo_server):
    """On every address, of both families, and on any path."""
    gw = run("0", echo_server.address)
    for host in ("127.0.0.1", "::1"):
        for path in ("/", "/websockify", "/a/b?token=x"):
            bounces((host, gw.place.port), path)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "localhost:0"])
def test_address_and_port(run, echo_server, address):
    gw = run(address, echo_server.address)
    address = address.replace("localhost", "127.0.0.1")
    assert gw.place.host == address.rpartition(":")[0].strip("[]")
    bounces((gw.place.host, gw.place.port))
    assert re.search(rf"listening on ws://{re.escape(address[:-1])}\d+/", "\n".join(gw.stdout))


@pytest.mark.parametrize("form", ["{a}", "tcp://{a}", "tcp://{a}?mode=binary", "{a},127.0.0.1:1",
                                  "127.0.0.1:1,{a}", "echo:", "localhost:{p}"])  # fmt: skip
def test_targets(run, echo_server, form):
    gw = run("127.0.0.1:0", form.format(a=echo_server.address, p=echo_server.port))
    bounces(gw)


def test_unix_target(run, tmp_path):
    with Server(echo, path=tmp_path / "s"):
        bounces(run("127.0.0.1:0", f"unix:{tmp_path}/s"))
        bounces(run("127.0.0.1:0", "--unix-target", tmp_path / "s"))
        bounces(run("--unix-target", tmp_path / "s", "127.0.0.1:0"))


def test_with_a_certificate(run, echo_server, server_pair, authority):
    gw = run("--cert", server_pair.certificate, "--key", server_pair.key, "--ssl-only",
             "127.0.0.1:0", echo_server.address)  # fmt: skip
    assert gw.place.scheme == "wss"
    bounces(gw, tls=authority.client_context())


def test_as_novnc_calls_it(run, echo_server, tmp_path):
    """The page and the session on one port."""
    (tmp_path / "vnc.html").write_text("<p>noVNC")
    gw = run("-v", "--web", tmp_path, "0", echo_server.address, "--heartbeat", "30")
    place = Place("ws", "127.0.0.1", gw.place.port)
    assert fetch(place, "/vnc.html").body == b"<p>noVNC"
    bounces(place, "/websockify")


def test_heartbeat_counts_seconds(run, echo_server):
    gw = run("127.0.0.1:0", echo_server.address, "--heartbeat", "1")
    with RawWs(gw) as ws:
        began = time.monotonic()
        assert ws.recv_frame().opcode == PING
        assert 0.7 < time.monotonic() - began < 3


def test_options_go_anywhere(run):
    for args in (
        ["--workers", "1", "127.0.0.1:0", "echo:"],
        ["127.0.0.1:0", "--workers", "1", "echo:"],
        ["127.0.0.1:0", "echo:", "--workers=1"],
        ["--workers=1", "--", "127.0.0.1:0", "echo:"],
    ):
        gw = run(*args)
        bounces(gw)
        assert workers(gw) == 1


def workers(gw):
    """Threads by their names."""
    tasks = f"/proc/{gw.pid}/task"
    names = []
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/comm", encoding="ascii") as f:
            names.append(f.read().strip())
    return sum(bool(re.fullmatch(r"worker \d+", name)) for name in names)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_workers(run, n):
    gw = run("127.0.0.1:0", "echo:", "--workers", n)
    assert workers(gw) == n
    sessions = [RawWs(gw) for _ in range(30)]
    for ws in sessions:
        ws.text("x")
    for ws in sessions:
        assert ws.recv_message() == (TEXT, b"x")
        ws.close()
    used = {line["sid"].split("-")[0] for line in gw.wait_lines("session-open", 30)}
    assert len(used) <= n and (n == 1 or len(used) > 1)


def test_one_worker_for_each_cpu(run):
    assert workers(run("127.0.0.1:0", "echo:")) == os.cpu_count()


def test_port_and_more(run, echo_server, tmp_path):
    """Positional arguments beside --listen and --route add to them."""
    gw = run("127.0.0.1:0", echo_server.address, "--listen", f"unix:{tmp_path}/s",
             "--route", "/e=echo:")  # fmt: skip
    for place in gw.places:
        bounces(place, "/e")
        bounces(place, "/other")


# ---- printing and checking -----------------------------------------------------------


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(flag):
    done = Run(flag)
    assert (done.code, done.err) == (0, "")
    for word in ("--listen", "--route", "--config", "--set", "--check", "--cert", "--key", "--web",
                 "--workers", "--plugin", "--admin", "--log-format", "--allow-target", "--origin",
                 "-v", "--version", "[ADDR:]PORT TARGET", "gangway.yaml(5)"):  # fmt: skip
        assert word in done.out, word
    assert max(map(len, done.out.splitlines())) <= 80


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version(flag):
    done = Run(flag)
    assert done.code == 0 and re.fullmatch(r"gangway \d+\.\d+\.\d+\n", done.out)


def test_help_wins_over_the_rest():
    done = Run("6080", "--help", "echo:")
    assert done.code == 0 and done.out.startswith("Usage:")


def test_check_opens_nothing(tmp_path):
    """A port in use, a backend that is not there: no matter."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        done = Run("--check", f"127.0.0.1:{taken.getsockname()[1]}", "127.0.0.1:1",
                   "--admin", f"unix:{tmp_path}/a", "--listen", f"unix:{tmp_path}/s")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("good: 2 listeners, 1 route\n")
    assert not list(tmp_path.iterdir())


def test_check_counts_what_there_is():
    done = Run("--check", "--listen", "ws://127.0.0.1:0", "--route", "/a=echo:", "--route", "/b=echo:")
    assert done.out.endswith("good: 1 listener, 2 routes\n")


def test_check_fails_as_a_start_would(tmp_path):
    for args in (["--route", "/=nonsense:"], ["--web", tmp_path / "none"],
                 ["--plugin", tmp_path / "none.so"]):  # fmt: skip
        base = ("--listen", "ws://127.0.0.1:0", "--route", "/x=echo:")
        checked, started = Run("--check", *base, *args), Run(*base, *args)
        assert checked.code == started.code != 0
        assert checked.err == started.err


# ---- errors ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args, why",
    [
        (["6080", "echo:", "more"], "more: one argument too many"),
        (["6080", "--unix-target"], "needs a value"),
        (["--unix-target", "/s"], "needs a PORT"),
        (["65536", "echo:"], "0 to 65535"),
        (["x", "echo:"], "x"),
        (["[::1:0", "echo:"], "[::1:0"),
        (["6080", "localhost"], "TARGET"),
        (["6080", "echo:", "-D"], "-D: unknown flag"),
        (["6080", "echo:", "--daemon"], "--daemon: unknown flag"),
        (["6080", "echo:", "--work"], None),
        (["6080", "echo:", "--workers"], "needs a value"),
        (["6080", "echo:", "--workers", "many"], "many"),
        (["6080", "echo:", "--workers", "-1"], "-1"),
        (["6080", "echo:", "--check=yes"], "takes no value"),
        (["6080", "echo:", "--log-format", "xml"], "xml"),
        (["6080", "echo:", "--set", "timeouts.clos=1s"], "did you mean 'close'"),
        (["6080", "echo:", "--set", "timeouts.close"], "timeouts.close"),
        (["6080", "echo:", "--set", "timeouts.close=5"], "needs a unit"),
        (["6080", "echo:", "--key", "k.pem"], "every --cert needs its --key"),
        (["6080", "echo:", "--cert", "a", "--cert", "b", "--key", "k"], "every --cert"),
        (["--listen", "ws://:1", "--route", "/=echo:", "--cert", "a"], "no listener uses it"),
        (["--listen", "http://:1", "--route", "/=echo:"], "http"),
        (["--listen", "ws://:1/path", "--route", "/=echo:"], "no path"),
        (["--listen", "unix:", "--route", "/=echo:"], "unix:"),
        (["--listen", "unix:/" + "x" * 120, "--route", "/=echo:"], "bytes"),
        (["--listen", "fd:x", "--route", "/=echo:"], "fd:x"),
        (["--listen", "fd:-1", "--route", "/=echo:"], "fd:-1"),
        (["--listen", "ws://:1", "--listen", "ws://:1", "--route", "/=echo:"], "twice"),
        (["--listen", "ws://:1"], "nothing to serve"),
        (["--route", "/=echo:"], "no listener"),
        (["--listen", "ws://:1", "--route", "/=echo:", "--origin", "app"], "app"),
        (["--config"], "needs a value"),
    ],
)  # fmt: skip
def test_usage_errors(args, why):
    done = Run("--check", *args)
    if why is None:  # a flag's beginning is enough
        assert done.code in (0, 64)
        return
    assert done.code == 64, done.err
    assert why in done.err
    assert done.out == ""


def test_target_with_a_bad_port():
    for target in ("localhost:0", "localhost:65536", "tcp://localhost:0"):
        done = Run("--check", "6080", target)
        assert done.code in (64, 78) and "TARGET" in done.err, done.err


def test_all_errors_in_one_run(tmp_path):
    """Of the flags and of the file, each with its place, and nothing is done."""
    (tmp_path / "c.yaml").write_text(
        "listeners: [{url: 'ws://:99999'}]\n"
        "routes:\n"
        "  - {path: a, target: 'echo:'}\n"
        "  - {path: /b, targt: 'echo:'}\n"
        "limits: {header_count: 1000}\n"
        "log: {format: xml}\n"
    )
    done = Run("--config", "c.yaml", "--workers", "x", "--set", "timeouts.close=x",
               "--admin", "0.0.0.0:1", cwd=tmp_path)  # fmt: skip
    assert done.code == 78
    for place in ("c.yaml:1:", "c.yaml:3:", "c.yaml:4:", "c.yaml:5:", "c.yaml:6:",
                  "--workers: ", "--set: ", "--admin: "):  # fmt: skip
        assert sum(line.startswith(place) for line in done.errors) >= 1, (place, done.err)
    assert "did you mean 'target'" in done.err


def test_all_errors_of_what_settings_name_in_one_run(tmp_path):
    """Not the text of the file, but what it leads to: each with its place."""
    config = tmp_path / "bad.yaml"
    config.write_text(
        "listeners:\n"
        "  - url: wss://127.0.0.1:0\n"
        "    tls: {certificate: nowhere.pem}\n"
        "routes:\n"
        "  - {path: /a, target: 'tcp://x'}\n"
        "  - {path: /b, target: 'nope://x:1'}\n"
        "  - {path: /c, target: 'tcp://x:1?mode=foo'}\n"
        f"web: {tmp_path}/missing\n"
    )
    done = subprocess.run(
        [BINARY, "--config", config, "--check"], capture_output=True, text=True
    )
    assert done.returncode == 78 and done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 5, done.stderr
    for line, where, what in zip(
        lines,
        ("bad.yaml:2:5: listener", "bad.yaml:5:5: route /a", "bad.yaml:6:5: route /b",
         "bad.yaml:7:5: route /c", "web"),
        ("nowhere.pem: No such file", "no port", "'nope:'", "'mode'", "No such file"),
    ):
        assert where in line and what in line


def test_many_errors_are_bounded(tmp_path):
    (tmp_path / "c.yaml").write_text("".join(f"key{i}: 1\n" for i in range(500)))
    done = Run("--config", "c.yaml", cwd=tmp_path)
    assert done.code == 78 and len(done.errors) < 30
    assert "more errors are not shown" in done.err


def test_values_in_errors_are_tame():
    done = Run("--check", "6080", "echo:", "--set", "log.format=\x1b[31mred\x07")
    assert done.code == 64 and "\x1b" not in done.err and "\x07" not in done.err


@pytest.mark.parametrize(
    "content, why",
    [
        (b"\x00\x01\x02", ""), (b"\xff\xfe\x00", ""), (b"a: [", ""), (b"a: &x [*x]", ""),
        (b"- 1\n- 2\n", ""), (b"just text", ""), (b"a: 1\na: 2\n", ""), (b"", "no listener"),
        (b"? [1]\n: 2\n", ""), (b"x: " + b"y" * (5 << 20), ""), (b"{" * 10000, ""),
    ],
    ids=lambda v: repr(v[:12]) if isinstance(v, bytes) else None,
)  # fmt: skip
def test_files_that_are_no_configuration(tmp_path, content, why):
    (tmp_path / "c.yaml").write_bytes(content)
    done = Run("--check", "--config", "c.yaml", cwd=tmp_path)
    assert done.code == 78
    assert "c.yaml" in done.err and why in done.err


def test_a_folder_as_configuration(tmp_path):
    done = Run("--check", "--config", tmp_path)
    assert done.code == 78 and "directory" in done.err


# ---- what fails at the start only -------------------------------------------------------


def test_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        done = Run(f"127.0.0.1:{taken.getsockname()[1]}", "echo:")
    assert done.code == 1
    assert "in use" in done.err and "ready" not in done.out


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "{}", "[::]:{}"])
def test_a_second_gangway_takes_no_clients_from_the_first(run, address):
    """Both would get a share of them, if nobody looked."""
    gw = run("127.0.0.1:0" if "127" in address else "0", "echo:")
    done = Run(address.format(gw.place.port), "echo:")
    assert done.code == 1 and "in use" in done.err
    for _ in range(5):
        bounces(("127.0.0.1", gw.place.port))


def test_a_restart_takes_the_port_at_once(gangway):
    """Connections in TIME_WAIT do not keep it."""
    first = gangway(args=["127.0.0.1:0", "echo:"], listen=())
    with RawWs(first) as ws:
        ws.text("x")
        ws.recv_message()
        first.stop()  # it closes first
    gw = gangway(args=[f"127.0.0.1:{first.place.port}", "echo:"], listen=())
    bounces(gw)


def test_an_address_that_is_not_ours():
    done = Run("198.51.100.1:0", "echo:")
    assert done.code == 1 and "198.51.100.1" in done.err


def test_too_few_descriptors():
    done = Run("127.0.0.1:0", "echo:",
               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))  # fmt: skip
    assert done.code == 1 and "ulimit" in done.err


def test_more_connections_than_descriptors():
    done = Run("127.0.0.1:0", "echo:", "--set", "limits.connections=5000",
               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (500, 500)))  # fmt: skip
    assert done.code == 1
    assert "limits.connections" in done.err and "500" in done.err


def test_descriptors_are_raised_to_the_hard_limit(run):
    gw = run("127.0.0.1:0", "echo:",
             limits=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2000)))  # fmt: skip
    assert resource.prlimit(gw.pid, resource.RLIMIT_NOFILE) == (2000, 2000)


# ---- flags and the file ---------------------------------------------------------------


def test_set_prevails_over_the_file(gangway):
    gw = gangway(
        config={"listeners": ["ws://127.0.0.1:0"], "routes": ["/=echo:"], "workers": 3,
                "limits": {"uri_bytes": 64}},
        listen=(), args=["--set", "workers=1", "--set", "limits.uri_bytes=1KiB"],
    )  # fmt: skip
    assert workers(gw) == 1
    bounces(gw, "/?" + "x" * 500)


def test_lists_are_replaced(gangway):
    gw = gangway(
        config={"listeners": ["ws://127.0.0.1:0", "ws://[::1]:0"], "routes": ["/file=echo:"]},
        listen=["ws://127.0.0.1:0"], routes={"/flag": "echo:"},
    )  # fmt: skip
    assert len(gw.places) == 1
    bounces(gw, "/flag")
    with Wire(dial(gw.place)) as wire:
        wire.send(request("/file"))
        assert wire.answer().status == 404


def test_environment_and_files_give_values(gangway, tmp_path, echo_server):
    (tmp_path / "target").write_text(f"{echo_server.url}\n")
    (tmp_path / "c.yaml").write_text(
        "listeners: ['ws://${HOST:-127.0.0.1}:0']\n"
        "routes:\n  - {path: '/${NAME}', target_file: target}\n"
    )
    gw = gangway(args=["--config", tmp_path / "c.yaml"], listen=(), env={"NAME": "named"})
    bounces(gw, "/named")


# ---- listeners -----------------------------------------------------------------------


def test_inherited_socket(gangway):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        address, fd = listener.getsockname(), listener.fileno()
        gw = gangway("echo:", listen=[f"fd:{fd}"], args=["--workers", "3"], pass_fds=(fd,))
    for _ in range(5):
        bounces(address)
    assert gw.places == [Place("fd")]


def test_inherited_unix_socket(gangway, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        fd = listener.fileno()
        gangway("echo:", listen=[f"fd:{fd}"], pass_fds=(fd,))
    bounces(Place("unix", path=path))


@pytest.mark.parametrize("what", ["closed", "file", "connected", "datagram", "unlistening"])
def test_inherited_things_that_are_no_listeners(what, tmp_path):
    a, b = socket.socketpair()
    with a, b, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp, open(
        tmp_path / "f", "wb"
    ) as f:
        tcp.bind(("127.0.0.1", 0))
        fd = {"closed": 90, "file": f.fileno(), "connected": a.fileno(), "datagram": udp.fileno(),
              "unlistening": tcp.fileno()}[what]  # fmt: skip
        fds = () if what == "closed" else (fd,)
        done = Run("--listen", f"fd:{fd}", "--route", "/=echo:", pass_fds=fds)
    assert done.code == 1 and f"descriptor {fd}" in done.err


def test_unix_listener(gangway, tmp_path):
    path = tmp_path / "s"
    gw = gangway("echo:", listen=[f"unix:{path}"], args=["--workers", "3"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    for _ in range(5):
        bounces(gw)


@pytest.mark.parametrize("mode", ["0600", "0666", "0777"])
def test_mode_of_a_unix_listener(gangway, tmp_path, mode):
    """Whatever the umask."""
    path = tmp_path / "s"
    gw = gangway(
        config={"listeners": [{"url": f"unix:{path}", "mode": mode}], "routes": ["/=echo:"]},
        listen=(), limits=lambda: os.umask(0o077),
    )  # fmt: skip
    assert stat.S_IMODE(path.stat().st_mode) == int(mode, 8)
    bounces(gw)


def test_a_stale_unix_socket_is_replaced(gangway, tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
        old.listen(1)
    bounces(gangway("echo:", listen=[f"unix:{path}"]))


def test_what_is_no_socket_is_left_alone(tmp_path):
    (tmp_path / "s").write_text("precious")
    done = Run("--listen", f"unix:{tmp_path}/s", "--route", "/=echo:")
    assert done.code == 1
    assert (tmp_path / "s").read_text() == "precious"


def test_a_unix_socket_in_use_is_left_alone(gangway, tmp_path):
    gw = gangway("echo:", listen=[f"unix:{tmp_path}/s"])
    done = Run("--listen", f"unix:{tmp_path}/s", "--route", "/=echo:")
    assert done.code == 1 and "in use" in done.err
    bounces(gw)


def test_after_a_kill_it_starts_again(gangway, tmp_path):
    first = gangway("echo:", listen=[f"unix:{tmp_path}/s"])
    first.signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    first.exit_code = 0  # as it should be for who sent the signal
    bounces(gangway("echo:", listen=[f"unix:{tmp_path}/s"]))


def test_relative_unix_paths(gangway, tmp_path):
    """Of a flag from the working directory, of a file from the file's."""
    gw = gangway("echo:", listen=["unix:here"], directory=tmp_path)
    assert (tmp_path / "here").is_socket()
    bounces(Place("unix", path=str(tmp_path / "here")))
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "c.yaml").write_text("listeners: ['unix:there']\nroutes: ['/=echo:']\n")
    gangway(args=["--config", tmp_path / "conf" / "c.yaml"], listen=())
    bounces(Place("unix", path=str(tmp_path / "conf" / "there")))
    assert gw.process.poll() is None


def test_abstract_unix_sockets(gangway):
    name = f"gangway-test-{os.getpid()}"
    gangway("echo:", listen=[f"unix:@{name}"])
    with Wire(socket.socket(socket.AF_UNIX)) as wire:
        wire.sock.settimeout(10)
        wire.sock.connect("\0" + name)
        wire.send(request())
        assert wire.answer().status == 101


def test_several_listeners(gangway, tmp_path):
    gw = gangway("echo:", listen=["ws://127.0.0.1:0", "ws://[::1]:0", f"unix:{tmp_path}/s"])
    assert [p.scheme for p in gw.places] == ["ws", "ws", "unix"]
    for place in gw.places:
        bounces(place)


# ---- plugins ------------------------------------------------------------------------


MINIMAL = r"""
#include "bridge.h"
static int route_open(const struct gw_host *h, const struct gw_target *t,
                      void **route, char *err, size_t cap)
{ (void)h; (void)t; (void)route; (void)err; (void)cap; return 0; }
static void route_close(const struct gw_host *h, void *r) { (void)h; (void)r; }
static void *open_(struct gw_session *s, void *route, const struct gw_request *r,
                   enum gw_take *take)
{ (void)s; (void)route; (void)r; (void)take; return 0; }
static void data(void *p, const struct gw_data *d) { (void)p; (void)d; }
static void close_(void *p) { (void)p; }
static const char *const schemes[] = {"SCHEME", 0};
const struct gw_bridge gangway_bridge = {
    .abi = GW_ABI, .size = sizeof gangway_bridge, .name = "minimal", .help = "none",
    .schemes = schemes, .route_open = route_open, .route_close = route_close,
    .open = open_, .data = data, .close = close_,
};
"""


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda c: c.replace("SCHEME", "min"), None),
        (lambda c: c.replace(".abi = GW_ABI", ".abi = GW_ABI + 1"), "version"),
        (lambda c: c.replace(".abi = GW_ABI", ".abi = 0"), "version 0"),
        (lambda c: c.replace(".size = sizeof gangway_bridge", ".size = 8"), "too short"),
        (lambda c: c.replace("gangway_bridge", "other_name"), "exports no gangway_bridge"),
        (lambda c: c.replace(".data = data, ", ""), "incomplete"),
        (lambda c: c.replace('"SCHEME", ', ""), "incomplete"),
        (lambda c: c.replace("SCHEME", "tcp"), "another bridge serves tcp:"),
        (lambda c: c.replace("static int route_open", "int nobody_has_this(void);\nstatic int "
                             "route_open").replace("return 0; }\nstatic void route_close",
                             "return nobody_has_this(); }\nstatic void route_close"),
         "nobody_has_this"),
    ],
)  # fmt: skip
def test_plugins(tmp_path, change, why):
    so = compile_plugin(tmp_path, change(MINIMAL))
    done = Run("--check", "--plugin", so, "--listen", "ws://:1",
               "--route", "/=" + ("min:" if why is None else "echo:"))  # fmt: skip
    if why is None:
        assert (done.code, done.err) == (0, "")
    else:
        assert done.code == 78
        assert str(so) in done.err and why in done.err
        assert len(done.errors) == 1


@pytest.mark.parametrize("what", ["missing", "text", "empty", "folder", "other"])
def test_files_that_are_no_plugins(tmp_path, what):
    path = tmp_path / "p.so"
    if what == "text":
        path.write_text("this is no shared object")
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "folder":
        path.mkdir()
    elif what == "other":
        shutil.copy(BINARY, path)
    done = Run("--check", "--plugin", path, "127.0.0.1:0", "echo:")
    assert done.code == 78 and "p.so" in done.err, done.err


def test_a_plugin_in_the_working_directory(tmp_path):
    """A name without a slash is a file, not something to search for."""
    compile_plugin(tmp_path, MINIMAL.replace("SCHEME", "min"))
    done = Run("--check", "--plugin", "plugin.so", "127.0.0.1:0", "min:", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")


def test_a_plugin_twice(tmp_path):
    so = compile_plugin(tmp_path, MINIMAL.replace("SCHEME", "min"))
    done = Run("--check", "--plugin", so, "--plugin", so, "127.0.0.1:0", "min:")
    assert done.code == 78 and "already" in done.err


def test_a_plugin_that_refuses_a_route(tmp_path):
    so = compile_plugin(tmp_path, "#include <stdio.h>\n" + MINIMAL.replace("SCHEME", "min").replace(
        "(void)err; (void)cap; return 0; }",
        'snprintf(err, cap, "not on %s", "tuesdays"); return -1; }'))  # fmt: skip
    done = Run("--check", "--plugin", so, "127.0.0.1:0", "min:")
    assert done.code == 78 and "not on tuesdays" in done.err


def test_a_plugin_out_of_memory(gangway, tmp_path):
    """open returns NULL: 503."""
    so = compile_plugin(tmp_path, MINIMAL.replace("SCHEME", "min"))
    gw = gangway("min:", args=["--plugin", so])
    with Wire(dial(gw.place)) as wire:
        wire.send(request())
        assert wire.answer().status == 503


# ---- the process --------------------------------------------------------------------------


def test_ready_is_printed_when_it_is(run):
    gw = run("127.0.0.1:0", "echo:", "--admin", "127.0.0.1:0")
    assert gw.stdout[-1] == "ready"
    assert any(line.startswith("listening on ws://127.0.0.1:") for line in gw.stdout)
    assert any(line.startswith("admin on http://127.0.0.1:") for line in gw.stdout)


@pytest.mark.parametrize("how", ["closed", "full", "broken"])
def test_stdout_does_not_matter(tmp_path, how):
    """Nobody has to read where it listens."""
    port = free_port()
    r, w = os.pipe()
    if how == "broken":
        os.close(r)
    stdout = open("/dev/full", "wb") if how == "full" else open(w, "wb")
    with stdout:
        process = subprocess.Popen(
            [BINARY, f"127.0.0.1:{port}", "echo:"], stdout=stdout, stderr=subprocess.DEVNULL,
            cwd=tmp_path, env={**os.environ, **SANITIZER_ENV},
            preexec_fn=(lambda: os.close(1)) if how == "closed" else None,
        )  # fmt: skip
    try:
        place = Place("ws", "127.0.0.1", port)
        end = time.monotonic() + (20 if SANITIZER else 10)
        while not connects(place):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        bounces(place)
        until_signals_are_handled(process.pid)
    finally:
        process.terminate()
        assert process.wait(20) == 0
        if how == "full":
            os.close(w)
        if how != "broken":
            os.close(r)


def test_sigpipe_and_usr_signals(run):
    """Nobody sends SIGPIPE with intent; it is ignored all the same."""
    gw = run("127.0.0.1:0", "echo:")
    gw.signal(signal.SIGPIPE)
    bounces(gw)


def test_idle_costs_nothing(run):
    gw = run("127.0.0.1:0", "echo:")
    sessions = [RawWs(gw) for _ in range(50)]
    before = gw.cpu_s()
    time.sleep(1)
    assert gw.cpu_s() - before <= 0.02
    for ws in sessions:
        ws.close()


def test_schema_is_json():
    json.loads(Run("--schema").out)
