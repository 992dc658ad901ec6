# SPDX-License-Identifier: Apache-2.0
"""Sessions of real browsers: Chromium and Firefox, over ws and wss, with pages
that gangway itself serves. And of Node's `ws`."""

import json
import os
import signal
import subprocess

import gangway as harness
import pytest
import services
from backends import Backend, Server, echo, refusing_port
from browser import Browser
from gangway import ROOT

BROWSERS = ["chromium", "firefox"]
PAGES = ROOT / "tests" / "browser" / "page"
MODULES = ROOT / "tests" / "browser" / "node_modules"


@pytest.fixture(scope="module", params=BROWSERS)
def browser(request, tmp_path_factory):
    with Browser(request.param, tmp_path_factory.mktemp(request.param)) as b:
        yield b


async def bye(_, writer):
    writer.write(b"bye")


@pytest.fixture(scope="module")
def backends():
    with Server(echo) as echoing, Server(bye) as ending, Backend() as by_hand:
        sock, port = refusing_port()
        yield {
            "/echo": "echo:",
            "/stream": echoing.url,
            "/end": ending.url,
            "/by-hand": by_hand.url,
            "/refused": f"tcp://127.0.0.1:{port}",
            "/base64": f"{echoing.url}?mode=base64",
            "/strict": f"{by_hand.url}?mode=text&invalid=close",
        }, by_hand
        sock.close()


@pytest.fixture(scope="module")
def gw(shared_gangway, backends, server_pair):
    """One gangway with both kinds of listeners. No browser trusts its
    certificate."""
    routes, _ = backends
    config = {
        "listeners": [
            "ws://127.0.0.1:0",
            {
                "url": "wss://127.0.0.1:0",
                "tls": {
                    "certificate": str(server_pair.certificate),
                    "key": str(server_pair.key),
                },
            },
        ],
        "routes": [
            *({"path": path, "target": target} for path, target in routes.items()),
            {"path": "/listed", "target": "echo:", "subprotocols": ["chat.v2", "chat.v1"]},
            {"path": "/elsewhere", "target": "echo:", "origins": ["https://elsewhere.example"]},
        ],
        "web": str(PAGES),
        "timeouts": {"ping_interval": "300ms", "pong_wait": "2s"},
    }
    return shared_gangway(config=config, listen=())


def page_of(gw, scheme, path="/"):
    place = next(p for p in gw.places if p.scheme == scheme)
    return place.url(path).replace("ws", "http", 1)


@pytest.fixture(params=["ws", "wss"])
def page(request, browser, gw):
    """The browser, with a fresh page of tests/browser/page."""
    browser.open(page_of(gw, request.param))
    for line in list(gw.log):  # what went before is nobody's any more
        line.taken = True
    browser.scheme = request.param
    return browser


def only(**fields):
    """What story() tells, where nothing else is to be seen."""
    return {"opened": True, "error": False, "messages": [], "reason": "", **fields}


# ---- messages -------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1 << 20])
def test_text(page, size):
    expected = {"type": "text", "same": True, "code": 1000, "wasClean": True}
    assert page.call("roundTrip", "/echo", "text", size) == expected


@pytest.mark.parametrize("size", [0, 1, 126, 65536, 1 << 20])
@pytest.mark.parametrize(
    "kind, binary_type, comes",
    [
        ("blob", "blob", "Blob"),
        ("arraybuffer", "arraybuffer", "ArrayBuffer"),
        ("view", "arraybuffer", "ArrayBuffer"),
    ],
)
def test_binary(page, kind, binary_type, comes, size):
    expected = {"type": comes, "same": True, "code": 1000, "wasClean": True}
    assert page.call("roundTrip", "/echo", kind, size, binary_type) == expected


def test_stream(page):
    """8 MiB through a TCP service and back, in order."""
    total = 8 << 20
    assert page.call("flood", "/stream", total) == {
        "good": True,
        "received": total,
        "code": 1000,
    }


def test_many_sessions(page):
    assert page.call("crowd", "/stream", 6) == {"right": 6, "closed": 6}


def test_pings_are_answered(page, gw):
    """A silent session outlives many pings, and then carries a message."""
    page.call("keep", "/echo")
    sid = gw.wait_log("session-open")["sid"]
    page.evaluate("new Promise((resolve) => setTimeout(resolve, 1500))")
    assert page.call("ask", "still there?") == "still there?"
    page.evaluate("kept.close(1000)")
    end = gw.session_end(sid=sid)
    assert end["reason"] == "client_close" and int(end["ms"]) >= 1500


# ---- opening --------------------------------------------------------------------


def test_subprotocols(page):
    def negotiated(path, offered):
        told = page.call("negotiated", path, offered)
        assert told["extensions"] == ""
        assert told["secure"] == (page.scheme == "wss")
        return told["protocol"]

    assert negotiated("/echo", []) == ""
    assert negotiated("/echo", ["binary", "base64"]) == "binary"
    assert negotiated("/listed", ["chat.v0", "chat.v1", "chat.v2"]) == "chat.v1"


REFUSED = only(opened=False, error=True, code=1006, wasClean=False)


@pytest.mark.parametrize(
    "path, protocols, status",
    [
        ("/nowhere", [], 404),
        ("/refused", [], 502),
        ("/listed", ["chat.v3"], 400),
        ("/elsewhere", [], 403),
    ],
)
def test_refusals(page, gw, path, protocols, status):
    """A browser tells a page nothing but 1006; the log has the reason."""
    assert page.call("story", path, {"protocols": protocols}) == REFUSED
    event = "session-refused" if status == 502 else "request-refused"
    gw.wait_log(event, path=path, status=status)


# ---- closing --------------------------------------------------------------------

LONGEST = "é" * 61 + "!"  # 123 bytes: what fits into a Close frame


@pytest.mark.parametrize(
    "arguments, code",
    [
        ([], 1005),
        ([1000], 1000),
        ([1000, "that was all"], 1000),
        ([3000, "x"], 3000),
        ([4999, LONGEST], 4999),
    ],
)
def test_the_page_closes(page, gw, backends, arguments, code):
    """The code comes back, and what was sent before has arrived."""
    _, by_hand = backends
    called = page.start("story", "/by-hand", {"send": ["hello", "world"], "close": arguments})
    with by_hand.accept() as peer:
        assert peer.until_eof() == b"helloworld"
    assert page.wait(called) == only(code=code, wasClean=True)
    end = gw.session_end(route="/by-hand", code=code)
    assert (end["reason"], end["by"]) == ("client_close", "client")


def test_the_page_goes_away(page, gw, backends):
    _, by_hand = backends
    called = page.start("keep", "/by-hand")
    with by_hand.accept() as peer:
        page.wait(called)
        page.open(page_of(gw, page.scheme, "/?again"))
        assert peer.until_eof() == b""
    assert gw.session_end(route="/by-hand")["by"] == "client"


def test_the_service_ends(page):
    expected = only(messages=["bye"], code=1000, wasClean=True)
    assert page.call("story", "/end") == expected


def test_the_service_breaks(page, backends):
    """What it said before is there, and 1000 it is not."""
    _, by_hand = backends
    called = page.start("story", "/by-hand", {"send": ["hello"]})
    with by_hand.accept() as peer:
        assert peer.exactly(5) == b"hello"
        peer.send(b"half of an ans")
        peer.reset()
    told = page.wait(called)
    assert told.pop("reason")
    assert told == {
        "opened": True, "error": False, "messages": ["half of an ans"],
        "code": 1011, "wasClean": True,
    }


def test_the_service_sends_bytes_that_are_no_text(page, backends):
    _, by_hand = backends
    called = page.start("story", "/strict", {"send": ["hello"]})
    with by_hand.accept() as peer:
        peer.exactly(5)
        peer.send(b"caf\xe9 au lait")
        told = page.wait(called)
    assert (told["code"], told["wasClean"], told["messages"]) == (1007, True, [])


@pytest.mark.parametrize(
    "message, code", [("?", 1007), ({"bytes": 4}, 1003)], ids=["bad data", "wrong type"]
)
def test_the_page_sends_what_is_not_taken(page, message, code):
    told = page.call("story", "/base64", {"send": [message]})
    assert (told["opened"], told["code"], told["wasClean"]) == (True, code, True)


def test_gangway_stops(browser, gangway):
    gw = gangway("echo:", args=["--web", PAGES], settings={"timeouts.drain": "5s", "timeouts.linger": "300ms"})
    browser.open(page_of(gw, "ws"))
    browser.call("keep", "/session")
    assert browser.call("ask", "hello") == "hello"
    gw.signal(signal.SIGTERM)
    told = browser.evaluate("ending")
    assert (told["code"], told["wasClean"]) == (1001, True)
    assert gw.wait() == 0
    gw.session_end(reason="shutdown", code=1001)


def test_idle_session_ends(browser, gangway):
    gw = gangway("echo:", args=["--web", PAGES], settings={"timeouts.idle": "300ms"})
    browser.open(page_of(gw, "ws"))
    told = browser.call("story", "/session")
    assert (told["code"], told["wasClean"]) == (1001, True)


def test_gangway_is_killed(browser, tmp_path):
    gw = harness.Gangway("echo:", args=["--web", PAGES], directory=tmp_path)
    try:
        browser.open(page_of(gw, "ws"))
        browser.call("keep", "/session")
        assert browser.call("ask", "hello") == "hello"
        gw.signal(signal.SIGKILL)
        assert browser.evaluate("ending") == {"code": 1006, "reason": "", "wasClean": False}
    finally:
        gw.signal(signal.SIGKILL)
        assert gw.wait() == -signal.SIGKILL


# ---- real pages -----------------------------------------------------------------


def picture(width, height):
    """A bitmap for xsetroot: the left half set, and of the right half its
    upper half too."""
    row = [0xFF] * (width // 16) + [0] * (width // 16)
    full = [0xFF] * (width // 8)
    data = full * (height // 2) + row * (height // 2)
    bits = ",\n".join(map(hex, data))
    return (
        f"#define p_width {width}\n#define p_height {height}\n"
        f"static unsigned char p_bits[] = {{\n{bits}}};\n"
    )


CANVAS = """(() => {
  const canvas = document.querySelector("#noVNC_container canvas");
  if (!canvas || canvas.width !== 320) return null;
  const context = canvas.getContext("2d");
  return [[80, 60], [240, 60], [80, 180], [240, 180]].map(([x, y]) =>
    [...context.getImageData(x, y, 1, 1).data.slice(0, 3)]);
})()"""
CONNECTED = "document.documentElement.classList.contains('noVNC_connected')"


def test_novnc_shows_a_screen(browser, gangway, tmp_path):
    """The picture of a VNC server on noVNC's canvas, its page served from the
    folder that Debian puts it in."""
    blue, yellow, green = (0x33, 0x66, 0xCC), (0xFF, 0xCC, 0x00), (0x00, 0x88, 0x44)
    bitmap = tmp_path / "picture.xbm"
    bitmap.write_text(picture(320, 240))

    def until_painted(*expected):
        """The middle of each quarter has this colour, give or take what the
        encoding loses."""
        browser.until(
            f"{CANVAS}?.every((pixel, i) => pixel.every((value, j) =>"
            f" Math.abs(value - {json.dumps(expected)}[i][j]) <= 3))"
        )

    with services.vnc("320x240") as screen:
        screen.paint("-bitmap", bitmap, "-fg", "#3366cc", "-bg", "#ffcc00")
        gw = gangway(
            {"/websockify": f"tcp://127.0.0.1:{screen.port}"},
            args=["--web", "/usr/share/novnc"],
        )
        browser.open(page_of(gw, "ws", "/vnc.html?autoconnect=true&reconnect=false"))
        until_painted(blue, blue, blue, yellow)
        if directory := os.environ.get("SCREENSHOTS"):
            browser.do("screenshot", f"{directory}/novnc-{browser.name}.png")
        screen.paint("-solid", "#008844")  # and it goes on
        until_painted(green, green, green, green)

        browser.open(page_of(gw, "ws", "/app/styles/base.css"))  # away
        end = gw.session_end()
        assert end["by"] == "client" and int(end["bytes_in"]) > 0


def test_novnc_of_a_server_that_goes(browser, gangway):
    with services.vnc("320x240") as screen:
        gw = gangway(
            {"/websockify": f"tcp://127.0.0.1:{screen.port}"},
            args=["--web", "/usr/share/novnc"],
        )
        browser.open(page_of(gw, "ws", "/vnc.html?autoconnect=true&reconnect=false"))
        browser.until(CONNECTED)
    browser.until(f"!{CONNECTED}")
    assert gw.session_end()["by"] == "backend"


@pytest.fixture
def terminal(browser, gangway):
    """An xterm.js with its attach addon, on a session to a target."""

    def start(target, cols=80):
        routes = {"/tty": target, "/xterm/...": f"static:{MODULES}/@xterm"}
        gw = gangway(routes, args=["--web", PAGES])
        browser.open(page_of(gw, "ws", "/terminal.html"))
        browser.call("terminal", "/tty", cols, 24)

    return start


def test_xterm_on_a_shell(browser, terminal):
    """Typing into a terminal: keystrokes, echo, control characters, UTF-8."""
    with services.terminal("printf '$ '; cat; echo done") as port:
        terminal(f"tcp://127.0.0.1:{port}")
        browser.until("text().startsWith('$')")
        browser.do("type", "grüß 世界x")
        browser.do("press", ["Backspace"])
        browser.do("press", ["Enter"])
        # Once by the terminal's echo, once by cat.
        browser.until("text().startsWith('$ grüß 世界\\ngrüß 世界\\n')")
        browser.do("press", ["Control", "d"])
        browser.until("text().includes('done')")
        assert browser.evaluate("ended") == 1000


def test_xterm_mouse_is_binary(browser, terminal):
    """Keys are text messages and mouse reports binary ones, with bytes that
    are no UTF-8: a service sees one stream."""
    with Backend() as by_hand:
        terminal(by_hand.url, cols=120)
        with by_hand.accept() as peer:
            peer.send(b"\x1b[?1000hready")
            browser.until("text().startsWith('ready')")
            browser.do("type", "ü")
            assert peer.exactly(2) == "ü".encode()
            browser.do("click", browser.evaluate("cell(110, 3)"))
            assert peer.exactly(12) == (
                b"\x1b[M" + bytes([32, 33 + 110, 33 + 3])
                + b"\x1b[M" + bytes([35, 33 + 110, 33 + 3])
            )
            browser.do("type", "x")
            assert peer.exactly(1) == b"x"
            peer.send(b"\r\n\xff\xfe bytes that are no text \r\n")
            browser.until("text().includes('bytes that are no text')")
            peer.finish()
            assert browser.evaluate("ended") == 1000


# ---- Node -----------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_node_ws(gw, authority, scheme):
    place = next(p for p in gw.places if p.scheme == scheme)
    done = subprocess.run(
        ["node", ROOT / "tests" / "browser" / "ws_sessions.mjs", place.url("")],
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(authority.certificate)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert len(told) == 9
    assert {name: told[name] for name in told if told[name] is not True} == {}
