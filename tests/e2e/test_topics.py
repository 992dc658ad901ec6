# SPDX-License-Identifier: Apache-2.0
"""Topics for web pages: envelopes, the binary twin, raw topics; each promise
with no broker (local:) and with mosquitto behind it."""

import base64
import json
import struct
import time

import pytest
import services
from gangway import SANITIZER
from ops import reload
from rawws import BINARY, CLOSE, TEXT, RawWs, ask, request
from topics import Topics


@pytest.fixture(scope="module")
def broker():
    with services.mosquitto() as port:
        yield port


@pytest.fixture(
    params=["local", "mqtt5", pytest.param("mqtt3", marks=pytest.mark.slow)]
)
def bus(request, gangway):
    """Start a gangway whose routes end at a bus: bus({"/": "?deny=..."})."""

    def start(routes=None, **how):
        if request.param == "local":
            target = "local:"
        else:
            port = request.getfixturevalue("broker")
            version = "5" if request.param == "mqtt5" else "3.1.1"
            target = f"mqtt://127.0.0.1:{port}?version={version}"
        more = "?" if request.param == "local" else "&"
        routes = routes or {"/": ""}
        gw = gangway(
            {p: target + (more + o if o else "") for p, o in routes.items()}, **how
        )
        gw.bus = request.param
        return gw

    return start


def fresh(name):
    """A topic of the test's own: the broker lives longer than one."""
    return f"{name}/{time.monotonic_ns()}"


# ---- the ways of a message --------------------------------------------------


def test_payloads_come_as_they_went(bus):
    topic = fresh("forms")
    with Topics(bus()) as client:
        client.sub(topic)
        for sent, key, value in (
            ({"data": {"t": [1, 2.5, None, "ü"]}}, "data", {"t": [1, 2.5, None, "ü"]}),
            ({"data": 12345678901234567890}, "data", 12345678901234567890),
            ({"text": "no json {"}, "text", "no json {"),
            ({"text": "\u0000\u2028\"\\"}, "text", "\u0000\u2028\"\\"),
            ({"b64": base64.b64encode(b"\xff\x00").decode()}, "b64", "/wA="),
            ({"text": ""}, "text", ""),
        ):
            client.pub(topic, **sent)
            got = client.message()
            assert got["topic"] == topic and got[key] == value


def test_many_sessions_get_one_message(bus):
    gw, topic = bus(settings={"workers": 2}), fresh("many")
    clients = [Topics(gw) for _ in range(20)]
    try:
        for client in clients:
            client.sub(topic + "/+")
        clients[0].pub(topic + "/a", data=1)
        for client in clients:
            assert client.message()["data"] == 1
            assert client.silent() == []
    finally:
        for client in clients:
            client.close()


def test_order_in_a_topic(bus):
    gw, topic = bus(), fresh("order")
    with Topics(gw) as sender, Topics(gw) as hearer:
        hearer.sub(topic)
        for i in range(500):
            sender.say(op="pub", topic=topic, data=i)
        assert [hearer.message()["data"] for _ in range(500)] == list(range(500))


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_quality_is_told_and_kept(bus, qos):
    gw, topic = bus(), fresh("qos")
    with Topics(gw) as sender, Topics(gw) as hearer, Topics(gw) as modest:
        assert hearer.sub(topic, qos=2)["qos"] == 2
        assert modest.sub(topic, qos=0)["qos"] == 0
        assert sender.pub(topic, data=1, qos=qos)["qos"] == qos
        assert hearer.message()["qos"] == qos
        assert modest.message()["qos"] == 0


def test_overlapping_filters_deliver_once(bus):
    gw, topic = bus(), fresh("overlap")
    with Topics(gw) as client, Topics(gw) as other:
        for filter in ("/#", "/+/b", "/a/+", "/a/b"):
            client.sub(topic + filter, qos=1)
        other.sub(topic + "/a/b")
        client.pub(topic + "/a/b", data=1, qos=1)
        assert client.message()["data"] == 1
        assert other.message()["data"] == 1
        client.pub(topic + "/a/c", data=2, qos=1)
        assert client.message()["data"] == 2
        client.pub(topic + "/end", data=3, qos=1)
        assert client.message()["data"] == 3  # so nothing came twice before
        assert client.silent() == [] and other.silent() == []


def test_unsubscribe(bus):
    topic = fresh("unsub")
    with Topics(bus()) as client:
        client.sub(topic)
        client.pub(topic, data=1)
        assert client.message()["data"] == 1
        assert client.ask(op="unsub", topic=topic)["op"] == "ack"
        client.pub(topic, data=2)
        assert client.silent() == []
        assert client.refused(op="unsub", topic=topic) == "bad_topic"


# ---- retained ---------------------------------------------------------------


def test_retained_for_the_first_and_the_late(bus):
    gw, topic = bus(settings={"workers": 2}), fresh("kept")
    with Topics(gw) as sender:
        sender.pub(topic, data="old", retain=True, qos=1)
        with Topics(gw) as first, Topics(gw) as late, Topics(gw) as new:
            first.sub(topic)
            got = first.message()
            assert got["data"] == "old" and got["retained"]
            late.sub(topic)
            assert late.message()["data"] == "old"
            new.sub(topic, retain="none")
            sender.pub(topic, data="live", qos=1)
            for client in (first, late, new):
                got = client.message()
                assert got["data"] == "live" and not got.get("retained")
                assert client.silent() == []
        sender.pub(topic, text="", retain=True, qos=1)  # takes it away
        with Topics(gw) as later:
            later.sub(topic)
            assert later.silent() == []


def test_retained_local_is_bounded(gangway):
    gw = gangway("local:?retained_max=3")
    with Topics(gw) as client:
        for i in range(5):
            client.pub(f"k/{i}", data=i, retain=True)
        client.sub("k/+")
        assert [client.message()["data"] for _ in range(3)] == [2, 3, 4]
        assert client.silent() == []


# ---- slow sessions ----------------------------------------------------------


def flood(gw, topic, count, size, quick=None):
    """Publish; a quick session reads along, and hears all of it in order."""
    body = "x" * size
    with Topics(gw) as sender:
        for i in range(count):
            sender.say(op="pub", topic=topic, data=[i, body])
            if quick:
                assert quick.message()["data"][0] == i
            elif i % 50 == 0:
                sender.ask(op="ping")
        sender.ask(op="ping")


@pytest.mark.parametrize("slow", ["drop_oldest", "drop_newest", "conflate"])
def test_slow_session_loses_and_is_told(gangway, slow):
    gw = gangway(
        f"local:?slow={slow}&queue=20", settings={"timeouts.write_stall": "60s"}
    )
    with Topics(gw, rcvbuf=4096) as slow_one, Topics(gw) as quick:
        slow_one.sub("flood")
        quick.sub("flood")
        count = 600
        flood(gw, "flood", count, 30000, quick)  # 18 MB: more than sockets hold
        got, lost = [], 0
        while len(got) + lost < count:
            message = slow_one.message()
            if message["op"] == "lost":
                assert message["topic"] == "flood"
                lost += message["dropped"]
            else:
                got.append(message["data"][0])
        assert lost > 0 and len(got) + lost == count
        assert got == sorted(got)
        assert (got[-1] == count - 1) == (slow != "drop_newest")
        if not SANITIZER:
            assert gw.rss() < 100 << 20


def test_slow_session_is_dismissed(gangway):
    gw = gangway("local:?slow=disconnect", settings={"timeouts.write_stall": "1s", "timeouts.close": "500ms"})
    with Topics(gw, rcvbuf=4096) as slow_one:
        slow_one.sub("flood")
        flood(gw, "flood", 600, 30000)
        assert gw.session_end(code="4100")["reason"] == "try_later"


def test_every_lets_one_through_in_its_time(bus):
    gw, topic = bus(), fresh("every")
    with Topics(gw) as sender, Topics(gw) as hearer:
        hearer.sub(topic, every=400)
        began = time.monotonic()
        for i in range(100):
            sender.pub(topic, data=i)
            time.sleep(0.01)
        spent = time.monotonic() - began
        got = [hearer.message()["data"]]
        while got[-1] != 99:
            got.append(hearer.message()["data"])
        assert got == sorted(got) and got[0] == 0
        assert 2 <= len(got) <= spent / 0.4 + 3


# ---- rules ------------------------------------------------------------------


def test_rules(bus):
    root = fresh("rules")
    gw = bus({
        "/{room}":
            f"allow=all:{root}/{{path.room}}/%23;sub:{root}/news/%23&deny=sub:{root}/news/secret/%23"
    })
    with Topics(gw, "/kitchen") as client, Topics(gw, "/news") as news:
        client.sub(f"{root}/kitchen/#")
        client.sub(f"{root}/kitchen/+/t")
        client.pub(f"{root}/kitchen/x", data=1)
        assert client.message()["data"] == 1
        assert client.refused(op="sub", topic=f"{root}/#") == "forbidden"
        assert client.refused(op="sub", topic="#") == "forbidden"
        assert client.refused(op="sub", topic=f"{root}/bath/#") == "forbidden"
        assert client.refused(op="pub", topic=f"{root}/bath/x", data=1) == "forbidden"
        assert client.refused(op="sub", topic=f"{root}/news/secret/a") == "forbidden"
        # What is denied within what is allowed does not come.
        client.sub(f"{root}/news/#")
        news.pub(f"{root}/news/secret/a", data="secret")
        news.pub(f"{root}/news/open", data="open")
        assert client.message()["data"] == "open"
        assert client.silent() == []


def refusal(gw, path, **fields):
    """The answer to a handshake."""
    return ask(gw.place, request(path, **fields))


@pytest.mark.parametrize("room", ["a%2Fb", "+", "%23", "a%00b", "%0a"])
def test_placeholders_stay_in_their_level(gangway, room):
    gw = gangway({"/{room}": "local:?allow=all:x/{path.room}/%23"})
    answer = refusal(gw, f"/{room}", Sec_WebSocket_Protocol="gangway.v1.json")
    assert answer.status in (400, 404)


def test_system_topics_and_shares_are_not_for_all(bus):
    with Topics(bus()) as client:
        assert client.refused(op="sub", topic="$SYS/#") == "forbidden"
        assert client.refused(op="pub", topic="$SYS/x", data=1) == "forbidden"
        assert client.refused(op="sub", topic="$share/g/a") == "forbidden"


# ---- bad input --------------------------------------------------------------

BAD = [
    ("", None),
    ("{", None),
    ("[]", None),
    ("{}", None),
    ('{"op":"sub","id":1}', 1),
    ('{"op":"sub","id":1,"topic":5}', 1),
    ('{"op":"nope","id":1}', 1),
    ('{"op":"sub","id":1,"id":2,"topic":"a"}', None),
    ('{"op":"pub","id":1,"topic":"a"}', 1),
    ('{"op":"pub","id":1,"topic":"a","data":1,"text":"x"}', 1),
    ('{"op":"pub","id":1,"topic":"a","b64":"*"}', 1),
    ('{"op":"pub","id":1,"topic":"a","data":' + "[" * 40 + "]" * 40 + "}", 1),
    ('{"op":"sub","id":99999999999999999999,"topic":"a"}', None),
    ('{"op":"sub","id":1,"topic":"a","qos":3}', 1),
    ('{"op":"sub","id":1,"topic":"a","more":1}', 1),
    ('{"op":"sub","id":1,"topic":"\\ud800"}', 1),
    ('{"op":"ping"} x', None),
]


@pytest.mark.parametrize("text,number", BAD, ids=range(len(BAD)))
def test_bad_requests_are_answered(shared_gangway, text, number):
    with Topics(shared_gangway("local:")) as client:
        client.text(text)
        answer = client.read()
        assert answer["op"] == "err" and answer["code"] == "bad_request"
        if number is not None:
            assert answer.get("id") == number
        client.sub("still/alive")


@pytest.mark.parametrize(
    "topic", ["", "a/#/b", "a+", "#a", "a\u0000", "a\n", "/".join("x" * 100)]
)
def test_bad_filters(shared_gangway, topic):
    with Topics(shared_gangway("local:")) as client:
        assert client.refused(op="sub", topic=topic) in ("bad_topic", "bad_request")


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\u0000b"])
def test_bad_topics(shared_gangway, topic):
    with Topics(shared_gangway("local:")) as client:
        assert client.refused(op="pub", topic=topic, data=1) in (
            "bad_topic",
            "bad_request",
        )


def test_too_large(gangway):
    with Topics(gangway("local:?max_payload=1KiB")) as client:
        assert client.refused(op="pub", topic="a", text="x" * 1025) == "too_large"
        client.pub("a", text="x" * 1024)


def test_subscriptions_are_bounded(gangway):
    with Topics(gangway("local:?max_subscriptions=5")) as client:
        for i in range(5):
            client.sub(f"a/{i}")
        assert client.refused(op="sub", topic="one/more") == "rate"
        client.sub("a/1")  # the same again is no other
        client.ask(op="unsub", topic="a/2")
        client.sub("one/more")


def test_binary_frames_are_not_json(gangway):
    with Topics(gangway("local:")) as client:
        client.binary(b"{}")
        frame = client.recv_frame()
        assert frame.opcode == CLOSE
        assert struct.unpack("!H", frame.payload[:2])[0] == 1003


def test_nothing_in_common(gangway):
    assert refusal(gangway("local:"), "/", Sec_WebSocket_Protocol="mqtt").status == 400


# ---- the binary twin --------------------------------------------------------


def packet(kind, flags, topic, rest=b"", number=0):
    topic = topic.encode()
    return struct.pack("!BBHI", kind, flags, len(topic), number) + topic + rest


def answer(client):
    """The next answer that is not about the broker's state."""
    while True:
        got = json.loads(client.recv_message()[1])
        if got["op"] != "state":
            return got


def test_binary_twin(bus):
    gw, topic = bus(), fresh("binary")
    with RawWs(gw, "/", subprotocols=["gangway.v1"]) as client, Topics(gw) as other:
        assert answer(client)["op"] == "hello"
        other.sub(topic)
        client.binary(packet(3, 1 | 8, topic, number=7))
        assert answer(client) == {"op": "ack", "id": 7, "qos": 1}
        client.binary(packet(2, 1, topic, b"\x00\xff" * 10))
        opcode, payload = client.recv_message()
        assert opcode == BINARY
        kind, flags, n, _ = struct.unpack("!BBHI", payload[:8])
        assert kind == 1 and flags & 3 == 1
        assert payload[8 : 8 + n].decode() == topic
        assert payload[8 + n :] == b"\x00\xff" * 10
        assert other.message()["b64"] == base64.b64encode(b"\x00\xff" * 10).decode()
        client.binary(b"\x09\x00")
        assert answer(client)["code"] == "bad_request"


# ---- raw topics -------------------------------------------------------------


def test_raw_topics(bus):
    root = fresh("raw")
    gw = bus({
        "/feed/{room}": f"publish={root}/{{path.room}}&subscribe={root}/{{path.room}},{root}/all",
        "/": "",
    })
    with RawWs(gw, "/feed/kitchen") as kitchen, RawWs(gw, "/feed/bath") as bath, \
            Topics(gw) as other:
        other.sub(f"{root}/+")
        # Raw sessions hear of no ack: wait until their filters are in force.
        gw.until(lambda: _raw_heard(other, root, kitchen, bath), what="subscribed")
        kitchen.text("21.5")
        assert kitchen.recv_message() == (TEXT, b"21.5")
        bath.binary(b"\xff\xfe")
        assert bath.recv_message() == (BINARY, b"\xff\xfe")
        other.pub(f"{root}/all", text="to all")
        assert kitchen.recv_message() == (TEXT, b"to all")
        assert bath.recv_message() == (TEXT, b"to all")


def _raw_heard(other, root, *sessions):
    other.pub(f"{root}/all", text="?")
    for session in sessions:
        session.sock.settimeout(0.2)
        try:
            if session.recv_message() != (TEXT, b"?"):
                return False
        except TimeoutError:
            return False
        finally:
            session.sock.settimeout(20)
    return True


def test_raw_needs_topics(gangway):
    gw = gangway({"/": "local:", "/quiet": "local:?subscribe=a"})
    assert refusal(gw, "/").status == 400
    with RawWs(gw, "/quiet") as client:
        client.text("x")
        assert struct.unpack("!H", client.recv_frame().payload[:2])[0] == 1008


# ---- presence, routes, the end ----------------------------------------------


def test_presence(bus):
    root = fresh("presence")
    gw = bus({"/{who}": f"presence={root}/{{path.who}}", "/": ""})
    with Topics(gw) as watcher:
        watcher.sub(f"{root}/+", qos=1)
        with Topics(gw, "/ann") as ann:
            got = watcher.message()
            assert got["topic"] == f"{root}/ann"
            assert got["data"] == {"session": ann.hello["session"], "state": "join"}
        assert watcher.message()["data"]["state"] == "leave"


def test_local_buses_have_names(gangway):
    gw = gangway({"/a": "local:one", "/b": "local:one", "/c": "local:two"})
    with Topics(gw, "/a") as a, Topics(gw, "/b") as b, Topics(gw, "/c") as c:
        for client in (b, c):
            client.sub("t")
        a.pub("t", data=1)
        assert b.message()["data"] == 1
        assert c.silent() == []


def test_local_bus_outlives_a_reload(gangway):
    gw = gangway("local:")
    with Topics(gw) as old:
        old.sub("t")
        old.pub("kept", data=1, retain=True)
        reload(gw)
        with Topics(gw) as new:
            new.pub("t", data=2)
            assert old.message()["data"] == 2
            new.sub("kept")
            assert new.message()["data"] == 1
