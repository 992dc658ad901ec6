# SPDX-License-Identifier: Apache-2.0
"""mqtt:// for MQTT clients: their packets reach a real broker, and what a route
says of them holds."""

import json
import os
import queue
import socket
import ssl
import subprocess
import threading
import time

import mqtt_wire as w
import ops
import paho.mqtt.client as paho
import pytest
import services
from gangway import BINARY, ROOT, SANITIZER
from mqtt_wire import V31, V311, V5, RawMqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from rawws import CONTINUATION, TEXT, ask, request

VERSIONS = pytest.mark.parametrize("version", [V31, V311, V5], ids=["3.1", "3.1.1", "5"])
NEWER = pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
WAIT_S = 20


@pytest.fixture(scope="module")
def broker():
    with w.broker() as b:
        yield b


@pytest.fixture(scope="module")
def shared(shared_gangway, broker):
    """A gateway with a plain route, and routes with rules."""
    rules = "allow=pub:ok/%23;sub:ok/%23&deny=sub:ok/secret/%23"
    return shared_gangway(
        {
            "/": broker.target,
            "/rules": f"{broker.target}?{rules}",
            "/drops": f"{broker.target}?{rules}&denied=drop",
            "/room/{room}": f"{broker.target}?allow=all:rooms/{{path.room}}/%23",
            "/short": f"{broker.target}?connect_deadline=300ms&max_packet=1KiB",
        }
    )


class Client:
    """paho-mqtt over TCP to the broker, or over WebSocket to a gateway."""

    def __init__(self, name, port, version=V311, *, path=None, clean=True, will=None, tls=None,
                 expiry=0, wait=True, **how):
        self.messages = queue.Queue()
        self.events = queue.Queue()
        transport = "tcp" if path is None else "websockets"
        fresh = {} if version == V5 else {"clean_session": clean}
        self.client = c = paho.Client(name, protocol=version, transport=transport, **fresh)
        if path is not None:
            c.ws_set_options(path=path)
        if tls:
            c.tls_set(str(tls.certificate), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        if will:
            c.will_set(*will)
        c.on_message = lambda _c, _u, m: self.messages.put(m)
        c.on_connect = lambda _c, _u, flags, code, *_: self.events.put(("connect", flags, code))
        c.on_subscribe = lambda _c, _u, _m, codes, *_: self.events.put(("subscribe", codes))
        c.on_disconnect = lambda _c, _u, code, *_: self.events.put(("disconnect", code))
        if version == V5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = expiry
            how.update(clean_start=clean, properties=properties)
        c.connect("127.0.0.1" if not tls else "localhost", port, **how)
        c.loop_start()
        self.present = None
        if wait:
            _, flags, code = self.event("connect")
            assert code == 0
            self.present = bool(flags["session present"])

    def event(self, kind):
        got = self.events.get(timeout=WAIT_S)
        assert got[0] == kind, got
        return got

    def subscribe(self, *filters):
        self.client.subscribe(list(filters))
        return [getattr(c, "value", c) for c in self.event("subscribe")[1]]

    def message(self):
        return self.messages.get(timeout=WAIT_S)

    def publish(self, topic, payload=b"", **how):
        self.client.publish(topic, payload, **how).wait_for_publish(WAIT_S)

    def vanish(self):
        """Without DISCONNECT, without Close: the socket is shut."""
        self.client.loop_stop()
        sock = self.client.socket()
        raw = getattr(sock, "_socket", sock)
        raw.shutdown(socket.SHUT_RDWR)
        raw.close()

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def seen(m):
    return m.topic, bytes(m.payload), m.qos, bool(m.retain)


# ---- what clients do -----------------------------------------------------------


@VERSIONS
def test_messages_both_ways(shared, broker, version):
    sizes = [0, 1, 127, 128, 16_383, 16_384, 70_000, 1 << 20]
    with Client(f"web-{version}", shared.place.port, version, path="/") as web, Client(
        "tcp", broker.port
    ) as tcp:
        web.subscribe(("to/web", 2))
        tcp.subscribe(("to/tcp", 2))
        for qos in 0, 1, 2:
            for size in sizes:
                payload = os.urandom(size)
                web.publish("to/tcp", payload, qos=qos)
                assert seen(tcp.message()) == ("to/tcp", payload, qos, False)
                tcp.publish("to/web", payload, qos=qos)
                assert seen(web.message()) == ("to/web", payload, qos, False)


def test_many_messages_keep_their_order(shared, broker):
    total = 500 if SANITIZER else 3000
    with Client("many-web", shared.place.port, path="/") as web, Client(
        "many-tcp", broker.port
    ) as tcp:
        tcp.subscribe(("many/#", 1))
        web.subscribe(("many/#", 1))
        for i in range(total):
            web.client.publish("many/x", str(i), qos=i % 2)
        for client in tcp, web:
            heard = [int(client.message().payload) for _ in range(total)]
            for qos in 0, 1:
                assert [i for i in heard if i % 2 == qos] == list(range(qos, total, 2))


@VERSIONS
def test_retained(shared, broker, version):
    with Client("keeper", broker.port) as tcp:
        tcp.publish(f"kept/{version}", b"old", qos=1, retain=True)
        with Client(f"late-{version}", shared.place.port, version, path="/") as web:
            web.subscribe((f"kept/{version}", 1))
            assert seen(web.message()) == (f"kept/{version}", b"old", 1, True)
            web.publish(f"kept/{version}", b"", qos=1, retain=True)  # forget it


@VERSIONS
@pytest.mark.parametrize("how", ["gone", "reset", "close", "malformed"])
def test_will_of_who_goes_without_disconnect(shared, broker, version, how):
    topic = f"wills/{version}/{how}"
    with Client("heir", broker.port) as heir:
        heir.subscribe(("wills/#", 1))
        with RawMqtt(shared) as ws:
            ws.start(f"dying-{version}-{how}", version, will=(topic, "bye", 1, 0))
            if how == "close":
                ws.send_close(1000)
            elif how == "reset":
                ws.reset()
            elif how == "malformed":
                ws.mqtt(b"\xf1\x00")
        assert seen(heir.message())[:2] == (topic, b"bye")


@VERSIONS
def test_no_will_after_disconnect(shared, broker, version):
    with Client("heir2", broker.port) as heir:
        heir.subscribe(("wills2/#", 1))
        with RawMqtt(shared) as ws:
            ws.start("leaving", version, will=("wills2/x", "bye", 1, 0))
            ws.mqtt(w.packet(w.DISCONNECT))
            assert ws.ended() == ([], 1000)
        heir.publish("wills2/end", b"", qos=1)
        assert heir.message().topic == "wills2/end"


@NEWER
def test_session_is_resumed(shared, broker, version):
    name = f"resumes-{version}"
    how = {"path": "/", "clean": False, "expiry": 60}
    with Client("sender", broker.port) as sender:
        first = Client(name, shared.place.port, version, **how)
        assert not first.present
        first.subscribe((f"{name}/#", 1))
        first.vanish()
        broker.wait_log(rf"Client {name} (closed its connection|disconnected)")
        sender.publish(f"{name}/x", b"while away", qos=1)
        with Client(name, shared.place.port, version, **how) as again:
            assert again.present
            assert seen(again.message())[:2] == (f"{name}/x", b"while away")
        Client(name, shared.place.port, version, path="/", clean=True).close()


def test_properties_pass(shared, broker):
    with Client("props-web", shared.place.port, V5, path="/") as web, Client(
        "props-tcp", broker.port, V5
    ) as tcp:
        subscription = Properties(PacketTypes.SUBSCRIBE)
        subscription.SubscriptionIdentifier = 77
        tcp.client.subscribe("props/#", 1, properties=subscription)
        tcp.event("subscribe")
        p = Properties(PacketTypes.PUBLISH)
        p.ContentType = "text/plain"
        p.ResponseTopic = "props/answer"
        p.CorrelationData = b"\x00\xff"
        p.UserProperty = [("a", "1"), ("a", "2")]
        p.MessageExpiryInterval = 30
        p.PayloadFormatIndicator = 1
        web.publish("props/x", "text", qos=1, properties=p)
        got = tcp.message().properties
        assert got.ContentType == "text/plain"
        assert got.ResponseTopic == "props/answer"
        assert got.CorrelationData == b"\x00\xff"
        assert got.UserProperty == [("a", "1"), ("a", "2")]
        assert got.SubscriptionIdentifier == [77]
        assert got.PayloadFormatIndicator == 1


@pytest.mark.parametrize("version", [3, 4, 5])
def test_mqtt_js(shared, broker, version):
    done = subprocess.run(
        ["node", ROOT / "tests" / "browser" / "mqtt_js.mjs", shared.url("/"), str(version),
         str(broker.port)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["granted"] == [2]
    content = "a/b" if version == 5 else None
    want = sorted((size, qos) for size in (5, 1 << 20) for qos in (0, 1, 2))
    for way, topic in (("down", "to/web"), ("up", "to/tcp")):
        assert sorted((m["size"], m["qos"]) for m in told[way]) == want
        assert {(m["topic"], m["content"]) for m in told[way]} == {(topic, content)}
    assert [(m["topic"], m["retain"]) for m in told["retained"]] == [("kept", True)]
    assert [m["topic"] for m in told["wills"]] == ["will/abrupt", "will/none"]


# ---- frames --------------------------------------------------------------------


def test_one_byte_and_the_rest(shared):
    with RawMqtt(shared) as ws:
        data = w.connect("split")
        ws.mqtt(data[:1])
        ws.mqtt(data[1:])
        ws.expect(w.CONNACK)


@NEWER
@pytest.mark.parametrize("cut", [1, 2, 7, 1000])
def test_any_framing(shared, version, cut):
    with RawMqtt(shared) as ws:
        ws.mqtt(w.connect(f"cut-{cut}", version), cut=cut)
        ws.expect(w.CONNACK)
        ws.mqtt(
            w.subscribe("cut/#", version=version),
            w.publish("cut/a", b"one" * 100, version),
            w.publish("cut/b", b"two", version, qos=1, mid=9),
            w.packet(w.PINGREQ),
            cut=cut,
        )
        got = [ws.next() for _ in range(5)]
        assert sorted(p.kind for p in got) == [
            w.PUBLISH, w.PUBLISH, w.PUBACK, w.SUBACK, w.PINGRESP,
        ]


def test_empty_frames_and_fragments(shared):
    with RawMqtt(shared) as ws:
        data = w.connect("empty")
        ws.binary(b"")
        ws.binary(data[:5], fin=False)
        ws.frame(CONTINUATION, b"", fin=False)
        ws.frame(CONTINUATION, data[5:9], fin=False)
        ws.frame(CONTINUATION, data[9:])
        ws.expect(w.CONNACK)
        ws.binary(b"")
        ws.mqtt(w.packet(w.PINGREQ))
        ws.expect(w.PINGRESP)


def test_pipelined_before_the_session_opens(shared):
    """CONNECT comes with the request, and more before CONNACK."""
    from rawws import BINARY, frame

    early = frame(BINARY, w.connect("early") + w.subscribe("early") + w.publish("early", b"x"))
    with RawMqtt(shared, early=early) as ws:
        ws.expect(w.CONNACK)
        assert {ws.next().kind, ws.next().kind} == {w.SUBACK, w.PUBLISH}


@pytest.mark.parametrize("name", ["mqtt", "mqttv3.1"])
def test_subprotocols(shared, name):
    with RawMqtt(shared, subprotocols=(name,)) as ws:
        assert ws.subprotocol == name
        ws.start(f"sub-{name}")


@pytest.mark.parametrize("offer", ["mqttv5", "MQTT"])
def test_other_subprotocols_are_refused(shared, offer):
    answer = ask(shared.place, request("/rules", Sec_WebSocket_Protocol=offer))
    assert answer.status == 400


def test_a_subprotocol_is_needed(shared):
    answer = ask(shared.place, request("/rules"))
    assert answer.status == 400
    assert b"mqtt" in answer.body


# ---- bad input -----------------------------------------------------------------


def test_text_frames(shared):
    with RawMqtt(shared) as ws:
        ws.frame(TEXT, b"hello")
        assert ws.ended() == ([], 1003)


BAD_FIRST = {
    "PINGREQ": (b"\xc0\x00", 1002),
    "HTTP": (b"GET / HTTP/1.1\r\n", 1002),
    "too long": (b"\x10\xff\xff\xff\x7f", 1009),
    "no such length": (b"\x10\xff\xff\xff\xff", 1002),
    "bad flags": (b"\x11\x0e", 1002),
    "bad UTF-8": (w.connect(b"\xff\xfe"), 1002),
    "reserved flag": (w.connect("x", flags=1), 1002),
}


@pytest.mark.parametrize("name", BAD_FIRST)
def test_bad_first_packets(shared, name):
    data, code = BAD_FIRST[name]
    with RawMqtt(shared) as ws:
        ws.mqtt(data)
        assert ws.ended() == ([], code)


@pytest.mark.parametrize("level, answer", [(2, b"\0\x01"), (7, b"\0\x84\0")])
def test_unknown_versions(shared, level, answer):
    with RawMqtt(shared) as ws:
        data = bytearray(w.connect("x"))
        data[8] = level
        ws.mqtt(bytes(data))
        assert ws.ended() == ([w.Packet(w.CONNACK, 0, answer)], 1002)


BAD_LATER = {
    "second CONNECT": (w.connect("x", V5), 0x82, 1002),
    "CONNACK": (b"\x20\x02\x00\x00", 0x82, 1002),
    "SUBACK": (b"\x90\x03\x00\x01\x00", 0x82, 1002),
    "QoS 3": (b"\x36\x07\x00\x01a\x00\x01\x00x", 0x81, 1002),
    "wildcard in a name": (w.publish("a/+", b"", V5), 0x90, 1002),
    "bad UTF-8 in a name": (w.publish(b"a\xff", b"", V5), 0x90, 1002),
    "NUL in a name": (w.publish("a\0b", b"", V5), 0x90, 1002),
    "unknown alias": (w.publish("", b"", V5, properties=b"\x23\x00\x01"), 0x94, 1002),
    "alias beyond the broker's": (w.publish("a", b"", V5, properties=b"\x23\xff\xff"), 0x94, 1002),
    "identifier 0": (w.publish("a", b"", V5, qos=1, mid=0), 0x81, 1002),
    "SUBSCRIBE to nothing": (w.subscribe(version=V5), 0x81, 1002),
    "too long": (b"\x82\x80\x80\x20", 0x95, 1009),
    "bad property": (w.publish("a", b"", V5, properties=b"\x11\0\0\0\0"), 0x81, 1002),
}


@pytest.mark.parametrize("name", BAD_LATER)
def test_bad_packets_within_a_session(shared, broker, name):
    """MQTT 5 is told why; what came before has arrived; the broker sees an end
    without DISCONNECT."""
    data, reason, code = BAD_LATER[name]
    who = f"bad-{name.replace(' ', '-')}"
    with Client("witness", broker.port) as witness, RawMqtt(shared) as ws:
        witness.subscribe(("bad/#", 1))
        ws.start(who, V5, will=("bad/will", who, 0, 0))
        ws.mqtt(w.publish("bad/before", who, V5), data, w.publish("bad/after", who, V5))
        packets, got = ws.ended()
        assert got == code
        assert packets == [w.Packet(w.DISCONNECT, 0, bytes([reason]))]
        assert witness.message().topic == "bad/before"
        assert seen(witness.message())[:2] == ("bad/will", who.encode())


def test_no_connect_in_time(shared):
    with RawMqtt(shared, "/short") as ws:
        ws.mqtt(w.connect("late")[:5])
        assert ws.ended() == ([], 1008)


def test_max_packet(shared):
    with RawMqtt(shared, "/short") as ws:
        got = ws.start("short", V5)
        assert w.properties_of(got.body[2:])[0x27] == 1024
        ws.mqtt(w.publish("max", b"x" * 900, V5, qos=1))
        ws.expect(w.PUBACK)
        ws.mqtt(w.publish("max", b"x" * 1100, V5, qos=1))
        assert ws.ended() == ([w.Packet(w.DISCONNECT, 0, b"\x95")], 1009)


# ---- rules ---------------------------------------------------------------------


def test_denied_publishes_of_mqtt_5(shared, broker):
    with Client("acl5", broker.port) as tcp, RawMqtt(shared, "/rules") as ws:
        tcp.subscribe(("ok/#", 2), ("no/#", 2))
        ws.start("acl-5", V5)
        ws.mqtt(
            w.publish("ok/1", b"1", V5),
            w.publish("no/0", b"x" * 5000, V5),
            w.publish("no/1", b"x" * 5000, V5, qos=1, mid=11),
            w.publish("no/2", b"x" * 5000, V5, qos=2, mid=12),
            w.publish("ok/2", b"2", V5, qos=1, mid=13),
        )
        ws.expect(w.PUBACK, b"\x00\x0b\x87")
        ws.expect(w.PUBREC, b"\x00\x0c\x87")
        ws.expect(w.PUBACK)
        assert [tcp.message().topic, tcp.message().topic] == ["ok/1", "ok/2"]
        # A client that goes on all the same gets its answer.
        ws.mqtt(w.ack(w.PUBREL, 12))
        assert ws.expect(w.PUBCOMP).body[:2] == b"\x00\x0c"
        # By alias, too.
        alias = b"\x23\x00\x01"
        ws.mqtt(
            w.publish("no/a", b"", V5, properties=alias),
            w.publish("", b"", V5, qos=1, mid=14, properties=alias),
            w.publish("ok/a", b"", V5, properties=alias),
            w.publish("", b"", V5, qos=1, mid=15, properties=alias),
        )
        ws.expect(w.PUBACK, b"\x00\x0e\x87")
        assert ws.expect(w.PUBACK).body[:2] == b"\x00\x0f"
        assert [tcp.message().topic, tcp.message().topic] == ["ok/a", "ok/a"]
        assert tcp.messages.empty()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_denied_publishes_of_mqtt_3(shared, broker, qos):
    with Client("acl3", broker.port) as tcp, RawMqtt(shared, "/rules") as ws:
        tcp.subscribe(("ok/#", 2), ("no/#", 2))
        ws.start("acl-3")
        ws.mqtt(w.publish("ok/1"), w.publish("no/1", qos=qos), w.publish("ok/2"))
        assert ws.ended() == ([], 1008)
        assert tcp.message().topic == "ok/1"
    with Client("acl3", broker.port) as tcp, RawMqtt(shared, "/drops") as ws:
        tcp.subscribe(("ok/#", 2), ("no/#", 2))
        ws.start("acl-3")
        ws.mqtt(w.publish("no/1", qos=qos, mid=21))
        if qos == 1:
            ws.expect(w.PUBACK, b"\x00\x15")
        if qos == 2:
            ws.expect(w.PUBREC, b"\x00\x15")
            ws.mqtt(w.ack(w.PUBREL, 21))
            ws.expect(w.PUBCOMP, b"\x00\x15")
        ws.mqtt(w.publish("ok/2"))
        assert tcp.message().topic == "ok/2"
        assert tcp.messages.empty()


@VERSIONS
def test_subscriptions(shared, broker, version):
    no = 0x87 if version == V5 else 0x80
    bad = 0x8F if version == V5 else 0x80
    shared_no = 0x9E if version == V5 else 0x80
    cases = [
        (["ok/#"], [0]),
        ([("ok/a", 1), ("ok/+", 2)], [1, 2]),
        (["no"], [no]),
        (["#"], [no]),
        (["+/a"], [no]),
        (["$SYS/#"], [no]),
        (["ok/secret/a"], [no]),
        ([("no/1", 1), ("ok/1", 1), ("no/2", 2), ("ok/2", 2), ("ok/#x", 0)], [no, 1, no, 2, bad]),
        (["ok/" * 40], [bad]),
        (["$share/g/ok/a"], [shared_no]),
    ]
    with RawMqtt(shared, "/rules") as ws:
        ws.start(f"subs-{version}", version)
        for mid, (filters, codes) in enumerate(cases, 1):
            ws.mqtt(w.subscribe(*filters, version=version, mid=mid))
            body = ws.expect(w.SUBACK).body
            assert body[:2] == mid.to_bytes(2, "big")
            assert list(body[3 if version == V5 else 2 :]) == codes, filters
        # All at once: each has its answer.
        ws.mqtt(*(w.subscribe(*f, version=version, mid=m) for m, (f, _) in enumerate(cases, 1)))
        answers = [ws.expect(w.SUBACK).body for _ in cases]
        for body in answers:
            codes = cases[body[1] - 1][1]
            assert list(body[3 if version == V5 else 2 :]) == codes
        ws.mqtt(w.unsubscribe("no", "ok/#", version=version, mid=99))
        assert ws.expect(w.UNSUBACK).body[:2] == b"\x00\x63"


@NEWER
def test_denied_within_an_allowed_wildcard(shared, broker, version):
    """What a wider subscription brings is looked at."""
    with Client("teller", broker.port) as tcp, RawMqtt(shared, "/rules") as ws:
        ws.start(f"within-{version}", version)
        ws.mqtt(w.subscribe(("ok/#", 2), version=version))
        ws.expect(w.SUBACK)
        for qos in 0, 1, 2:
            tcp.publish("ok/secret/x", b"hidden" * 1000, qos=qos)
        tcp.publish("ok/open", b"told", qos=1)
        seen_packets = []
        while not seen_packets or seen_packets[-1].kind != w.PUBLISH:
            seen_packets.append(ws.next())
            if seen_packets[-1].kind == w.PUBREL:
                ws.mqtt(w.ack(w.PUBCOMP, int.from_bytes(seen_packets[-1].body[:2], "big")))
        assert b"told" in seen_packets[-1].body
        assert all(b"hidden" not in p.body for p in seen_packets)
        # Many more than a broker sends before it is answered.
        for i in range(100):
            tcp.publish("ok/secret/y", b"hidden", qos=1)
        tcp.publish("ok/open", b"again", qos=0)
        while (got := ws.next()).kind != w.PUBLISH:
            assert got.kind == w.PUBREL
        assert b"again" in got.body


def test_rules_for_each_session(shared, broker):
    with RawMqtt(shared, "/room/blue") as blue, RawMqtt(shared, "/room/red") as red:
        blue.start("blue", V5)
        red.start("red", V5)
        blue.mqtt(w.subscribe("rooms/blue/#", "rooms/red/#", version=V5))
        assert blue.expect(w.SUBACK).body[3:] == b"\x00\x87"
        red.mqtt(w.publish("rooms/blue/x", b"", V5, qos=1))
        red.expect(w.PUBACK, b"\x00\x01\x87")


def test_a_value_that_is_no_level(shared):
    for path in "/room/%23", "/room/%2B", "/room/a+", "/room/a%01":
        answer = ask(shared.place, request(path, Sec_WebSocket_Protocol="mqtt"))
        assert answer.status == 400


@NEWER
def test_wills_are_publishes(shared, version):
    with RawMqtt(shared, "/rules") as ws:
        ws.start(f"will-ok-{version}", version, will=("ok/will", "x", 0, 0))
    with RawMqtt(shared, "/rules") as ws:
        ws.mqtt(w.connect("will-no", version, will=("no/will", "x", 0, 0)))
        body = b"\0\x87\0" if version == V5 else b"\0\x05"
        assert ws.ended() == ([w.Packet(w.CONNACK, 0, body)], 1008)


# ---- who a client is -----------------------------------------------------------


@VERSIONS
def test_credentials_from_the_request(gangway, version):
    with w.broker(users={"anna": "s3cret"}) as broker:
        gw = gangway(
            {
                "/": f"{broker.target}?user={{query.u}}&password={{query.p}}"
                "&client_id_prefix={query.u}-",
                "/own": broker.target,
            }
        )
        with RawMqtt(gw, "/?u=anna&p=s3cret") as ws:
            ws.start(f"c{version}", version, user="mallory", password="x")
            assert broker.client(f"anna-c{version}") == (version, True, 60, "anna")
        with RawMqtt(gw, "/?u=anna&p=wrong") as ws:
            ws.mqtt(w.connect("c2", version, user="anna", password="s3cret"))
            assert ws.expect(w.CONNACK).body[1] != 0
        with RawMqtt(gw, "/own") as ws:  # nothing is said there: the client's own
            ws.start("c3", version, user="anna", password="s3cret")
        for bad in "/?u=anna", "/?u=&p=x", "/?u=a%00&p=x", "/?u=%ff&p=x":
            assert ask(gw.place, request(bad, Sec_WebSocket_Protocol="mqtt")).status == 400
        assert "s3cret" not in gw.text()


def test_forced_client_id(gangway, broker):
    gw = gangway(f"{broker.target}?client_id=is-{{client.ip}}")
    with RawMqtt(gw) as ws:
        ws.start("wants-another")
        assert broker.client("is-127.0.0.1")


def test_empty_client_ids_with_a_prefix(gangway, broker):
    gw = gangway(f"{broker.target}?client_id_prefix=px-")
    with RawMqtt(gw) as one, RawMqtt(gw) as two:
        told = [w.properties_of(ws.start("", V5).body[2:])[w.ASSIGNED_ID] for ws in (one, two)]
        assert told[0] != told[1]
        for name in told:
            assert broker.client(f"px-{name}")
    with RawMqtt(gw) as ws:
        ws.mqtt(w.connect("", V311, clean=False))
        assert ws.ended()[0] == [w.Packet(w.CONNACK, 0, b"\0\x02")]


def test_keepalive_and_expiry_are_clamped(gangway, broker):
    gw = gangway(f"{broker.target}?max_keepalive=1s&max_session_expiry=10s")
    with RawMqtt(gw) as v5, RawMqtt(gw) as v3:
        ack = v5.start("clamp5", V5, keepalive=600, properties=b"\x11\xff\xff\xff\xff")
        told = w.properties_of(ack.body[2:])
        assert (told[w.SERVER_KEEPALIVE], told[w.EXPIRY]) == (1, 10)
        assert broker.client("clamp5")[2] == 1
        v3.start("clamp3", V311, keepalive=0)
        assert broker.client("clamp3")[2] == 1
        # The broker gives up on who is silent for 1.5 s: MQTT 5 was told, the
        # other is pinged for, and hears nothing of it.
        broker.wait_log("Client clamp5 has exceeded timeout")
        assert v5.ended()[1] == 1000
        time.sleep(1)
        v3.mqtt(w.packet(w.PINGREQ))
        v3.expect(w.PINGRESP)
        v3.expect_nothing()


def test_client_id_duels(gangway, broker):
    gw = gangway(broker.target)
    duellists, refused = [], None
    for _ in range(8):
        ws = RawMqtt(gw)
        duellists.append(ws)
        ws.mqtt(w.connect("wanted", V5))
        if ws.expect(w.CONNACK).body[1] == 0x97:
            refused = ws.ended()
            break
    assert refused == ([], 1008)
    assert len(duellists) == 7  # the first, five takeovers, one too many
    duellists[5].mqtt(w.packet(w.PINGREQ))  # who has it keeps it
    duellists[5].expect(w.PINGRESP)
    for ws in duellists:
        ws.close()


# ---- brokers -------------------------------------------------------------------


def test_broker_that_is_not_there(gangway):
    gw = gangway(f"mqtt://127.0.0.1:{services.free_port()}")
    assert ask(gw.place, request("/", Sec_WebSocket_Protocol="mqtt")).status == 502


def test_the_next_broker(gangway, broker):
    gw = gangway(f"mqtt://127.0.0.1:{services.free_port()},127.0.0.1:{broker.port}")
    with RawMqtt(gw) as ws:
        ws.start("second")


def test_broker_is_killed_and_comes_back(gangway):
    with w.broker() as broker:
        gw = gangway(broker.target)
        with RawMqtt(gw) as ws:
            ws.start("x")
            broker.process.process.kill()
            assert ws.ended()[1] in (1000, 1011)
        broker.stop()
        assert ask(gw.place, request("/", Sec_WebSocket_Protocol="mqtt")).status == 502
        broker.start()
        with RawMqtt(gw) as ws:
            ws.start("x")


def test_mqtts(gangway, authority, server_pair):
    with w.broker(tls=server_pair) as broker:
        to = f"mqtts://localhost:{broker.port}"
        gw = gangway(
            {
                "/": f"{to}?ca={authority.certificate}",
                "/unknown": to,
                "/name": f"{to}?ca={authority.certificate}&sni=other.test",
                "/insecure": f"{to}?insecure",
            }
        )
        for path in "/", "/insecure":
            with RawMqtt(gw, path) as ws:
                ws.start("tls", V5)
                ws.mqtt(w.subscribe("tls", version=V5), w.publish("tls", b"x" * 100_000, V5))
                ws.expect(w.SUBACK)
                assert ws.expect(w.PUBLISH).body.endswith(b"x" * 100_000)
        for path in "/unknown", "/name":
            assert ask(gw.place, request(path, Sec_WebSocket_Protocol="mqtt")).status == 502


def test_over_wss(gangway, broker, wss, authority):
    gw = gangway({"/mqtt": broker.target}, config=wss, listen=())
    with Client("wss", gw.place.port, V5, path="/mqtt", tls=authority) as web:
        web.subscribe(("wss", 1))
        web.publish("wss", b"y" * 200_000, qos=1)
        assert len(web.message().payload) == 200_000


@pytest.mark.parametrize(
    "target, why",
    [
        ("mqtt:?user=x", "HOST"),
        ("mqtt://h?password=x", "password needs user"),
        ("mqtt://h?client_id=a&client_id_prefix=b", "one of them"),
        ("mqtt://h?allow=x", "pub:"),
        ("mqtt://h?deny=pub:a", "deny without allow"),
        ("mqtt://h?allow=pub:a%23", "not a topic filter"),
        ("mqtt://h?user={path.nope}", "nope"),
        ("mqtt://h?allow=pub:{path.nope}/x", "nope"),
        ("mqtt://h?ca=/x", "mqtts"),
        ("mqtt://h?max_packet=10", "max_packet"),
        ("mqtt://h?max_keepalive=1ms", "max_keepalive"),
        ("mqtt://h?denied=maybe", "disconnect|drop"),
        ("mqtt://h?usr=x", "did you mean 'user'"),
    ],
)
def test_routes_that_make_no_sense(target, why):
    done = subprocess.run(
        [BINARY, "--check", "--listen", "ws://127.0.0.1:0", "--route", f"/={target}"],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode != 0
    assert why in done.stderr


# ---- flow, memory, numbers -------------------------------------------------------


def test_slow_subscriber_holds_the_broker_back(gangway):
    """Nothing piles up in the gateway; what was sent arrives."""
    total, size = 200, 100_000
    with w.broker("max_queued_messages 0", "max_inflight_messages 0") as broker:
        gw = gangway(broker.target)
        with Client("flood", broker.port) as flood, RawMqtt(gw, rcvbuf=1 << 16) as ws:
            ws.start("slow")
            ws.mqtt(w.subscribe("flood"))
            ws.expect(w.SUBACK)
            before = gw.rss()
            for i in range(total):
                flood.publish("flood", i.to_bytes(4, "big") + bytes(size))
            if not SANITIZER:
                assert gw.rss() - before < 2 << 20
            for i in range(total):
                assert ws.expect(w.PUBLISH).body[7:11] == i.to_bytes(4, "big")


def test_slow_broker_holds_the_client_back(gangway, backend):
    gw = gangway(f"mqtt://127.0.0.1:{backend.port}")
    with RawMqtt(gw) as ws, backend.accept() as peer:
        ws.mqtt(w.connect("x"))
        ws.sock.settimeout(1)
        before, sent = gw.rss(), 0
        with pytest.raises(TimeoutError):
            while sent < 100 << 20:
                ws.mqtt(w.publish("x", bytes(60_000)))
                sent += 60_000
        if not SANITIZER:
            assert gw.rss() - before < 2 << 20
        assert sent > 0 and peer


@pytest.mark.skipif(SANITIZER is not None, reason="memory is not a sanitizer's to measure")
def test_idle_sessions_are_small(gangway, broker):
    total = 400
    gw = gangway(broker.target)
    sessions = []

    def more(n):
        for _ in range(n):
            ws = RawMqtt(gw)
            ws.start(f"idle-{len(sessions)}", V5)
            sessions.append(ws)

    more(100)
    before = gw.rss()
    more(total)
    grown = gw.rss() - before
    for ws in sessions:
        ws.close()
    assert grown / total <= 4096, f"{grown / total:.0f} bytes a session"


def test_counters(gangway, broker):
    gw = gangway(f"{broker.target}?allow=all:ok/%23", args=["--admin", "127.0.0.1:0"])
    with RawMqtt(gw) as ws:
        ws.start("counted", V5)
        ws.mqtt(
            w.publish("no", b"", V5), w.publish("no", b"", V5, qos=1),
            w.subscribe("no/1", "no/2", "ok/1", version=V5), b"\xf1\x00",
        )
        ws.ended()
    gw.session_end(reason="bad_data", code=1002)
    got = ops.metrics(gw)

    def count(name):
        return got[f'gangway_bridge_mqtt_{name}_total{{bridge="mqtt"}}']

    assert count("connects") == 1
    assert count("denied_publishes") == 2
    assert count("denied_subscriptions") == 2
    assert count("malformed") == 1


def test_many_clients_at_once(gangway, broker):
    """Each hears its own topic and nobody else's."""
    gw = gangway(broker.target)
    problems = []

    def one(i):
        try:
            with RawMqtt(gw) as ws:
                version = (V31, V311, V5)[i % 3]
                ws.start(f"crowd-{i}", version)
                ws.mqtt(w.subscribe((f"crowd/{i}", 1), version=version), cut=1 + i % 5)
                ws.expect(w.SUBACK)
                for n in range(20):
                    ws.mqtt(w.publish(f"crowd/{i}", f"{i}:{n}".encode(), version), cut=3 + i % 7)
                    assert ws.expect(w.PUBLISH).body.endswith(f"{i}:{n}".encode())
                ws.mqtt(w.packet(w.DISCONNECT))
                assert ws.ended() == ([], 1000)
        except (AssertionError, OSError) as e:
            problems.append(f"{i}: {e!r}")

    threads = [threading.Thread(target=one, args=(i,)) for i in range(30)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(WAIT_S * 2)
    assert not problems
