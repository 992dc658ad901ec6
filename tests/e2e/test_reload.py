# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: what changes, what stays, and a bad configuration that does nothing."""

import contextlib
import re
import resource
import signal
import socket
import threading

import pytest
from gangway import Place
from ops import Talkers, connects, fetch, metrics, reload, reload_fails
from rawws import TEXT, RawWs, Wire, ask, dial, request


def config(routes=None, listeners=("ws://127.0.0.1:0",), **more):
    return {
        "listeners": [u if isinstance(u, dict) else {"url": u} for u in listeners],
        "routes": [
            {"path": path, "target": target} for path, target in (routes or {"/": "echo:"}).items()
        ],
        "timeouts": {"drain": 0},
        **more,
    }


@pytest.fixture
def start(gangway):
    """A gangway whose configuration is all in its file."""
    return lambda c, **how: gangway(config=c, listen=(), settings={"timeouts.drain": "0"}, **how)


def talks(ws, text="hello"):
    ws.text(text)
    assert ws.recv_message() == (TEXT, text.encode())


# ---- routes and limits ----------------------------------------------------------


def test_routes_come_and_go(start):
    gw = start(config({"/a": "echo:", "/both": "echo:"}))
    with RawWs(gw, "/a") as old:
        assert ask(gw.place, request("/b")).status == 404
        reload(gw, config({"/b": "echo:", "/both": "echo:"}))
        assert ask(gw.place, request("/a")).status == 404
        for path in ("/b", "/both"):
            with RawWs(gw, path) as ws:
                talks(ws)
        talks(old)
        old.close_normally()


def test_a_route_gets_another_backend(start, backend, echo_server):
    gw = start(config({"/": backend.url}))
    with RawWs(gw) as old, backend.accept() as peer:
        reload(gw, config({"/": echo_server.url}))
        with RawWs(gw) as new:
            new.binary(b"x")
            assert new.recv_message()[1] == b"x"
        old.binary(b"still here")
        assert peer.exactly(10) == b"still here"
        peer.send(b"so am I")
        assert old.recv_bytes(7) == b"so am I"


def test_limits_change_for_newcomers(start):
    gw = start(config(limits={"uri_bytes": 128}))
    long = "/?" + "x" * 500
    assert ask(gw.place, request(long)).status == 414
    reload(gw, config(limits={"uri_bytes": 1024}))
    assert ask(gw.place, request(long)).status == 101
    reload(gw, config(limits={"uri_bytes": 128}))
    assert ask(gw.place, request(long)).status == 414


def test_sessions_finish_on_the_settings_they_began_with(start):
    gw = start(config())
    with RawWs(gw) as old:
        reload(gw, config(timeouts={"drain": 0, "idle": "300ms"}))
        with RawWs(gw) as new:
            assert new.recv_close()[0] == 1001
        old.expect_nothing(0.5)
        talks(old)


def test_capacity_shrinks_and_grows(start):
    gw = start(config(limits={"connections": 2}))
    with RawWs(gw) as a, RawWs(gw) as b:
        reload(gw, config(limits={"connections": 1}))
        assert ask(gw.place, request()).status == 503
        talks(a)
        talks(b)
        reload(gw, config(limits={"connections": 3}))
        with RawWs(gw) as c:
            talks(c)


def test_connections_accepted_before_belong_to_the_old_routes(start):
    """A request that is half read when the reload comes."""
    gw = start(config({"/a": "echo:"}, workers=1))
    with Wire(dial(gw.place)) as wire:
        head = request("/a")
        wire.send(head[:30])
        with RawWs(gw, "/a") as ws:  # came later: the other was accepted
            talks(ws)
        reload(gw, config({"/b": "echo:"}, workers=1))
        wire.send(head[30:])
        assert wire.answer().status == 101


def test_log_level_changes(start):
    gw = start(config(log={"level": "error"}))
    with RawWs(gw) as ws:
        ws.close_normally()
    gw.signal(signal.SIGHUP)  # reloaded, but nobody is told
    gw.signal(signal.SIGHUP)
    reload(gw, config(log={"level": "info"}))
    assert "session-open" not in gw.text()
    with RawWs(gw):
        gw.wait_log("session-open")


def test_what_needs_a_restart_is_told(start):
    gw = start(config(workers=1, admin="127.0.0.1:0"))
    reload(gw, config(workers=2, admin="unix:other.sock", log={"format": "json"}))
    for key in ("workers", "admin", "log.format"):
        gw.wait_log("reload-needs-restart", key=key)
    assert fetch(gw.admin, "/readyz").status == 200


def test_flags_prevail_again(gangway):
    gw = gangway({"/flag": "echo:"}, config={"limits": {"uri_bytes": 128}})
    reload(gw, {"limits": {"uri_bytes": 1024}, "routes": [{"path": "/file", "target": "echo:"}]})
    assert ask(gw.place, request("/flag?" + "x" * 500)).status == 101
    assert ask(gw.place, request("/file")).status == 404


# ---- listeners ------------------------------------------------------------------


def test_a_listener_is_added(start):
    gw = start(config())
    with RawWs(gw) as old:
        reload(gw, config(listeners=["ws://127.0.0.1:0", "ws://[::1]:0"]))
        gw.until(lambda: len(gw.places) == 2, what="another listener")
        assert gw.places[1].host == "::1"
        for place in gw.places:
            with RawWs(place) as ws:
                talks(ws)
        talks(old)


def test_a_listener_is_removed_and_what_it_accepted_stays(start):
    gw = start(config(listeners=["ws://127.0.0.1:0", "ws://[::1]:0"]))
    going = gw.places[1]
    with RawWs(going) as session, Wire(dial(going)) as asking:
        asking.send(request()[:20])
        talks(session)
        with RawWs(going):  # accepts in order: `asking` is in
            pass
        reload(gw, config())
        gw.until(lambda: not connects(going), what="the listener's end")
        talks(session)
        asking.send(request()[20:])
        assert asking.answer().status == 101
        with RawWs(gw) as ws:
            talks(ws)


def test_port_zero_stays_where_it_is(start):
    gw = start(config())
    for i in range(3):
        reload(gw, config({f"/{i}": "echo:"}))
    assert len(gw.places) == 1
    with RawWs(gw, "/2") as ws:
        talks(ws)


def test_two_listeners_with_port_zero(start):
    """The same words twice, two listeners: both stay, through any reload."""
    gw = start(config(listeners=["ws://127.0.0.1:0"] * 2))
    assert len(gw.places) == 2 and gw.places[0] != gw.places[1]
    with RawWs(gw.places[1]) as old:
        for i in range(3):
            reload(gw, config({"/": "echo:", f"/{i}": "echo:"}, ["ws://127.0.0.1:0"] * 2))
            for place in gw.places:
                with RawWs(place, f"/{i}") as ws:
                    talks(ws)
        talks(old)
    assert len(gw.places) == 2
    reload(gw, config(listeners=["ws://127.0.0.1:0"]))
    gw.until(lambda: not connects(gw.places[1]), what="the second's end")
    assert connects(gw.places[0])
    reload(gw, config(listeners=["ws://127.0.0.1:0"] * 3))
    gw.until(lambda: len(gw.places) == 4, what="two new ones")
    for place in (gw.places[0], *gw.places[2:]):
        with RawWs(place) as ws:
            talks(ws)


def test_listeners_change_places(start):
    """The order in the file means nothing: each keeps its TLS and its port."""
    plain, other = {"url": "ws://127.0.0.1:0"}, {"url": "ws://[::1]:0"}
    gw = start(config(listeners=[plain, other]))
    reload(gw, config(listeners=[other, plain]))
    assert len(gw.places) == 2
    for place in gw.places:
        with RawWs(place) as ws:
            talks(ws)


def test_a_port_becomes_secure(start, server_pair, authority):
    """ws:// and wss:// on the same port are the same socket."""
    tls = {"certificate": str(server_pair.certificate), "key": str(server_pair.key)}
    gw = start(config())
    port = gw.place.port
    reload(gw, config(listeners=[f"ws://127.0.0.1:{port}"]))
    with RawWs(gw) as old:
        reload(gw, config(listeners=[{"url": f"wss://127.0.0.1:{port}", "tls": tls}]))
        with RawWs(gw, tls=authority.client_context()) as new:
            talks(new)
        talks(old)
        reload(gw, config(listeners=[f"ws://127.0.0.1:{port}"]))
        with RawWs(gw) as new:
            talks(new)
        talks(old)


def test_a_listener_opens_up_to_every_address(start):
    """The same port on another address, while the old one is still in use."""
    gw = start(config())
    port = gw.place.port
    reload(gw, config(listeners=[f"ws://127.0.0.1:{port}"]))
    with RawWs(gw) as old:
        reload(gw, config(listeners=[f"ws://:{port}"]))
        for host in ("127.0.0.1", "::1"):
            with RawWs((host, port)) as ws:
                talks(ws)
        talks(old)


def test_unix_listeners(start, tmp_path):
    one, two = (Place("unix", path=str(tmp_path / name)) for name in ("one", "two"))
    gw = start(config(listeners=[f"unix:{one.path}"]))
    with RawWs(one) as old:
        reload(gw, config(listeners=[f"unix:{one.path}", f"unix:{two.path}"]))
        for place in (one, two):
            with RawWs(place) as ws:
                talks(ws)
        reload(gw, config(listeners=[f"unix:{two.path}"]))
        gw.until(lambda: not connects(one), what="the first's end")
        talks(old)
        # And back: what is left of the file is no obstacle.
        reload(gw, config(listeners=[f"unix:{one.path}", f"unix:{two.path}"]))
        with RawWs(one) as ws:
            talks(ws)


def test_an_inherited_listener(start):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        place = Place("ws", *listener.getsockname())
        fd = listener.fileno()
        gw = start(config(listeners=[f"fd:{fd}"]), pass_fds=(fd,))
    with RawWs(place) as ws:
        reload(gw, config({"/": "echo:", "/b": "echo:"}, [f"fd:{fd}"]))
        talks(ws)
        with RawWs(place, "/b") as new:
            talks(new)


# ---- a bad configuration -----------------------------------------------------------


def works_as_before(gw, old):
    talks(old)
    with RawWs(gw) as ws:
        talks(ws)
    assert ask(gw.place, request("/new")).status == 404
    assert len(gw.places) == 1


@pytest.mark.parametrize(
    "text, place, why",
    [
        ("listeners: [ws://127.0.0.1:0\n", r"gangway\.yaml:\d+:\d+", ""),
        ("{}", r"gangway\.yaml", "no listener"),
        ("listeners: [ws://127.0.0.1:0]\nroutess: []\n", r"gangway\.yaml:2:1", "did you mean 'routes'"),
        (
            "listeners: [ws://127.0.0.1:0]\n"
            "routes:\n  - {path: /new, target: 'nonsense://x'}\n",
            r"gangway\.yaml:3:\d+", "nonsense",
        ),
        (
            "listeners: [ws://127.0.0.1:0, {url: 'wss://127.0.0.1:0', "
            "tls: {certificate: missing.pem}}]\n"
            "routes: [{path: /new, target: 'echo:'}]\n",
            r"gangway\.yaml:1:\d+", "missing.pem",
        ),
        (
            "listeners: [ws://127.0.0.1:0, ws://192.0.2.1:1]\n"
            "routes: [{path: /new, target: 'echo:'}]\n",
            r"gangway\.yaml:1:\d+", "192.0.2.1",
        ),
        (
            "listeners: [ws://127.0.0.1:0]\n"
            "routes: [{path: /new, target: 'tcp://{query.to}'}]\n",
            r"gangway\.yaml:2:\d+", "allow_targets",
        ),
    ],
)  # fmt: skip
def test_a_bad_one_changes_nothing(start, text, place, why):
    gw = start(config(admin="127.0.0.1:0"))
    with RawWs(gw) as old:
        told = reload_fails(gw, text)
        assert re.search(place, told), told
        assert why in told
        works_as_before(gw, old)
        values = metrics(gw)
        assert values["gangway_config_last_reload_successful"] == 0
        assert values['gangway_config_reloads_total{result="failed"}'] == 1
        reload(gw, config(admin="127.0.0.1:0"))
        values = metrics(gw)
        assert values["gangway_config_last_reload_successful"] == 1
        assert values['gangway_config_reloads_total{result="ok"}'] == 1


def test_all_errors_of_a_bad_one_are_told(start):
    gw = start(config())
    told = reload_fails(
        gw,
        "listeners: [ws://127.0.0.1:0]\n"
        "routes: [{path: no-slash, target: 'echo:'}]\n"
        "limits: {connections: many}\n"
        "timeouts: {clse: 1s}\n",
        lines=3,
    )
    assert [re.search(rf"gangway\.yaml:{line}:", told) is not None for line in (2, 3, 4)] == [True] * 3


def test_the_file_has_gone(start):
    gw = start(config())
    text = gw.config_path.read_text()
    gw.config_path.unlink()
    with RawWs(gw) as old:
        assert "gangway.yaml" in reload_fails(gw)
        works_as_before(gw, old)
    reload(gw, text)


def test_a_port_in_use_changes_nothing(start):
    gw = start(config(admin="127.0.0.1:0"))
    fds = gw.fds()
    with socket.socket() as taken, RawWs(gw) as old:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        used = f"ws://127.0.0.1:{taken.getsockname()[1]}"
        for _ in range(3):
            told = reload_fails(
                gw,
                config({"/new": "echo:"}, ["ws://127.0.0.1:0", "ws://[::1]:0", used]),
            )
            assert "in use" in told
        works_as_before(gw, old)
    # What was opened for it was closed again.
    gw.until(lambda: gw.fds() == fds, what=f"{fds} descriptors")


@contextlib.contextmanager
def out_of_descriptors(gw):
    """gangway gets no further descriptor meanwhile."""
    before = resource.prlimit(gw.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(gw.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        yield
    finally:
        resource.prlimit(gw.pid, resource.RLIMIT_NOFILE, before)


def test_out_of_descriptors_changes_nothing(start, server_pair):
    """Neither the file nor a socket can be opened; afterwards all can."""
    tls = {"certificate": str(server_pair.certificate), "key": str(server_pair.key)}
    better = config(
        {"/": "echo:", "/new": "echo:"},
        ["ws://127.0.0.1:0", "ws://[::1]:0", {"url": "wss://127.0.0.1:0", "tls": tls}],
    )
    gw = start(config())
    with RawWs(gw) as old:
        with out_of_descriptors(gw):
            assert "Too many open files" in reload_fails(gw, better)
            talks(old)
        works_as_before(gw, old)
        reload(gw)
        with RawWs(gw, "/new") as ws:
            talks(ws)
        talks(old)


# ---- under load ----------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_sessions_stay_exact_through_many_reloads(start, wss, authority, echo_server, tmp_path):
    """20 reloads that change routes, limits, listeners; nobody notices."""
    unix = Place("unix", path=str(tmp_path / "s"))
    listeners = ["ws://127.0.0.1:0", *wss["listeners"]]

    def version(i):
        routes = {"/": echo_server.url, "/e": "echo:", f"/v{i}": "echo:"}
        more = [f"unix:{unix.path}"] if i % 2 else []
        return config(routes, [*listeners, *more], limits={"queue_high": f"{64 + i}KiB"})

    gw = start(version(0))
    tls = authority.client_context()
    sessions = [RawWs(gw.places[0], "/e") for _ in range(3)]
    sessions += [RawWs(gw.places[0]) for _ in range(3)]
    sessions += [RawWs(gw.places[1], "/e", tls=tls) for _ in range(2)]
    sessions += [RawWs(gw.places[1], tls=tls) for _ in range(2)]
    talkers = Talkers(sessions)
    for i in range(1, 21):
        reload(gw, version(i))
        with RawWs(gw.places[i % 2], f"/v{i}", tls=tls if i % 2 else None) as ws:
            talks(ws)
        talkers.until_rounds(1)
    talkers.stop()
    for ws in sessions:
        ws.close_normally()
        ws.close()


@pytest.mark.timeout(120)
def test_no_connect_fails_while_reloading(start):
    """Newcomers during 20 reloads are all served."""
    gw = start(config())
    stop = threading.Event()
    errors, served = [], [0, 0]

    def come(i):
        try:
            while not stop.is_set():
                with RawWs(gw) as ws:
                    talks(ws)
                    ws.close_normally()
                served[i] += 1
        except Exception as e:
            errors.append(repr(e))

    threads = [threading.Thread(target=come, args=(i,), daemon=True) for i in range(2)]
    for thread in threads:
        thread.start()
    for i in range(20):
        more = ["ws://[::1]:0"] if i % 2 else []
        reload(gw, config({"/": "echo:", f"/{i}": "echo:"}, ["ws://127.0.0.1:0", *more]))
    stop.set()
    for thread in threads:
        thread.join(20)
    assert not errors and min(served) > 0, (errors, served)


def test_many_signals_leak_nothing(start, server_pair):
    tls = {"certificate": str(server_pair.certificate), "key": str(server_pair.key)}
    listeners = ["ws://127.0.0.1:0", {"url": "wss://127.0.0.1:0", "tls": tls}]
    gw = start(config(listeners=listeners, web="."))
    reload(gw)
    fds = gw.fds()
    for _ in range(30):
        gw.signal(signal.SIGHUP)
    reload(gw)
    with RawWs(gw) as ws:
        talks(ws)
        ws.close_normally()
    gw.until(lambda: gw.fds() == fds, what=f"{fds} descriptors again")
