# SPDX-License-Identifier: Apache-2.0
"""Which subprotocol is answered: RFC 6455 sections 1.9 and 4.2.2."""

import pytest
from rawws import KEY, TEXT, RawWs, ask, request


def with_list(target, *allowed):
    return {"routes": [{"path": "/...", "target": target, "subprotocols": list(allowed)}]}


@pytest.fixture(scope="module")
def open_route(shared_gangway):
    return shared_gangway("echo:")


@pytest.fixture(scope="module")
def listed(shared_gangway):
    return shared_gangway(config=with_list("echo:", "amqp", "AMQPWSB10", "v2.chat"))


def answered(gw, *lines):
    answer = ask(gw.place, request(extra=[("Sec-WebSocket-Protocol", v) for v in lines]))
    assert answer.status == 101, answer.body
    return answer.header("sec-websocket-protocol")


@pytest.mark.parametrize(
    "lines, expected",
    [
        ([], None),
        (["mqtt"], "mqtt"),
        (["mqtt, mqttv3.1"], "mqtt"),
        (["mqttv3.1,mqtt"], "mqttv3.1"),
        (["  binary\t,  base64 "], "binary"),
        ([",, binary ,"], "binary"),
        (["first", "second"], "first"),
        (["v1.Foo~bar!#$%&'*+-.^_`|"], "v1.Foo~bar!#$%&'*+-.^_`|"),
    ],
)
def test_without_a_list_the_first_is_answered(open_route, lines, expected):
    assert answered(open_route, *lines) == expected


@pytest.mark.parametrize(
    "lines, expected",
    [
        ([], None),
        (["amqp"], "amqp"),
        (["v2.chat, amqp"], "v2.chat"),  # the client's order, not the list's
        (["other, amqp"], "amqp"),
        (["other", "AMQPWSB10"], "AMQPWSB10"),
    ],
)
def test_with_a_list(listed, lines, expected):
    assert answered(listed, *lines) == expected


@pytest.mark.parametrize("value", ["other", "AMQP", "amqpwsb10", "amqp2, x", "bearer.amqp"])
def test_no_match_is_refused(listed, value):
    answer = ask(listed.place, request(Sec_WebSocket_Protocol=value))
    assert answer.status == 400
    assert answer.header("sec-websocket-protocol") is None


@pytest.mark.parametrize(
    "value, expected",
    [
        ("bearer.SECRET123, chat", "chat"),
        ("chat, bearer.SECRET123", "chat"),
        ("base64url.bearer.SECRET123, chat", "chat"),
        ("bearer.SECRET123", None),
    ],
)
def test_credentials_are_never_answered_nor_logged(gangway, value, expected):
    gw = gangway("echo:", settings={"log.level": "debug"})
    assert answered(gw, value) == expected
    gw.session_end()
    assert "SECRET123" not in gw.text()


@pytest.mark.parametrize("value", ["a b", "a, b c", "ä".encode().decode("latin-1"), "a/b", "a;b", "a, a"])
def test_malformed(open_route, value):
    assert ask(open_route.place, request(Sec_WebSocket_Protocol=value)).status == 400


def test_session_with_a_subprotocol_works(open_route):
    with RawWs(open_route, subprotocols=["x", "y"]) as ws:
        assert ws.subprotocol == "x"
        ws.text("hello")
        assert ws.recv_message() == (TEXT, b"hello")


def test_too_many(open_route):
    many = ", ".join(f"p{i}" for i in range(200))
    assert ask(open_route.place, request(Sec_WebSocket_Protocol=many)).status == 400
    assert KEY not in open_route.text()
