# SPDX-License-Identifier: Apache-2.0
"""The operator's listener: /healthz, /readyz, /metrics."""

import os
import re
import signal
import socket
import stat
import subprocess
import time
from datetime import datetime, timezone

import pytest
from backends import refusing_port
from gangway import Place
from ops import (
    PATIENCE_S,
    Run,
    compile_plugin,
    connects,
    fetch,
    http,
    metrics,
    until_metric,
)
from rawws import BINARY, PING, PONG, TEXT, RawWs, Wire, ask, dial, request

ADMIN = ("--admin", "127.0.0.1:0")


@pytest.fixture
def gw(gangway):
    return gangway("echo:", args=ADMIN)


# ---- where it listens -------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "127.1.2.3:0"])
def test_on_the_loopback(gangway, address):
    gw = gangway("echo:", args=["--admin", address])
    assert gw.admin.scheme == "http" and gw.admin.port > 0
    assert fetch(gw.admin, "/readyz").status == 200


def test_on_a_unix_socket(gangway, tmp_path):
    path = tmp_path / "admin.sock"
    gw = gangway("echo:", args=["--admin", f"unix:{path}"])
    assert gw.admin.path == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert fetch(gw.admin, "/readyz").status == 200
    assert "gangway_build_info" in fetch(gw.admin, "/metrics").body.decode()


def test_a_stale_unix_socket_is_replaced(gangway, tmp_path):
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    gw = gangway("echo:", args=["--admin", f"unix:{path}"])
    assert fetch(gw.admin, "/readyz").status == 200


def test_a_unix_socket_in_use_is_not(tmp_path):
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(1)
        run = Run("--listen", "ws://127.0.0.1:0", "--route", "/=echo:", "--admin", f"unix:{path}")
        assert run.code == 1 and "in use" in run.err
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0:0", "[::]:0", ":9090", "192.0.2.1:9090", "10.0.0.1:1", "*:1",
     "example.com:80", "localhost.example.com:80", "[::ffff:10.0.0.1]:80", "9090"],
)  # fmt: skip
@pytest.mark.parametrize("how", ["--check", "--workers=1"])
def test_nowhere_else(address, how):
    run = Run("--listen", "ws://127.0.0.1:0", "--route", "/=echo:", "--admin", address, how)
    assert run.code == 64
    assert address in run.err and "127.0.0.1:PORT" in run.err


def test_admin_paths_are_not_served_to_clients(gw):
    for path in ("/metrics", "/healthz", "/readyz"):
        assert fetch(gw.place, path).status in (404, 426)


def test_it_is_no_websocket(gw):
    assert ask(gw.admin, request("/")).status == 404


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metrics%00", "/../metrics", "/healthz/x"])
def test_other_paths(gw, path):
    assert fetch(gw.admin, path).status in (400, 404)


def test_methods(gw):
    answer = fetch(gw.admin, "/metrics", method="HEAD")
    assert answer.status == 200 and answer.body == b""
    assert int(answer.header("content-length")) > 1000
    assert ask(gw.admin, b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").status == 405


def test_many_questions_on_one_connection(gw):
    with Wire(dial(gw.admin)) as wire:
        for _ in range(5):
            for path in ("/healthz", "/metrics", "/readyz"):
                wire.send(http("GET", path))
                assert wire.answer().status == 200
        wire.send(http("GET", "/healthz") * 10)
        for _ in range(10):
            assert wire.answer().status == 200


def test_silent_admin_clients_are_bounded(gangway):
    """Connections that ask nothing cannot lock the operator out for long."""
    gw = gangway("echo:", args=ADMIN)
    idle = [dial(gw.admin) for _ in range(40)]
    for sock in idle:
        sock.close()
    gw.until(lambda: answers(gw), what="an answer")


def answers(gw):
    try:
        return fetch(gw.admin, "/readyz").status == 200
    except Exception:
        return False


# ---- health ------------------------------------------------------------------------


def test_healthy(gangway):
    gw = gangway("echo:", args=[*ADMIN, "--workers", "3"])
    answer = fetch(gw.admin, "/healthz")
    assert answer.status == 200
    assert re.fullmatch(r"ok: 3 loops turn, worst lag \d+\.\d ms\n", answer.body.decode())
    assert answer.header("cache-control") == "no-store"


SLEEPER = r"""
#include "bridge.h"

#include <stdlib.h>
#include <unistd.h>

/* Does what no bridge may: blocks its loop, for as many tenths of a second as
 * the message has bytes. */
static const struct gw_host *host;

static int route_open(const struct gw_host *h, const struct gw_target *t,
                      void **route, char *err, size_t cap)
{
    (void)t, (void)err, (void)cap;
    host = h;
    *route = NULL;
    return 0;
}

static void route_close(const struct gw_host *h, void *route)
{
    (void)h, (void)route;
}

struct state {
    struct gw_session *session;
};

static void *open_(struct gw_session *s, void *route,
                   const struct gw_request *r, enum gw_take *take)
{
    struct state *state = malloc(sizeof *state);
    (void)route, (void)r;
    if (!state)
        return NULL;
    state->session = s;
    *take = GW_MESSAGES;
    host->accept(s);
    return state;
}

static void data(void *p, const struct gw_data *d)
{
    struct state *state = p;
    for (size_t i = 0; i < d->n; i++)
        usleep(100000);
    host->send(state->session, d->type, d->p, d->n, false);
}

static const char *const schemes[] = {"sleep", NULL};

const struct gw_bridge gangway_bridge = {
    .abi = GW_ABI,
    .size = sizeof gangway_bridge,
    .name = "sleeper",
    .help = "blocks",
    .schemes = schemes,
    .route_open = route_open,
    .route_close = route_close,
    .open = open_,
    .data = data,
    .close = free,
};
"""


@pytest.fixture(scope="module")
def sleeper(tmp_path_factory):
    return compile_plugin(tmp_path_factory.mktemp("plugin"), SLEEPER)


def test_a_stuck_loop_is_seen(gangway, sleeper):
    """503 with the number of loops that hang, the lag in the metrics; and
    healthy again when it turns."""
    gw = gangway("sleep:", args=[*ADMIN, "--workers", "2", "--plugin", sleeper])
    with RawWs(gw) as ws:
        ws.text("x" * 40)  # 4 s
        time.sleep(0.1)
        began = time.monotonic()
        answer = fetch(gw.admin, "/healthz")
        assert answer.status == 503, answer.body
        assert b"1 of 2 loops" in answer.body
        assert time.monotonic() - began < 3
        assert fetch(gw.admin, "/readyz").status == 200
        assert metrics(gw)["gangway_loop_lag_seconds"] >= 1.5
        assert ws.recv_message() == (TEXT, b"x" * 40)
        assert fetch(gw.admin, "/healthz").status == 200
        assert metrics(gw)["gangway_loop_lag_seconds"] < 1
        ws.close_normally()


def test_a_slow_loop_is_measured(gangway, sleeper):
    """Late, but within what a health check bears: the lag tells."""
    gw = gangway("sleep:", args=[*ADMIN, "--workers", "1", "--plugin", sleeper])
    with RawWs(gw) as ws:
        ws.text("x" * 5)
        time.sleep(0.1)
        assert 0.1 < metrics(gw)["gangway_loop_lag_seconds"] < 1
        assert ws.recv_message()[1] == b"x" * 5


def test_who_leaves_before_the_answer_leaves_nothing(gangway, sleeper):
    gw = gangway("sleep:", args=[*ADMIN, "--workers", "1", "--plugin", sleeper])
    fds = gw.fds()
    with RawWs(gw) as ws:
        ws.text("x" * 10)
        time.sleep(0.1)
        for path in ("/healthz", "/metrics") * 5:
            with Wire(dial(gw.admin)) as wire:
                wire.send(http("GET", path))
        assert ws.recv_message()[1] == b"x" * 10
        ws.close_normally()
    assert fetch(gw.admin, "/healthz").status == 200
    gw.until(lambda: gw.fds() == fds, what=f"{fds} descriptors")


def test_a_stuck_loop_and_a_stop(gangway, sleeper):
    """The question that nobody answers does not outlive gangway."""
    gw = gangway(
        "sleep:",
        args=[*ADMIN, "--workers", "1", "--plugin", sleeper],
        settings={"timeouts.drain": "1s"},
    )
    with RawWs(gw) as ws, Wire(dial(gw.admin)) as wire:
        ws.text("x" * 10)
        time.sleep(0.1)
        wire.send(http("GET", "/healthz"))
        gw.signal(signal.SIGTERM)
        assert gw.wait() == 0


# ---- metrics --------------------------------------------------------------------------


def test_promtool_likes_it(gangway, wss, authority, echo_server):
    """Before anything has happened, and after all kinds of things have."""
    gw = gangway({"/": "echo:", "/s": echo_server.url}, config=wss, listen=(), args=ADMIN)
    tls = authority.client_context()

    def check():
        text = fetch(gw.admin, "/metrics").body
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
        )
        assert done.returncode == 0 and not done.stderr + done.stdout, done.stderr + done.stdout

    check()
    for path in ("/", "/s"):
        with RawWs(gw, path, tls=tls) as ws:
            ws.text("x")
            ws.recv_message()
            ws.close_normally(4000)
    ask(gw.place, request("/nowhere"), tls)
    ask(gw.place, request(Sec_WebSocket_Version="1"), tls)
    fetch(gw.place, "/plain", tls=tls)
    check()


def test_content_type(gw):
    answer = fetch(gw.admin, "/metrics")
    assert answer.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"


def moved(before, after):
    """What is not as it was."""
    names = set(before) | set(after)
    return {
        n: after.get(n, 0) - before.get(n, 0)
        for n in names
        if after.get(n, 0) != before.get(n, 0)
        and not n.startswith(("process_", "gangway_loop_lag", "gangway_build"))
        and "_duration_seconds" not in n
    }


def test_one_session_counts_once(gw):
    before = metrics(gw)
    with RawWs(gw) as ws:
        during = moved(before, metrics(gw))
        assert during == {
            "gangway_connections_active": 1,
            "gangway_connections_total": 1,
            "gangway_sessions_active": 1,
            "gangway_sessions_total": 1,
        }
        ws.text("12345")
        ws.binary(b"1234567")
        assert ws.recv_message() == (TEXT, b"12345")
        assert ws.recv_message() == (BINARY, b"1234567")
        ws.frame(PING, b"")
        assert ws.recv_frame().opcode == PONG
        ws.frame(PONG, b"")
        ws.close_normally(1000)
    until_metric(gw, "gangway_connections_active", 0)
    frames = "gangway_ws_frames_total"
    assert moved(before, metrics(gw)) == {
        "gangway_connections_total": 1,
        "gangway_sessions_total": 1,
        'gangway_session_ends_total{reason="client_close",initiator="client"}': 1,
        'gangway_ws_closes_total{code="1000"}': 1,
        'gangway_ws_payload_bytes_total{direction="in"}': 12,
        'gangway_ws_payload_bytes_total{direction="out"}': 12,
        **{f'{frames}{{direction="{d}",opcode="{o}"}}': 1
           for d in ("in", "out") for o in ("text", "binary", "close")},
        f'{frames}{{direction="in",opcode="ping"}}': 1,
        f'{frames}{{direction="out",opcode="pong"}}': 1,
        f'{frames}{{direction="in",opcode="pong"}}': 1,
    }  # fmt: skip


def test_histograms_count(gw):
    for i in range(3):
        with RawWs(gw) as ws:
            ws.close_normally()
        values = metrics(gw)
        assert values["gangway_handshake_duration_seconds_count"] == i + 1
        assert values['gangway_handshake_duration_seconds_bucket{le="+Inf"}'] == i + 1
    assert 0 <= values["gangway_handshake_duration_seconds_sum"] < 1


def end_of(gw, before, reason, initiator, code):
    """Exactly one session has ended since, with this reason and code."""
    name = f'gangway_session_ends_total{{reason="{reason}",initiator="{initiator}"}}'
    until_metric(gw, name, before.get(name, 0) + 1)
    now = moved(before, metrics(gw))
    ends = {k: v for k, v in now.items() if k.startswith("gangway_session_ends")}
    codes = {k: v for k, v in now.items() if k.startswith("gangway_ws_closes")}
    assert ends == {name: 1}
    assert codes == {f'gangway_ws_closes_total{{code="{code}"}}': 1}


def test_ends_and_codes(gangway, backend, sleeper):
    gw = gangway(
        {"/": backend.url, "/echo": "echo:", "/whole": "sleep:"},
        settings={"limits.max_message": "100", "timeouts.idle": "1s"},
        args=[*ADMIN, "--plugin", sleeper],
    )

    def session(path="/"):
        return RawWs(gw, path)

    before = metrics(gw)
    with session("/echo") as ws:
        ws.send_close()
        ws.recv_close()
        ws.closed()
    end_of(gw, before, "client_close", "client", 1005)

    before = metrics(gw)
    with session("/echo") as ws:
        ws.close_normally(4999)
    end_of(gw, before, "client_close", "client", "3000-4999")

    before = metrics(gw)
    with session("/echo"):
        pass
    end_of(gw, before, "client_gone", "client", 1006)

    before = metrics(gw)
    session("/echo").reset()
    end_of(gw, before, "client_reset", "client", 1006)

    before = metrics(gw)
    with session("/echo") as ws:
        ws.frame(3, b"")
        assert ws.recv_close()[0] == 1002
    end_of(gw, before, "protocol_error", "gateway", 1002)

    before = metrics(gw)
    with session("/echo") as ws:
        ws.text(b"\xff")
        assert ws.recv_close()[0] == 1007
    end_of(gw, before, "bad_data", "gateway", 1007)

    before = metrics(gw)
    with session("/whole") as ws:
        ws.binary(b"x" * 101)
        assert ws.recv_close()[0] == 1009
    end_of(gw, before, "too_big", "gateway", 1009)

    before = metrics(gw)
    with session("/echo") as ws:
        assert ws.recv_close()[0] == 1001
        ws.send_close(1001)
        ws.closed()
    end_of(gw, before, "idle", "gateway", 1001)

    before = metrics(gw)
    with session() as ws, backend.accept() as peer:
        peer.finish()
        assert ws.recv_close()[0] == 1000
        ws.send_close(1000)
        ws.closed()
    end_of(gw, before, "backend_done", "backend", 1000)

    before = metrics(gw)
    with session() as ws, backend.accept() as peer:
        peer.reset()
        assert ws.recv_close()[0] == 1011
        ws.send_close(1011)
        ws.closed()
    end_of(gw, before, "backend_lost", "backend", 1011)

    # All that were opened have ended, once each.
    values = metrics(gw)
    ends = sum(v for k, v in values.items() if k.startswith("gangway_session_ends"))
    assert ends == values["gangway_sessions_total"]
    assert values["gangway_sessions_active"] == 0


def test_refusals(gangway):
    sock, port = refusing_port()
    with sock:
        gw = gangway({"/": "echo:", "/dead": f"tcp://127.0.0.1:{port}"}, args=ADMIN)
        before = metrics(gw)
        assert ask(gw.place, request("/nowhere")).status == 404
        assert ask(gw.place, request("/dead")).status == 502
        assert ask(gw.place, request(Sec_WebSocket_Version="12")).status == 426
    until_metric(gw, "gangway_connections_active", 0)
    now = moved(before, metrics(gw))
    for status in (404, 426, 502):
        assert now[f'gangway_handshake_rejects_total{{status="{status}"}}'] == 1
    assert now['gangway_backend_connects_total{result="failed"}'] == 1
    assert "gangway_sessions_total" not in now


def test_plain_answers(gangway, tmp_path):
    (tmp_path / "f.txt").write_text("x")
    gw = gangway("echo:", args=[*ADMIN, "--web", tmp_path])
    before = metrics(gw)
    assert fetch(gw.place, "/f.txt").status == 200
    assert fetch(gw.place, "/none").status == 404
    assert fetch(gw.place, "/f.txt", ("Range", "bytes=9-")).status == 416
    now = moved(before, metrics(gw))
    for status in (200, 404, 416):
        assert now[f'gangway_http_responses_total{{status="{status}"}}'] == 1
    assert not any("rejects" in name or "sessions" in name for name in now)


def test_limits_that_were_hit(gangway, sleeper):
    gw = gangway(
        "sleep:",
        settings={
            "limits.uri_bytes": "100",
            "limits.max_message": "10",
            "limits.fragments": "2",
            "limits.control_burst": "5",
            "limits.control_rate": "1",
            "timeouts.request": "200ms",
        },
        args=[*ADMIN, "--plugin", sleeper],
    )
    before = metrics(gw)
    assert ask(gw.place, request("/" + "x" * 200)).status == 414
    with Wire(dial(gw.place)) as wire:
        wire.send(b"GET")
        assert wire.answer().status == 408
    for code, frames in (
        (1009, [(BINARY, b"x" * 11, True)]),
        (1008, [(BINARY, b"x", False), (0, b"x", False), (0, b"x", True)]),
        (1008, [(PING, b"", True)] * 10),
    ):
        with RawWs(gw) as ws:
            for opcode, payload, fin in frames:
                ws.frame(opcode, payload, fin=fin)
            got = ws.recv_frame()
            while got.opcode == PONG:
                got = ws.recv_frame()
            assert int.from_bytes(got.payload[:2], "big") == code
    until_metric(gw, "gangway_sessions_active", 0)
    now = moved(before, metrics(gw))
    hits = {k: v for k, v in now.items() if k.startswith("gangway_limit_hits")}
    assert hits == {
        f'gangway_limit_hits_total{{limit="{name}"}}': 1
        for name in ("header", "request_time", "message", "fragments", "control")
    }


def test_tls_metrics(gangway, wss, authority, server_pair):
    gw = gangway("echo:", config=wss, listen=(), args=ADMIN)
    with Wire(dial(gw.place)) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wire.gone()
    until_metric(gw, "gangway_tls_handshake_failures_total", 1)
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-dateopt", "iso_8601",
         "-in", str(server_pair.certificate)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    ends = datetime.strptime(done.stdout.strip(), "notAfter=%Y-%m-%d %H:%M:%SZ")
    told = metrics(gw)["gangway_tls_cert_not_after_timestamp_seconds"]
    assert told == ends.replace(tzinfo=timezone.utc).timestamp()
    with RawWs(gw, tls=authority.client_context()):
        pass


def test_backends_are_counted(gangway, echo_server):
    gw = gangway(echo_server.url, args=ADMIN)
    for _ in range(4):
        with RawWs(gw) as ws:
            ws.close_normally()
    values = metrics(gw)
    assert values['gangway_backend_connects_total{result="ok"}'] == 4
    assert values["gangway_backend_connect_duration_seconds_count"] == 4


def test_the_process(gangway):
    gw = gangway("echo:", args=ADMIN)
    now = time.time()
    values = metrics(gw)
    assert abs(values["gangway_start_time_seconds"] - now) < START_S
    assert abs(values["process_start_time_seconds"] - now) < START_S
    assert abs(values["process_resident_memory_bytes"] - gw_rss(gw)) < 4 << 20
    assert abs(values["process_open_fds"] - gw.fds()) <= 2
    assert values["process_max_fds"] >= 64
    assert values["process_cpu_seconds_total"] >= 0
    assert values["gangway_max_connections"] > 100
    assert values["gangway_config_last_reload_successful"] == 1


START_S = PATIENCE_S


def gw_rss(gw):
    with open(f"/proc/{gw.pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_counters_of_all_workers_are_summed(gangway):
    gw = gangway("echo:", args=[*ADMIN, "--workers", "4"])
    sessions = [RawWs(gw) for _ in range(40)]
    assert metrics(gw)["gangway_sessions_active"] == 40
    for ws in sessions:
        ws.text("x")
        ws.recv_message()
        ws.close_normally()
        ws.close()
    until_metric(gw, "gangway_connections_active", 0)
    values = metrics(gw)
    assert values["gangway_sessions_total"] == 40
    assert values['gangway_ws_frames_total{direction="in",opcode="text"}'] == 40
    workers = {line["sid"].split("-")[0] for line in gw.wait_lines("session-end", 40)}
    assert len(workers) > 1


def test_counters_survive_a_reload(gangway):
    gw = gangway(
        config={"routes": [{"path": "/", "target": "echo:"}]}, args=ADMIN
    )
    with RawWs(gw) as ws:
        ws.close_normally()
    gw.signal(signal.SIGHUP)
    gw.wait_log("reloaded")
    values = metrics(gw)
    assert values["gangway_sessions_total"] == 1
    assert values['gangway_config_reloads_total{result="ok"}'] == 1


def test_a_plugins_counters(gangway, tmp_path):
    source = SLEEPER.replace(
        ".data = data,",
        ".counters = counters,\n    .data = data,",
    ).replace(
        "const struct gw_bridge gangway_bridge",
        'static const struct gw_counter counters[] = '
        '{{.name = "naps", .help = "Naps \\"taken\\"."}, {0}};\n\n'
        "const struct gw_bridge gangway_bridge",
    ).replace(
        "host->send(", "host->count(state->session, 0, d->n);\n    host->send("
    )  # fmt: skip
    so = compile_plugin(tmp_path, source)
    gw = gangway("sleep:", args=[*ADMIN, "--plugin", so])
    with RawWs(gw) as ws:
        ws.text("xx")
        ws.recv_message()
    assert metrics(gw)['gangway_bridge_naps_total{bridge="sleeper"}'] == 2
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=fetch(gw.admin, "/metrics").body, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and not done.stderr


def test_admin_goes_with_gangway(gangway, tmp_path):
    gw = gangway("echo:", args=ADMIN)
    place = gw.admin
    gw.stop()
    assert not connects(Place("http", place.host, place.port))
