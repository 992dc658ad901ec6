# SPDX-License-Identifier: Apache-2.0
"""At capacity newcomers are refused at once, and those inside notice nothing."""

import resource
import time

import pytest
from rawws import TEXT, Gone, RawWs, Wire, ask, dial, request

LIMIT = 20


def echoes(ws):
    ws.text("hello")
    assert ws.recv_message() == (TEXT, b"hello")


@pytest.fixture
def full(gangway, echo_server):
    """A gangway with as many sessions as it may have."""
    gw = gangway(echo_server.url, settings={"limits.connections": LIMIT})
    gw.fds_at_start = gw.fds()
    sessions = [RawWs(gw) for _ in range(LIMIT)]
    yield gw, sessions
    for ws in sessions:
        ws.close()


def knock(place):
    """A newcomer's request; None if it was cut off at once, as happens when
    there are too many of them even to be refused."""
    wire = None
    try:
        wire = Wire(dial(place))
        wire.send(request())
        return wire
    except OSError:
        if wire:
            wire.close()
        return None


def test_newcomers_get_503_at_once(full):
    gw, sessions = full
    for _ in range(50):
        began = time.monotonic()
        answer = ask(gw.place, request())
        assert time.monotonic() - began < 1
        assert answer.status == 503
        assert 1 <= int(answer.header("retry-after")) <= 5
        assert answer.header("connection") == "close"
    for ws in sessions:
        echoes(ws)


def test_one_leaves_one_enters(full):
    gw, sessions = full
    assert ask(gw.place, request()).status == 503
    leaving = sessions.pop()
    leaving.close_normally()
    leaving.close()
    gw.session_end(reason="client_close")
    newcomer = RawWs(gw)
    sessions.append(newcomer)
    echoes(newcomer)
    assert ask(gw.place, request()).status == 503


def test_a_crowd_outside_costs_those_inside_nothing(full):
    gw, sessions = full
    crowd = [knock(gw.place) for _ in range(100)]
    began = time.monotonic()
    for ws in sessions:
        echoes(ws)
    assert time.monotonic() - began < 5
    refused = 0
    for wire in filter(None, crowd):
        try:
            assert wire.answer().status == 503
            refused += 1
        except Gone as e:
            assert e.how == "reset"
        wire.close()
    assert refused >= 10


def test_refused_connections_do_not_count(full):
    """However many were turned away, places are free when sessions end."""
    gw, sessions = full
    for _ in range(5):
        crowd = [knock(gw.place) for _ in range(50)]
        for wire in filter(None, crowd):
            wire.close()
    for ws in sessions:
        ws.close()
    gw.until(lambda: gw.fds() == gw.fds_at_start, what="everybody gone")
    sessions[:] = [RawWs(gw) for _ in range(LIMIT)]
    for ws in sessions:
        echoes(ws)


def test_descriptor_limit_gives_the_capacity(gangway, echo_server):
    """With a small RLIMIT_NOFILE: refusals instead of failures."""

    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))

    gw = gangway(echo_server.url, settings={"workers": 1}, limits=few)
    inside, refused = [], 0
    for _ in range(120):
        wire = Wire(dial(gw.place))
        wire.send(request())
        try:
            status = wire.answer().status
        except Gone:
            status = 503
        if status == 101:
            inside.append(wire)
        else:
            assert status == 503
            refused += 1
            wire.close()
    assert refused > 0 and len(inside) >= 10
    assert gw.cpu_s() < 3
    for wire in inside:
        wire.close()
    for _ in inside:
        gw.session_end()
    with RawWs(gw) as ws:
        echoes(ws)
        ws.close_normally()


def test_slow_requests_use_places_too(gangway):
    """Connections without a request are bounded by the same number."""
    gw = gangway("echo:", settings={"limits.connections": 10, "timeouts.request": "500ms"})
    fds = gw.fds()
    idle = [Wire(dial(gw.place)) for _ in range(10)]
    gw.until(lambda: gw.fds() == fds + 10, what="all accepted")
    answer = ask(gw.place, request())
    assert answer.status == 503
    for wire in idle:
        with pytest.raises(Gone):
            while True:
                wire.take_line()
        wire.close()
    gw.until(lambda: ask(gw.place, request()).status == 101, what="room again")
