# SPDX-License-Identifier: Apache-2.0
"""MQTT libraries and gangway.mjs in real browsers, on pages that gangway
serves."""

import shutil
import signal
import time

import pytest
from browser import Browser
from gangway import ROOT
from mqtt_wire import broker
from services import free_port

TESTS = ROOT / "tests" / "browser"
FILES = (
    TESTS / "mqtt_page" / "index.html",
    TESTS / "mqtt_page" / "clients.mjs",
    TESTS / "node_modules" / "mqtt" / "dist" / "mqtt.min.js",
    TESTS / "node_modules" / "paho-mqtt" / "paho-mqtt.js",
    ROOT / "bridges" / "mqtt" / "gangway.mjs",
)


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def browser(request, tmp_path_factory):
    with Browser(request.param, tmp_path_factory.mktemp(request.param)) as b:
        yield b


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A page's files, all in one folder."""
    folder = tmp_path_factory.mktemp("web")
    for path in FILES:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def live():
    with broker() as b:
        yield b


@pytest.fixture(scope="module")
def shared(shared_gangway, live, web):
    return shared_gangway({"/mqtt": live.target}, args=["--web", web])


def opened(browser, gw):
    browser.open(gw.url("/").replace("ws", "http", 1))
    return browser


@pytest.mark.parametrize("library, version", [("mqttJs", 4), ("mqttJs", 5), ("pahoJs", 3), ("pahoJs", 4)])
def test_libraries(browser, shared, library, version):
    root = f"{library}-{version}-{time.monotonic_ns()}"
    told = opened(browser, shared).call("story", library, "/mqtt", version, root)
    assert told["granted"] == [2, 1]
    # The four steps of QoS 2 may let another message pass.
    assert sorted(told["heard"]) == [
        [f"{root}/big", 200_000, 1, False],
        [f"{root}/kept", "kept", 1, False],
        [f"{root}/q", "q0", 0, False],
        [f"{root}/q", "q1", 1, False],
        [f"{root}/q", "q2", 2, False],
    ]
    assert told["retained"] == [[f"{root}/kept", "kept", 1, True]]
    assert told["wills"] == [[f"{root}/will", "tear", 1, False]]


def test_client_module(browser, shared):
    topic = f"module/{time.monotonic_ns()}"
    opened(browser, shared)
    assert browser.call("open", "/mqtt", f"{topic}/+")["qos"] == 1
    assert browser.call("publish", f"{topic}/a", {"on": True}, {"qos": 1})["qos"] == 1
    browser.call("publish", f"{topic}/b", "words", {"qos": 1})
    browser.until("told().messages.length === 2")
    told = browser.call("told")
    assert told["messages"] == [
        {"topic": f"{topic}/a", "qos": 1, "data": {"on": True}},
        {"topic": f"{topic}/b", "qos": 1, "text": "words"},
    ]
    assert told["errors"] == [] and told["up"]
    assert browser.call("failing", "$SYS/x", 1) == "forbidden"
    browser.evaluate("end()")
    browser.until("told().states.at(-1)[0] === 'closed'")


def hears(browser, topic, data):
    """What is published comes; an answer may be lost with a session, so again
    until it does."""
    end = time.monotonic() + 20
    while not browser.call("has", data):
        assert time.monotonic() < end, browser.call("told")
        browser.evaluate(f"publish({topic!r}, {data}, {{qos: 1}}).then(() => 0, (e) => e.code)")
        browser.evaluate("new Promise((done) => setTimeout(done, 50))")


def test_client_module_comes_through(browser, gangway, web):
    """The broker is killed and comes back; then gangway itself is."""
    port = free_port()

    def start():
        return gangway(
            {"/mqtt": f"{b.target}?hold=0s"}, args=["--web", web],
            listen=(f"ws://127.0.0.1:{port}",),
        )  # fmt: skip

    with broker() as b:
        gw = start()
        opened(browser, gw)
        browser.call("open", "/mqtt", "t")
        hears(browser, "t", 1)
        known = browser.evaluate("told().states.length")

        b.process.process.kill()
        b.process.process.wait()
        browser.until("!up()")
        assert browser.call("failing", "t", 2) == "unavailable"
        b.start()
        browser.until("up()")
        hears(browser, "t", 3)
        # The session is the same: it has only been told.
        assert browser.call("told")["states"][known:] == [["open", False], ["open", True]]

        gw.stop()
        browser.until("told().states.at(-1)[0] !== 'open'")
        gw = start()
        browser.until("up()")
        hears(browser, "t", 4)

        gw.signal(signal.SIGKILL)
        gw.wait()
        gw.exit_code = 0  # as was meant
        browser.until("told().states.at(-1)[0] !== 'open'")
        again = start()
        browser.until("up()")
        hears(browser, "t", 5)
        assert browser.call("told")["errors"] == []
        browser.evaluate("end()")
        again.session_end(reason="client_close")
