# SPDX-License-Identifier: Apache-2.0
"""The client module gangway.mjs in Node, against a gateway that the test plays.
Every envelope, in both directions, is held to the JSON Schema."""

import asyncio
import json
import queue
import re
import socket
import threading

import envelopes
import jsonschema
import pytest
import websockets
from gangway import ROOT
from topics import Topics

MODULE = ROOT / "bridges" / "mqtt" / "gangway.mjs"
PROTOCOL = ROOT / "bridges" / "mqtt" / "PROTOCOL.md"
WAIT_S = envelopes.WAIT_S

# A session that ends is soon followed by another.
HASTE = {"minDelay": 20, "maxDelay": 1000}


class Session:
    """A client's session, seen from the gateway."""

    def __init__(self, loop, ws):
        self.loop, self.ws = loop, ws
        self.incoming = queue.Queue()

    def wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(WAIT_S)

    def request(self, **want):
        """The next request; these keys have these values."""
        got = envelopes.request(self.incoming.get(timeout=WAIT_S))
        assert {k: got.get(k) for k in want} == want, got
        return got

    def quiet(self, seconds=0.3):
        with pytest.raises(queue.Empty):
            raise AssertionError(self.incoming.get(timeout=seconds))

    def send(self, op, **keys):
        self.send_unknown({"op": op, **keys}, check=True)

    def send_unknown(self, envelope, check=False):
        text = json.dumps(envelope)
        if check:
            envelopes.answer(text)
        self.wait(self.ws.send(text))

    def hello(self, session="0-1"):
        self.send("hello", session=session, max=65536)

    def ack(self, request, **keys):
        self.send("ack", id=request["id"], **keys)

    def err(self, request, code):
        self.send("err", id=request["id"], code=code, msg=f"it is {code}")

    def close(self, code, reason=""):
        self.wait(self.ws.close(code, reason))

    def abort(self):
        self.loop.call_soon_threadsafe(self.ws.transport.abort)


class Gateway:
    """Where clients connect to; the test accepts them one by one."""

    def __enter__(self):
        self.sessions = queue.Queue()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.server = self._run(self._serve())
        port = self.server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}"
        return self

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(WAIT_S)

    async def _serve(self):
        return await websockets.serve(
            self._session, "127.0.0.1", 0, subprotocols=["gangway.v1.json"],
            ping_interval=None, close_timeout=1,
        )

    async def _session(self, ws):
        session = Session(self.loop, ws)
        self.sessions.put(session)
        try:
            async for message in ws:
                session.incoming.put(message)
        except websockets.ConnectionClosed:
            pass

    def accept(self):
        session = self.sessions.get(timeout=WAIT_S)
        assert session.ws.subprotocol == "gangway.v1.json"
        return session

    def __exit__(self, *_):
        self.server.close()
        self._run(self.server.wait_closed())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def gateway():
    with Gateway() as g:
        yield g


@pytest.fixture
def client():
    with envelopes.Client() as c:
        yield c


def connected(client, gateway, **options):
    """A session that has been greeted."""
    client.do("connect", url=gateway.url, options={**HASTE, **options})
    session = gateway.accept()
    session.hello()
    client.state("connecting")
    client.state("open")
    return session


def subscribed(client, session, filter, as_="a", **opts):
    client.do("subscribe", filter=filter, opts=opts, **{"as": as_})
    sub = session.request(op="sub", topic=filter)
    session.ack(sub, qos=0)
    assert client.event("ready")["ack"]["qos"] == 0
    return sub


# ---- the documents -----------------------------------------------------------


def test_module():
    text = MODULE.read_text()
    assert len(text.splitlines()) <= 200
    assert not re.search(r"^\s*import\b|\bimport\(|\brequire\(", text, re.M)


def examples():
    blocks = re.findall(r"```json\n(.*?)```", PROTOCOL.read_text(), re.S)
    return [line for block in blocks for line in block.splitlines()]


def test_schema():
    jsonschema.Draft202012Validator.check_schema(envelopes.SCHEMA)
    whole = jsonschema.Draft202012Validator(envelopes.SCHEMA)
    seen = set()
    for line in examples():
        envelope = json.loads(line)
        whole.validate(envelope)
        seen.add(envelope["op"])
    assert seen == {"sub", "unsub", "pub", "auth", "ping"} | {
        "hello", "ack", "err", "msg", "lost", "state", "pong",
    }


@pytest.mark.parametrize(
    "bad",
    [
        "[]",
        "{}",
        '{"op": "publish"}',
        '{"op": "ping", "id": -1}',
        '{"op": "ping", "id": 2147483648}',
        '{"op": "ping", "id": 1.5}',
        '{"op": "ping", "more": 1}',
        '{"op": "sub"}',
        '{"op": "sub", "topic": ""}',
        '{"op": "sub", "topic": "a", "qos": 3}',
        '{"op": "sub", "topic": "a", "retain": true}',
        '{"op": "sub", "topic": "a", "every": 3600001}',
        '{"op": "unsub", "topic": "a", "qos": 0}',
        '{"op": "pub", "topic": "a"}',
        '{"op": "pub", "topic": "a/+", "data": 1}',
        '{"op": "pub", "topic": "a", "data": 1, "text": ""}',
        '{"op": "pub", "topic": "a", "text": 1}',
        '{"op": "pub", "topic": "a", "b64": "AB=="}',
        '{"op": "pub", "topic": "a", "b64": "AAA"}',
        '{"op": "pub", "topic": "a", "data": 1, "retain": "send"}',
        '{"op": "auth"}',
    ],
)
def test_schema_refuses(bad):
    assert not envelopes.REQUEST.is_valid(json.loads(bad))


def test_error_codes():
    """The page, the schema and the source name the same."""
    enum = envelopes.SCHEMA["$defs"]["err"]["properties"]["code"]["enum"]
    table = PROTOCOL.read_text().partition("### Error codes")[2].partition("### ")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.M) == ["code", *enum]
    source = (ROOT / "bridges/mqtt/envelope.c").read_text()
    assert re.findall(r'\[ERR_\w+\] = "(\w+)"', source) == enum


# ---- pure functions ------------------------------------------------------------


def naive_matches(topic_filter, topic):
    pattern = re.escape(topic_filter).replace(r"\+", "[^/]*")
    if pattern.endswith(r"\#"):
        pattern = pattern[:-2]
        pattern = pattern[:-1] + "(/.*)?" if pattern.endswith("/") else ".*"
    hidden = topic.startswith("$") and topic_filter[0] in "+#"
    return not hidden and re.fullmatch(pattern, topic) is not None


def test_matches(client):
    filters = [
        "a", "a/b", "a/+", "a/#", "+", "+/b", "+/+", "#", "+/#", "/", "/#", "/+", "a/",
        "a/+/c", "a/+/#", "$SYS/#", "$SYS/+", "a.b",
    ]
    topics = [
        "a", "a/b", "a/b/c", "ab", "/", "/a", "a/", "a//c", "$SYS", "$SYS/x", "b", "axb",
        "a/$b",
    ]
    pairs = [(f, t) for f in filters for t in topics]
    client.do("matches", pairs=pairs)
    got = client.event("matches")["matches"]
    want = [naive_matches(f, t) for f, t in pairs]
    assert [p for p, g, w in zip(pairs, got, want) if g != w] == []


def test_advice(client):
    """The table of the page, and the hundreds behind it."""
    want = {
        4000: "stay", 4099: "stay", 4100: "back", 4199: "back", 4200: "now", 4299: "now",
        1000: "back", 1001: "back", 1006: "back", 1009: "back", 1011: "back",
        1013: "back", 1002: "stay", 1003: "stay", 1007: "stay", 1008: "stay", 1010: "stay",
        4300: "back", 3000: "back",
    }
    client.do("advice", codes=list(want))
    assert client.event("advice")["advice"] == list(want.values())


# ---- messages ------------------------------------------------------------------


def test_subscribe(client, gateway):
    client.do("connect", url=gateway.url, options=HASTE)
    client.state("connecting")
    session = gateway.accept()
    # Before there is a session, and with all options.
    client.do(
        "subscribe", **{"as": "a"}, filter="room/+",
        opts={"qos": 1, "retain": "new", "every": 50},
    )
    client.quiet()
    session.hello("0-7")
    assert client.state("open")["session"] == "0-7"
    sub = session.request(op="sub", topic="room/+", qos=1, retain="new", every=50)
    session.ack(sub, qos=1)
    assert client.event("ready") == {"as": "a", "ack": {"id": sub["id"], "qos": 1}}
    subscribed(client, session, "room/1", "b")

    session.send("msg", topic="room/2", qos=1, retained=True, data={"t": [1, None]})
    assert client.event("msg") == {
        "as": "a",
        "m": {"topic": "room/2", "qos": 1, "retained": True, "data": {"t": [1, None]}},
    }
    session.send("msg", topic="room/1", qos=0, text="h\u00e9\u0000")
    for as_ in "ab":
        assert client.event("msg") == {
            "as": as_, "m": {"topic": "room/1", "qos": 0, "text": "h\u00e9\u0000"},
        }
    session.send("msg", topic="room/3", qos=0, b64="AP8Q")
    assert client.event("msg")["m"] == {
        "topic": "room/3", "qos": 0, "bytes": [0, 255, 16],
    }
    session.send("msg", topic="room/3", qos=0, data=None)
    assert client.event("msg")["m"]["data"] is None
    session.send("msg", topic="other", qos=0, data=0)
    client.do("unsubscribe", **{"as": "b"})
    session.ack(session.request(op="unsub", topic="room/1"))
    session.send("msg", topic="room/1", qos=0, data=1)
    assert client.event("msg")["as"] == "a"
    client.quiet()


def test_two_for_one_filter(client, gateway):
    """They share one subscription, which goes with the last of them."""
    session = connected(client, gateway)
    subscribed(client, session, "x", "a")
    subscribed(client, session, "x", "b", qos=2)
    session.send("msg", topic="x", qos=0, data=1)
    assert {client.event("msg")["as"], client.event("msg")["as"]} == {"a", "b"}
    session.send("lost", topic="x", dropped=3)
    assert client.event("lost") == {"as": "a", "dropped": 3}
    assert client.event("lost") == {"as": "b", "dropped": 3}
    client.do("unsubscribe", **{"as": "a"})
    client.do("unsubscribe", **{"as": "a"})
    session.quiet()
    session.send("msg", topic="x", qos=0, data=2)
    assert client.event("msg")["as"] == "b"
    client.do("unsubscribe", **{"as": "b"})
    session.request(op="unsub", topic="x")
    client.quiet()


@pytest.mark.parametrize(
    "args, want",
    [
        ({"value": {"on": True}}, {"data": {"on": True}}),
        ({"value": None}, {"data": None}),
        ({"value": 0}, {"data": 0}),
        ({"value": "text"}, {"text": "text"}),
        ({"value": ""}, {"text": ""}),
        ({"value": "text", "opts": {"json": True}}, {"data": "text"}),
        ({"bytes": [1, 0, 255, 16]}, {"b64": "AP8Q"}),
        ({"buffer": [0, 255]}, {"b64": "AP8="}),
        ({"value": 1, "opts": {"qos": 2, "retain": True}},
         {"data": 1, "qos": 2, "retain": True}),
    ],
)
def test_publish(client, gateway, args, want):
    session = connected(client, gateway)
    client.do("publish", **{"as": "p"}, topic="a/b", **args)
    got = session.request()
    assert got == {"op": "pub", "id": got["id"], "topic": "a/b", **want}
    session.ack(got, qos=want.get("qos", 0))
    assert client.event("published")["ack"]["id"] == got["id"]


def test_publish_refused(client, gateway):
    """Answers find their requests in any order."""
    session = connected(client, gateway)
    client.do("publish", **{"as": "1"}, topic="a", value=1)
    client.do("publish", **{"as": "2"}, topic="b", value=1)
    first, second = session.request(topic="a"), session.request(topic="b")
    assert first["id"] != second["id"]
    session.err(second, "forbidden")
    assert client.event("published") == {
        "as": "2", "code": "forbidden", "message": "it is forbidden",
    }
    session.send("err", code="bad_request")
    session.ack(first)
    assert client.event("published")["as"] == "1"
    session.ack(first)
    client.quiet()


def test_publish_waits_for_a_connection(client, gateway):
    client.do("connect", url=gateway.url, options={**HASTE, "hold": 3})
    client.state("connecting")
    client.do("subscribe", **{"as": "s"}, filter="a")
    for name in "1234":
        client.do("publish", **{"as": name}, topic="a", value=int(name))
    got = client.event("published")  # one too many
    assert (got["as"], got["code"]) == ("4", "offline")
    session = gateway.accept()
    session.hello()
    assert session.request(op="sub")["topic"] == "a"
    asked = [session.request(op="pub") for _ in range(3)]
    assert [r["data"] for r in asked] == [1, 2, 3]
    client.state("open")
    for r in asked:
        session.ack(r, qos=0)
    assert [client.event("published")["as"] for _ in range(3)] == ["1", "2", "3"]
    # Between two connections, too; and what was sent before is not repeated.
    client.do("publish", **{"as": "5"}, topic="a", value=5)
    session.request(op="pub", data=5)
    session.abort()
    got = [client.event(), client.event()]  # in either order
    assert "closed" in [e["code"] for e in got if e.get("as") == "5"]
    client.do("publish", **{"as": "6"}, topic="a", value=6)
    again = gateway.accept()
    again.hello()
    again.request(op="sub")
    again.request(op="pub", data=6)
    again.quiet()


def test_publish_waits_for_a_while(client, gateway):
    client.do("connect", url=gateway.url, options={**HASTE, "holdFor": 100})
    client.state("connecting")
    session = gateway.accept()  # which says nothing
    client.do("publish", **{"as": "1"}, topic="a", value=1)
    assert client.event("published")["code"] == "offline"
    client.do("publish", **{"as": "2"}, topic="a", value=2)
    session.hello()
    session.request(op="pub", data=2)
    client.state("open")
    client.do("connect", url=gateway.url, options=HASTE)
    client.state("connecting")
    client.do("publish", **{"as": "3"}, topic="a", value=1)
    client.do("close")
    events = [client.event(), client.event()]  # in either order
    assert "closed" in [e["code"] for e in events if e.get("as") == "3"]
    client.do("publish", **{"as": "4"}, topic="a", value=1)
    assert client.event("published")["code"] == "offline"


def test_publish_is_not_repeated(client, gateway):
    client.do("connect", url=gateway.url, options=HASTE)
    client.state("connecting")
    session = gateway.accept()
    session.hello()
    client.state("open")
    client.do("publish", **{"as": "2"}, topic="a", value=1)
    session.request(op="pub")
    session.abort()
    events = [client.event(), client.event()]  # in either order
    assert "waiting" in [e.get("state") for e in events]
    assert "closed" in [e["code"] for e in events if e.get("as") == "2"]
    again = gateway.accept()
    again.hello()
    again.quiet()  # it is not repeated


def test_publish_slow(client, gateway):
    session = connected(client, gateway, maxBuffered=-1)
    client.do("publish", **{"as": "1"}, topic="a", value=1)
    assert client.event("published")["code"] == "slow"
    session.quiet()


def test_state(client, gateway):
    session = connected(client, gateway)
    session.send("state", up=False)
    told = client.state("open")
    assert (told["up"], told["known"]) == (False, False)
    session.send("state", up=True)
    told = client.state("open")
    assert (told["up"], told["known"]) == (True, True)


def test_later_versions(client, gateway):
    """What the client does not know it passes over."""
    session = connected(client, gateway)
    subscribed(client, session, "a")
    session.send_unknown({"op": "news", "id": 1})
    session.send_unknown({"op": "msg", "topic": "a", "qos": 0, "data": 1, "more": 2})
    assert client.event("msg")["m"] == {"topic": "a", "qos": 0, "data": 1, "more": 2}


def test_token(client, gateway):
    client.do("connect", url=gateway.url, options={**HASTE, "token": "t1"})
    client.do("subscribe", **{"as": "a"}, filter="a")
    session = gateway.accept()
    session.hello()
    auth = session.request(op="auth", token="t1")
    session.err(auth, "forbidden")  # where none are taken
    session.request(op="sub")
    client.do("auth", **{"as": "t"}, token="t2")
    session.ack(session.request(op="auth", token="t2"))
    client.state("connecting")
    client.state("open")
    assert "ack" in client.event("authorized")
    session.close(4200)
    session = gateway.accept()
    session.hello()
    session.request(op="auth", token="t2")
    session.request(op="sub")


# ---- sessions that end ------------------------------------------------------------


def reconnected(client, gateway):
    client.state("connecting")
    session = gateway.accept()
    session.hello()
    client.state("open")
    return session


def test_back_off(client, gateway):
    """Twice as long each time, up to a bound; everything is subscribed again."""
    session = connected(client, gateway, minDelay=100, maxDelay=400)
    subscribed(client, session, "a", qos=1)
    for longest in (100, 200, 400, 400):
        session.close(4100, "too slow")
        waiting = client.state("waiting")
        assert (waiting["code"], waiting["reason"]) == (4100, "too slow")
        assert longest / 2 <= waiting["delay"] <= longest
        session = reconnected(client, gateway)
        session.ack(session.request(op="sub", topic="a", qos=1), qos=1)
    session.send("msg", topic="a", qos=0, data=1)
    assert client.event("msg")["as"] == "a"


def test_back_off_forgets(client, gateway):
    """A session that lived longer than the longest delay begins anew."""
    session = connected(client, gateway, minDelay=40, maxDelay=600)
    for _ in range(3):
        session.abort()
        waiting = client.state("waiting")
        session = reconnected(client, gateway)
    assert waiting["delay"] >= 80
    client.quiet(0.8)
    session.abort()
    waiting = client.state("waiting")
    assert waiting["code"] == 1006
    assert 20 <= waiting["delay"] <= 40


def test_now(client, gateway):
    """At once, but not again and again."""
    session = connected(client, gateway)
    session.close(4200)
    assert client.state("waiting")["delay"] == 0
    session = reconnected(client, gateway)
    session.close(4200)
    assert client.state("waiting")["delay"] > 0
    reconnected(client, gateway)


@pytest.mark.parametrize("code", [4000, 1008])
def test_stay(client, gateway, code):
    session = connected(client, gateway)
    client.do("subscribe", **{"as": "a"}, filter="a")
    session.request(op="sub")
    client.do("publish", **{"as": "p"}, topic="a", value=1)
    session.request(op="pub")
    session.close(code, "go")
    events = [client.event() for _ in range(3)]
    end = {"state": "closed", "code": code, "reason": "go", "up": False, "known": False}
    assert end in events
    assert sorted(e["as"] for e in events if e.get("code") == "closed") == ["a", "p"]
    client.quiet()
    assert gateway.sessions.empty()


def test_close(client, gateway):
    """From the client's side, also while it waits to come back."""
    session = connected(client, gateway)
    client.do("close", code=4321)
    assert client.state("closed")["code"] == 4321
    session.wait(session.ws.wait_closed())
    assert session.ws.close_code == 4321
    client.do("close", code=1000)

    session = connected(client, gateway, minDelay=400)
    session.close(4100)
    client.state("waiting")
    client.do("close", code=1000)
    client.state("closed")
    client.quiet(0.6)
    assert gateway.sessions.empty()


def test_not_again(client, gateway):
    """A filter that is refused later is told, and not asked for again."""
    session = connected(client, gateway)
    subscribed(client, session, "a", "a")
    subscribed(client, session, "b", "b")
    session.close(4200)
    client.state("waiting")
    session = reconnected(client, gateway)
    session.err(session.request(op="sub", topic="a"), "forbidden")
    assert client.event("error") == {"as": "a", "code": "forbidden"}
    session.ack(session.request(op="sub", topic="b"), qos=0)
    client.do("unsubscribe", **{"as": "a"})
    session.quiet()
    session.close(4100)
    client.state("waiting")
    session = reconnected(client, gateway)
    session.request(op="sub", topic="b")
    session.quiet()


def test_subscribe_refused(client, gateway):
    session = connected(client, gateway)
    client.do("subscribe", **{"as": "a"}, filter="a#")
    session.err(session.request(op="sub", topic="a#"), "bad_topic")
    assert client.event("error")["code"] == "bad_topic"
    assert client.event("ready")["code"] == "bad_topic"


def test_url_for_each_attempt(client, gateway):
    client.do("connect", urls=[f"{gateway.url}/?t={n}" for n in (1, 2)], options=HASTE)
    for n in (1, 2):
        session = reconnected(client, gateway)
        assert session.ws.path == f"/?t={n}"
        session.close(4100)
        if n == 1:
            client.state("waiting")


# ---- silence --------------------------------------------------------------------------


def test_ping(client, gateway):
    session = connected(client, gateway, ping=50, timeout=1000)
    for _ in range(3):
        session.request(op="ping")
        session.send("pong")
    client.quiet(0.01)
    session.request(op="ping")
    waiting = client.state("waiting")  # no answer
    assert (waiting["code"], waiting["reason"]) == (1006, "no answer")
    reconnected(client, gateway)


def test_no_ping_while_messages_come(client, gateway):
    session = connected(client, gateway, ping=1000, timeout=10000)
    for _ in range(15):
        session.send("state", up=True)
        client.state("open")
        client.quiet(0.1)
    session.quiet(0.01)


def test_no_handshake(client):
    """A server that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}"
        client.do("connect", url=url, options={**HASTE, "timeout": 100})
        for _ in range(2):
            client.state("connecting")
            assert client.state("waiting")["reason"] == "no answer"


def test_nobody_there(client):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}"
    client.do("connect", url=url, options=HASTE)
    for _ in range(3):
        client.state("connecting")
        assert client.state("waiting")["code"] == 1006


# ---- the real gateway ---------------------------------------------------------------


def test_with_gangway(client, gangway):
    gw = gangway("local:")
    client.do("connect", url=gw.url(""), options=HASTE)
    client.state("connecting")
    client.state("open")
    for filter in ("room/+", "room/1"):
        client.do("subscribe", **{"as": filter}, filter=filter, opts={"qos": 1})
        assert client.event("ready")["ack"]["qos"] == 1
    for args, want in (
        ({"value": {"t": [1, "\u20ac"]}}, {"data": {"t": [1, "\u20ac"]}}),
        ({"value": "plain \u0000"}, {"text": "plain \u0000"}),
        ({"bytes": [9, 0, 255]}, {"bytes": [0, 255]}),
    ):
        client.do(
            "publish", **{"as": "p"}, topic="room/2", opts={"qos": 1}, **args
        )
        events = [client.event(), client.event()]  # in either order
        assert {"as": "room/+", "m": {"topic": "room/2", "qos": 1, **want}} in events
        assert "p" in [e["as"] for e in events]
    client.do("subscribe", **{"as": "bad"}, filter="a/#/b")
    assert client.event("error")["code"] == "bad_topic"
    assert client.event("ready")["code"] == "bad_topic"
    client.do("publish", **{"as": "p"}, topic="$SYS/a", value=1)
    assert client.event("published")["code"] == "forbidden"


def test_gangway_restarts(client, gangway):
    """The client is there again, with what it had subscribed."""
    first = gangway("local:")
    client.do("connect", url=first.url(""), options=HASTE)
    client.state("connecting")
    client.state("open")
    client.do("subscribe", **{"as": "a"}, filter="a")
    client.event("ready")
    first.stop()
    assert client.state("waiting")["code"] == 1001
    gangway("local:", listen=[f"ws://127.0.0.1:{first.places[0].port}"])
    while client.event("state")["state"] != "open":
        pass
    client.do("publish", **{"as": "p"}, topic="a", value=1)
    assert {client.event()["as"], client.event()["as"]} == {"a", "p"}


def variants():
    """Requests of the page with one thing changed: a value of another type, a
    key more, a key less."""
    values = [
        None, True, False, 0, 1, 2, 3, -1, 1.5, 2147483647, 2147483648, 3600000, 3600001,
        "", "a", "send", "new", "none", "AA==", "AB==", "\u00e9", [], {}, [1], {"op": 1},
    ]
    keys = ["op", "id", "topic", "data", "text", "b64", "qos", "retain", "every", "token"]
    for line in examples():
        base = json.loads(line)
        if base["op"] not in ("sub", "unsub", "pub", "auth"):
            continue
        yield base
        for key in [*keys, "more"]:
            yield {k: v for k, v in base.items() if k != key}
            for value in values:
                yield {**base, key: value}


def well_made(envelope):
    """What the schema says, but for the topic: the gateway tells of that by
    another code."""
    if isinstance(envelope.get("topic"), str):
        envelope = {**envelope, "topic": "a"}
    return envelopes.REQUEST.is_valid(envelope)


def test_schema_and_gangway_agree(gangway):
    """On every request that differs little from an example."""
    seen = {True: 0, False: 0}
    with Topics(gangway("local:")) as session:
        for envelope in variants():
            envelope["id"] = envelope.get("id", 77)
            session.text(json.dumps(envelope))
            session.text('{"op":"ping","id":1234567}')
            codes = []
            while (got := envelopes.answer(session.recv_message()[1])).get("id") != 1234567:
                codes.append(got.get("code"))
            good = well_made(envelope)
            assert ("bad_request" not in codes) == good, (envelope, codes)
            seen[good] += 1
    assert seen[True] > 100 and seen[False] > 1000
