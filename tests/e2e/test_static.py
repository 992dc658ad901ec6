# SPDX-License-Identifier: Apache-2.0
"""Files served to plain HTTP requests: --web and static: routes."""

import email.utils
import gzip
import os
import re
import socket
import threading
import time

import pytest
from gangway import SANITIZER
from ops import Run, fetch, http, metrics
from rawws import TEXT, RawWs, Wire, ask, dial, request

MIB = 1 << 20
OLD = 1_600_000_000  # well settled


def put(path, data, mtime=OLD):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    os.utime(path, (mtime, mtime))
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A site, with things beside it and in it that are nobody's business."""
    outside = tmp_path_factory.mktemp("outside")
    put(outside / "secret.txt", "secret")
    web = outside / "web"
    put(web / "index.html", "<p>front page")
    put(web / "app.js", "run()")
    put(web / "data.bin", bytes(range(256)) * 40)
    put(web / "empty.txt", "")
    put(web / "sub" / "index.html", "<p>sub page")
    put(web / "sub" / "page.html", "<p>page")
    put(web / "bare" / "file.txt", "no index here")
    put(web / "with space.txt", "space")
    put(web / "grüße.txt", "umlaut")
    put(web / "100%.txt", "percent")
    put(web / ".hidden", "secret")
    put(web / ".git" / "config", "secret")
    put(web / "sub" / ".env", "secret")
    put(web / "compressed.js", "plain " * 100)
    put(web / "compressed.js.gz", gzip.compress(b"plain " * 100))
    put(web / "compressed.js.br", b"pretend this is brotli")
    put(web / "only-gz.css", "css " * 100)
    put(web / "only-gz.css.gz", gzip.compress(b"css " * 100))
    put(web / "index-gz" / "index.html", "page " * 100)
    put(web / "index-gz" / "index.html.gz", gzip.compress(b"page " * 100))
    (web / "inside.txt").symlink_to("app.js")
    (web / "inside-dir").symlink_to("sub")
    (web / "out.txt").symlink_to("../secret.txt")
    (web / "out-absolute.txt").symlink_to(outside / "secret.txt")
    (web / "out-dir").symlink_to("..")
    (web / "dangling").symlink_to("nowhere")
    (web / "loop").symlink_to("loop")
    (web / "etc").symlink_to("/etc")
    os.mkfifo(web / "fifo")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(web / "socket"))
    return web


@pytest.fixture(scope="module")
def gw(shared_gangway, root):
    return shared_gangway({"/ws": "echo:", "/app.js": "echo:"}, args=["--web", root])


def get(gw, path, *fields, method="GET"):
    return fetch(gw.place, path, *fields, method=method)


# ---- what is there -------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, body, kind",
    [
        ("/", b"<p>front page", "text/html"),
        ("/index.html", b"<p>front page", "text/html"),
        ("/app.js", b"run()", "text/javascript"),
        ("/app.js?v=1&x=../..", b"run()", "text/javascript"),
        ("/sub/", b"<p>sub page", "text/html"),
        ("/sub/page.html", b"<p>page", "text/html"),
        ("/data.bin", bytes(range(256)) * 40, "application/octet-stream"),
        ("/empty.txt", b"", "text/plain"),
        ("/with%20space.txt", b"space", "text/plain"),
        ("/gr%C3%BC%C3%9Fe.txt", b"umlaut", "text/plain"),
        ("/100%25.txt", b"percent", "text/plain"),
        ("/%61pp.js", b"run()", "text/javascript"),
        ("/inside.txt", b"run()", "text/plain"),
        ("/inside-dir/page.html", b"<p>page", "text/html"),
    ],
)
def test_files(gw, path, body, kind):
    answer = get(gw, path)
    assert (answer.status, answer.body) == (200, body)
    assert answer.header("content-type").split(";")[0] == kind
    assert int(answer.header("content-length")) == len(body)
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("accept-ranges") == "bytes"
    assert email.utils.parsedate_to_datetime(answer.header("date"))
    head = get(gw, path, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    same = {"content-length", "content-type", "etag", "last-modified"}
    assert {k: head.headers[k] for k in same} == {k: answer.headers[k] for k in same}


@pytest.mark.parametrize(
    "name, kind",
    [
        ("a.html", "text/html; charset=utf-8"), ("a.htm", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"), ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"), ("a.svg", "image/svg+xml"), ("a.png", "image/png"),
        ("a.wasm", "application/wasm"), ("a.woff2", "font/woff2"), ("a.ico", None),
        ("A.HTML", "text/html; charset=utf-8"), ("a", "application/octet-stream"),
        ("a.tar.gz", None), ("a.unknown", "application/octet-stream"),
    ],
)  # fmt: skip
def test_types(gangway, tmp_path, name, kind):
    put(tmp_path / "w" / name, "x")
    gw = gangway("echo:", args=["--web", tmp_path / "w"])
    answer = get(gw, "/" + name)
    assert answer.status == 200 and answer.header("content-encoding") is None
    if kind:
        assert answer.header("content-type") == kind
    else:
        assert answer.header("content-type")


def test_files_change_without_a_restart(gangway, tmp_path):
    web = tmp_path / "w"
    put(web / "f.txt", "one")
    gw = gangway("echo:", args=["--web", web])
    assert get(gw, "/f.txt").body == b"one"
    put(web / "f.txt", "another")
    assert get(gw, "/f.txt").body == b"another"
    (web / "f.txt").unlink()
    assert get(gw, "/f.txt").status == 404
    put(web / "f.txt", "back")
    assert get(gw, "/f.txt").body == b"back"


# ---- what is not ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/none", "/none/", "/sub/none.html", "/app.js/", "/app.js/x", "/empty.txt/..", "/bare/",
     "/index.html/", "/" + "x" * 300, "/" + "x/" * 500 + "y"],
)  # fmt: skip
def test_not_there(gw, path):
    answer = get(gw, path)
    assert answer.status == 404
    assert answer.header("connection") == "close"


SECRETS = [
    # dots
    "/../secret.txt", "/./../secret.txt", "/sub/../../secret.txt", "/sub/../app.js",
    "/./app.js", "/sub/./page.html", "/..", "/.", "/sub/..", "/sub/.", "/...", "/..../secret.txt",
    # encoded dots and slashes
    "/%2e%2e/secret.txt", "/.%2e/secret.txt", "/%2E%2E/secret.txt", "/%2e%2e%2fsecret.txt",
    "/..%2fsecret.txt", "/sub%2f..%2f..%2fsecret.txt", "/%2e/app.js",
    "/%2fetc%2fpasswd", "/%2e%2e%5csecret.txt",
    # encoded twice
    "/%252e%252e/secret.txt", "/%252e%252e%252fsecret.txt",
    # overlong and broken UTF-8
    "/%c0%ae%c0%ae/secret.txt", "/%c0%afetc/passwd", "/%e0%80%ae%e0%80%ae/secret.txt",
    # backslashes
    "/..\\secret.txt", "/..%5csecret.txt", "/sub\\..\\..\\secret.txt", "/\\secret.txt",
    # absolute, and several slashes
    "//etc/passwd", "///etc/passwd", "/etc/passwd", "/sub//page.html", "/sub///..//../secret.txt",
    # dotfiles
    "/.hidden", "/%2ehidden", "/.git/config", "/%2egit/config", "/.git/", "/sub/.env",
    "/sub/%2eenv",
    # links that lead out
    "/out.txt", "/out-absolute.txt", "/out-dir/secret.txt", "/out-dir/web/app.js", "/etc/hostname",
    "/dangling", "/loop",
    # no files
    "/fifo", "/socket", "/sub/page.html/../../../secret.txt",
    # NUL, controls and other bytes
    "/app.js%00", "/app.js%00.html", "/%00", "/..%00/secret.txt", "/secret.txt%00.js",
    "/%0a", "/app.js%0d%0aX-Injected:%20yes", "/%ff%fe",
    # broken escapes
    "/%", "/%2", "/%zz", "/app.js%", "/%u002e%u002e/secret.txt",
    # parameters of paths
    "/..;/secret.txt", "/;/../secret.txt",
]  # fmt: skip


@pytest.mark.parametrize("path", SECRETS)
def test_traversal(gw, path):
    """400 or 404, and never a byte of what lies outside."""
    answer = get(gw, path)
    assert answer.status in (400, 404), answer
    assert b"secret" not in answer.body.replace(b"/secret", b"")
    assert b"root:" not in answer.body
    assert answer.header("x-injected") is None
    assert answer.header("location") is None


@pytest.mark.parametrize("path", SECRETS[:40])
def test_traversal_below_a_route(gangway_below, path):
    answer = get(gangway_below, "/files" + path)
    assert answer.status in (400, 404), answer
    assert b"secret" not in answer.body


@pytest.fixture(scope="module")
def gangway_below(shared_gangway, root):
    return shared_gangway({"/files/...": f"static:{root}"})


def test_absolute_form(gw):
    """A whole URL in the request line is no way around anything."""
    assert ask(gw.place, http("GET", "http://localhost/../secret.txt")).status in (400, 404)
    assert ask(gw.place, http("GET", "http://localhost/.hidden")).status in (400, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get"])
def test_methods(gw, method):
    answer = get(gw, "/app.js", method=method)
    assert answer.status in (405, 400, 501)
    if answer.status == 405:
        assert {"GET", "HEAD"} >= set(re.split(r",\s*", answer.header("allow")))


# ---- directories ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, to",
    [
        ("/sub", "/sub/"),
        ("/sub?a=b&c=%2f", "/sub/?a=b&c=%2f"),
        ("/inside-dir", "/inside-dir/"),
        ("/s%75b", "/s%75b/"),
        ("/bare", "/bare/"),
    ],
)
def test_directory_redirect(gw, path, to):
    answer = get(gw, path)
    assert answer.status == 301
    assert answer.header("location") == to


@pytest.mark.parametrize("path", ["//example.com/%2e%2e/sub", "//sub", "/\\sub", "//example.com"])
def test_redirect_leads_nowhere_else(gw, path):
    answer = get(gw, path)
    location = answer.header("location") or "/"
    assert location.startswith("/") and not re.match(r"/[/\\]", location)


def test_redirect_to_the_folder_of_a_route(gangway_below):
    for query in ("", "?autoconnect=1&path=ws"):
        answer = get(gangway_below, "/files" + query)
        assert answer.status == 301
        assert answer.header("location") == "/files/" + query
    assert get(gangway_below, "/files/").body == b"<p>front page"


# ---- conditions ---------------------------------------------------------------------------


def test_etag(gw):
    answer = get(gw, "/app.js")
    tag = answer.header("etag")
    assert re.fullmatch(r'"[^"]+"', tag)
    for value in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = get(gw, "/app.js", ("If-None-Match", value))
        assert again.status == 304, value
        assert again.header("etag") == tag
        assert again.header("content-length") is None and again.body == b""
    assert get(gw, "/app.js", ("If-None-Match", '"other"')).status == 200
    assert get(gw, "/data.bin", ("If-None-Match", tag)).status == 200
    assert get(gw, "/app.js", ("If-None-Match", tag), method="HEAD").status == 304
    # It wins over the date (RFC 9110 13.2.2).
    date = answer.header("last-modified")
    both = (("If-None-Match", '"other"'), ("If-Modified-Since", date))
    assert get(gw, "/app.js", *both).status == 200


def test_dates(gw):
    date = get(gw, "/app.js").header("last-modified")
    assert email.utils.parsedate_to_datetime(date).timestamp() == OLD
    later = email.utils.formatdate(OLD + 10, usegmt=True)
    earlier = email.utils.formatdate(OLD - 10, usegmt=True)
    for value, status in ((date, 304), (later, 304), (earlier, 200), ("yesterday", 200)):
        assert get(gw, "/app.js", ("If-Modified-Since", value)).status == status
    for value, status in ((date, 200), (later, 200), (earlier, 412)):
        assert get(gw, "/app.js", ("If-Unmodified-Since", value)).status == status


def test_if_match(gw):
    tag = get(gw, "/app.js").header("etag")
    assert get(gw, "/app.js", ("If-Match", tag)).status == 200
    assert get(gw, "/app.js", ("If-Match", "*")).status == 200
    assert get(gw, "/app.js", ("If-Match", '"other"')).status == 412


def test_the_tag_changes_with_the_file(gangway, tmp_path):
    web = tmp_path / "w"
    put(web / "f", "one")
    gw = gangway("echo:", args=["--web", web])
    tags = {get(gw, "/f").header("etag")}
    put(web / "f", "two")  # same size, same time, another file
    os.utime(web / "f", (OLD + 1, OLD + 1))
    tags.add(get(gw, "/f").header("etag"))
    put(web / "f", "three")
    tags.add(get(gw, "/f").header("etag"))
    assert len(tags) == 3


def test_a_file_just_written_has_a_weak_tag(gangway, tmp_path):
    """It may change again within the grain of its time."""
    web = tmp_path / "w"
    put(web / "f", "fresh", mtime=time.time())
    gw = gangway("echo:", args=["--web", web])
    answer = get(gw, "/f")
    assert answer.header("etag").startswith('W/"')
    assert get(gw, "/f", ("If-None-Match", answer.header("etag"))).status == 304
    ranged = get(gw, "/f", ("Range", "bytes=0-0"), ("If-Range", answer.header("etag")))
    assert (ranged.status, ranged.body) == (200, b"fresh")


def test_a_file_from_the_future(gangway, tmp_path):
    web = tmp_path / "w"
    put(web / "f", "tomorrow", mtime=time.time() + 86400)
    gw = gangway("echo:", args=["--web", web])
    answer = get(gw, "/f")
    assert answer.status == 200 and answer.header("last-modified") is None


# ---- ranges -------------------------------------------------------------------------------

DATA = bytes(range(256)) * 40
SIZE = len(DATA)


@pytest.mark.parametrize(
    "text, first, last",
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=100-", 100, SIZE - 1),
        ("bytes=-1", SIZE - 1, SIZE - 1),
        ("bytes=-300", SIZE - 300, SIZE - 1),
        ("bytes=-999999", 0, SIZE - 1),
        ("bytes=10000-999999", 10000, SIZE - 1),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
        ("BYTES=5-9", 5, 9),
        ("bytes=0-99999999999999999999", 0, SIZE - 1),
    ],
)
def test_ranges(gw, text, first, last):
    answer = get(gw, "/data.bin", ("Range", text))
    assert answer.status == 206
    assert answer.body == DATA[first : last + 1]
    assert answer.header("content-range") == f"bytes {first}-{last}/{SIZE}"
    assert answer.header("etag") == get(gw, "/data.bin").header("etag")


@pytest.mark.parametrize("text", [f"bytes={SIZE}-", "bytes=99999-", "bytes=-0",
                                  "bytes=99999999999999999999-"])  # fmt: skip
def test_ranges_outside(gw, text):
    answer = get(gw, "/data.bin", ("Range", text))
    assert answer.status == 416
    assert answer.header("content-range") == f"bytes */{SIZE}"
    assert answer.body == b""


@pytest.mark.parametrize(
    "text",
    ["bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "lines=0-5", "0-5", "bytes 0-5", "bytes=0-5-9",
     "bytes=0-1,5-6", "bytes=--5", "bytes=0x0-5", "bytes=-5-"],
)  # fmt: skip
def test_ranges_that_are_ignored(gw, text):
    answer = get(gw, "/data.bin", ("Range", text))
    assert (answer.status, answer.body) == (200, DATA)


def test_range_of_nothing(gw):
    assert get(gw, "/empty.txt", ("Range", "bytes=0-")).status == 416
    assert get(gw, "/empty.txt", ("Range", "bytes=-5")).status in (200, 416)


def test_range_with_head(gw):
    answer = get(gw, "/data.bin", ("Range", "bytes=0-5"), method="HEAD")
    assert answer.status == 200 and answer.header("content-length") == str(SIZE)


def test_if_range(gw):
    whole = get(gw, "/data.bin")
    tag, date = whole.header("etag"), whole.header("last-modified")
    for value, status in (
        (tag, 206),
        (date, 206),
        ('"other"', 200),
        (f"W/{tag}", 200),
        (email.utils.formatdate(OLD - 5, usegmt=True), 200),
        (email.utils.formatdate(OLD + 5, usegmt=True), 200),
        ("nonsense", 200),
    ):
        answer = get(gw, "/data.bin", ("Range", "bytes=0-5"), ("If-Range", value))
        assert answer.status == status, value
    # The condition comes first.
    answer = get(gw, "/data.bin", ("Range", "bytes=0-5"), ("If-None-Match", tag))
    assert answer.status == 304


def test_resume(gw):
    """A download in pieces is the file."""
    got = b""
    while len(got) < SIZE:
        answer = get(gw, "/data.bin", ("Range", f"bytes={len(got)}-{len(got) + 999}"))
        assert answer.status == 206
        got += answer.body
    assert got == DATA


# ---- compressed beforehand --------------------------------------------------------------


@pytest.mark.parametrize(
    "path, accepts, encoding",
    [
        ("/compressed.js", None, None),
        ("/compressed.js", "gzip", "gzip"),
        ("/compressed.js", "br", "br"),
        ("/compressed.js", "gzip, deflate, br", "br"),
        ("/compressed.js", "gzip;q=1.0, br;q=0.5", "gzip"),
        ("/compressed.js", "br;q=0, gzip", "gzip"),
        ("/compressed.js", "GZIP", "gzip"),
        ("/compressed.js", "*", "br"),
        ("/compressed.js", "identity", None),
        ("/compressed.js", "gzip;q=0, br;q=0", None),
        ("/compressed.js", "deflate, zstd", None),
        ("/compressed.js", "", None),
        ("/compressed.js", "gzip;q=nonsense", None),
        ("/compressed.js", "gzip ; q=0.5", "gzip"),
        ("/only-gz.css", "br, gzip", "gzip"),
        ("/only-gz.css", "br", None),
        ("/index-gz/", "gzip", "gzip"),
    ],
)
def test_encodings(gw, path, accepts, encoding):
    fields = [] if accepts is None else [("Accept-Encoding", accepts)]
    answer = get(gw, path, *fields)
    plain = get(gw, path)
    assert answer.status == 200
    assert answer.header("content-encoding") == encoding
    assert "accept-encoding" in answer.header("vary").lower()
    assert answer.header("content-type") == plain.header("content-type")
    if encoding == "gzip":
        assert gzip.decompress(answer.body) == plain.body
    elif encoding == "br":
        assert answer.body == b"pretend this is brotli"
    else:
        assert answer.body == plain.body
    if encoding:
        assert answer.header("etag") != plain.header("etag")
        again = get(gw, path, *fields, ("If-None-Match", answer.header("etag")))
        assert again.status == 304


def test_several_accept_lines(gw):
    answer = get(gw, "/compressed.js", ("Accept-Encoding", "identity;q=0.1"),
                 ("Accept-Encoding", "gzip"))  # fmt: skip
    assert answer.header("content-encoding") == "gzip"


def test_no_vary_without_a_choice(gw):
    assert get(gw, "/app.js", ("Accept-Encoding", "gzip")).header("vary") is None


def test_range_of_the_compressed_form(gw):
    whole = get(gw, "/compressed.js", ("Accept-Encoding", "gzip"))
    part = get(gw, "/compressed.js", ("Accept-Encoding", "gzip"), ("Range", "bytes=0-9"))
    assert part.status == 206 and part.body == whole.body[:10]
    assert part.header("content-encoding") == "gzip"
    # A tag of one form does not resume another.
    other = get(gw, "/compressed.js", ("Range", "bytes=0-9"), ("If-Range", whole.header("etag")))
    assert other.status == 200


def test_the_compressed_file_itself(gw):
    answer = get(gw, "/only-gz.css.gz")
    assert answer.status == 200 and answer.header("content-encoding") is None
    assert gzip.decompress(answer.body) == b"css " * 100


# ---- connections ---------------------------------------------------------------------------


def test_keep_alive(gw):
    with Wire(dial(gw.place)) as wire:
        for path in ("/app.js", "/data.bin", "/empty.txt", "/sub", "/app.js"):
            wire.send(http("GET", path))
            answer = wire.answer()
            assert answer.status in (200, 301)
            assert (answer.header("connection") or "keep-alive") == "keep-alive"
        tag = answer.header("etag")
        wire.send(http("GET", "/app.js", ("If-None-Match", tag)))
        assert wire.answer().status == 304
        wire.send(http("HEAD", "/data.bin"))
        assert wire.answer(head=True).status == 200
        wire.send(http("GET", "/data.bin", ("Range", "bytes=99999-")))
        assert wire.answer().status == 416
        wire.send(http("GET", "/app.js", ("Connection", "close")))
        assert wire.answer().header("connection") == "close"
        assert wire.gone() == "eof"


def test_http_1_0(gw):
    with Wire(dial(gw.place)) as wire:
        wire.send(http("GET", "/app.js", version="HTTP/1.0"))
        answer = wire.answer()
        assert answer.status == 200 and answer.body == b"run()"
        assert wire.gone() == "eof"


def test_pipelined(gw):
    """Answers in the order of the requests, large and small."""
    paths = ["/app.js", "/data.bin", "/empty.txt", "/sub/"] * 25
    with Wire(dial(gw.place)) as wire:
        wire.send(b"".join(http("GET", p) for p in paths))
        bodies = {"/app.js": b"run()", "/data.bin": DATA, "/empty.txt": b"", "/sub/": b"<p>sub page"}
        for path in paths:
            answer = wire.answer()
            assert (answer.status, answer.body) == (200, bodies[path])


def test_pipelined_until_one_is_bad(gw):
    with Wire(dial(gw.place)) as wire:
        wire.send(http("GET", "/app.js") + b"nonsense\r\n\r\n" + http("GET", "/app.js"))
        assert wire.answer().status == 200
        assert wire.answer().status == 400
        assert wire.gone() == "eof"


def test_pipelined_in_any_cuts(gw):
    data = http("GET", "/app.js") * 3
    with Wire(dial(gw.place)) as wire:
        for i in range(len(data)):
            wire.send(data[i : i + 1])
        for _ in range(3):
            assert wire.answer().body == b"run()"


def test_a_file_and_then_a_session(gw):
    """One connection: a page's request, then the upgrade."""
    with Wire(dial(gw.place)) as wire:
        wire.send(http("GET", "/app.js"))
        assert wire.answer().body == b"run()"
        wire.send(http("GET", "/data.bin") + request("/ws"))
        assert wire.answer().body == DATA
        assert wire.answer().status == 101
        wire.send(b"\x81\x80\0\0\0\0")
        assert wire.take(2) == b"\x81\0"


def test_a_session_and_a_file_on_the_same_path(gw):
    assert get(gw, "/app.js").body == b"run()"
    with RawWs(gw, "/app.js") as ws:
        ws.text("x")
        assert ws.recv_message() == (TEXT, b"x")
    assert get(gw, "/ws").status == 426
    assert ask(gw.place, request("/data.bin")).status == 404


def test_idle_connections_end(gangway, root):
    gw = gangway("echo:", args=["--web", root], settings={"timeouts.keep_alive": "300ms"})
    with Wire(dial(gw.place)) as wire:
        wire.send(http("GET", "/app.js"))
        assert wire.answer().status == 200
        began = time.monotonic()
        assert wire.gone() == "eof"
        assert 0.2 < time.monotonic() - began < 3


def test_a_body_is_not_taken(gw):
    """Its bytes are never read as another request."""
    smuggled = http("GET", "/app.js")
    with Wire(dial(gw.place)) as wire:
        wire.send(http("GET", "/data.bin", ("Content-Length", str(len(smuggled)))) + smuggled)
        assert wire.answer().status in (400, 413)
        assert wire.gone() == "eof"


# ---- much -----------------------------------------------------------------------------


def test_big_file(gangway, tmp_path):
    data = os.urandom(32 * MIB)
    put(tmp_path / "w" / "big", data)
    gw = gangway("echo:", args=["--web", tmp_path / "w"])
    before = gw.rss()
    assert get(gw, "/big").body == data
    part = get(gw, "/big", ("Range", f"bytes={31 * MIB}-"))
    assert part.body == data[31 * MIB :]
    if not SANITIZER:
        assert gw.rss() - before < 2 * MIB


def test_big_file_to_slow_clients(gangway, tmp_path):
    """They hold no more than their marks, and nobody else waits for them."""
    put(tmp_path / "w" / "big", os.urandom(8 * MIB))
    put(tmp_path / "w" / "small", "quick")
    gw = gangway("echo:", args=["--web", tmp_path / "w", "--workers", "1"])
    before = gw.rss()
    slow = [Wire(dial(gw.place, rcvbuf=4096)) for _ in range(20)]
    for wire in slow:
        wire.send(http("GET", "/big"))
        assert wire.take_line() == "HTTP/1.1 200 OK"
    began = time.monotonic()
    for _ in range(20):
        assert get(gw, "/small").body == b"quick"
    assert time.monotonic() - began < (10 if SANITIZER else 2)
    if not SANITIZER:
        assert gw.rss() - before < 20 * 160 * 1024
    for wire in slow:
        wire.close()


def test_slow_but_moving_client_gets_it_all(gangway, tmp_path):
    data = os.urandom(1 * MIB)
    put(tmp_path / "w" / "f", data)
    gw = gangway("echo:", args=["--web", tmp_path / "w"], settings={"timeouts.write_stall": "1s"})
    with Wire(dial(gw.place, rcvbuf=32768)) as wire:
        wire.send(http("GET", "/f", ("Connection", "close")))
        while wire.take_line():
            pass
        got = bytes(wire.buffer)
        while len(got) < len(data):
            got += wire.sock.recv(65536)
            time.sleep(0.05)
        assert got == data


def test_stalled_client_is_dropped(gangway, tmp_path):
    put(tmp_path / "w" / "big", bytes(8 * MIB))
    gw = gangway("echo:", args=["--web", tmp_path / "w"], settings={"timeouts.write_stall": "300ms"})
    fds = gw.fds()
    with Wire(dial(gw.place, rcvbuf=4096)) as wire:
        wire.send(http("GET", "/big"))
        assert wire.take_line() == "HTTP/1.1 200 OK"
        gw.until(lambda: gw.fds() == fds, 10, what="the connection and its file to be let go")


def test_file_that_shrinks_meanwhile(gangway, tmp_path):
    """The length was told: the connection breaks, the answer is no lie."""
    big = put(tmp_path / "w" / "big", os.urandom(8 * MIB))
    gw = gangway("echo:", args=["--web", tmp_path / "w"])
    fds = gw.fds()
    with Wire(dial(gw.place, rcvbuf=4096)) as wire:
        wire.send(http("GET", "/big"))
        assert wire.take_line() == "HTTP/1.1 200 OK"
        os.truncate(big, 1000)
        got = 0
        try:
            while part := wire.sock.recv(1 << 20):
                got += len(part)
        except ConnectionResetError:
            pass
        assert got < 8 * MIB
    gw.until(lambda: gw.fds() == fds, what="the file to be closed")


def test_many_downloads_at_once(gangway, tmp_path):
    data = os.urandom(1 * MIB)
    put(tmp_path / "w" / "f", data)
    gw = gangway("echo:", args=["--web", tmp_path / "w", "--admin", "127.0.0.1:0"])
    fds = gw.fds()
    wrong = []

    def load():
        for _ in range(5):
            if get(gw, "/f").body != data:
                wrong.append(1)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert metrics(gw)['gangway_http_responses_total{status="200"}'] == 40
    gw.until(lambda: gw.fds() == fds, what="the files to be closed")


# ---- routes ------------------------------------------------------------------------------


def test_static_routes(gangway, tmp_path):
    for name in ("one", "two", "deep", "host"):
        put(tmp_path / name / "index.html", name)
        put(tmp_path / name / "f.txt", f"{name} file")
    gw = gangway(
        {
            "/one/...": f"static:{tmp_path}/one",
            "/two": f"static:{tmp_path}/two",
            "/one/deep/*": f"static:{tmp_path}/deep",
            "h.example/...": f"static:{tmp_path}/host",
            "/one/ws": "echo:",
        }
    )
    for path, body in (
        ("/one/", b"one"), ("/one/f.txt", b"one file"), ("/two/", b"two"),
        ("/two/f.txt", b"two file"), ("/one/deep/f.txt", b"deep file"), ("/one/deep/", b"deep"),
    ):  # fmt: skip
        assert get(gw, path).body == body, path
    assert fetch(gw.place, "/f.txt", host="h.example").body == b"host file"
    assert fetch(gw.place, "/f.txt", host="H.Example:8080").body == b"host file"
    for path in ("/", "/f.txt", "/three/", "/onef.txt", "/twof.txt"):
        assert get(gw, path).status == 404, path
    with RawWs(gw, "/one/ws") as ws:
        ws.close_normally()


def test_relative_folder_of_a_file(gangway, tmp_path):
    put(tmp_path / "conf" / "site" / "f", "here")
    written = put(
        tmp_path / "conf" / "c.yaml",
        "listeners: [ws://127.0.0.1:0]\nweb: site\n"
        "routes: [{path: /s/..., target: 'static:site'}]\n",
    )
    gw = gangway(listen=(), args=["--config", written])
    assert get(gw, "/f").body == b"here"
    assert get(gw, "/s/f").body == b"here"


@pytest.mark.parametrize(
    "args, why",
    [
        (["--web", "/nonexistent"], "/nonexistent"),
        (["--web", "/etc/hostname"], "/etc/hostname"),
        (["--route", "/a=static:/nonexistent"], "/nonexistent"),
        (["--route", "/a=static:"], "static"),
        (["--route", "/{x}/...=static:/tmp"], "plain text"),
    ],
)
def test_bad_folders_are_told(args, why):
    run = Run("--check", "--listen", "ws://:1", "--route", "/=echo:", *args)
    assert run.code == 78 and why in run.err


def test_web_alone_is_enough(gangway, root):
    gw = gangway(args=["--web", root])
    assert get(gw, "/").body == b"<p>front page"
    assert ask(gw.place, request("/")).status == 404


def test_the_folder_may_move(gangway, tmp_path):
    """It was opened once: renaming it does not take it away."""
    put(tmp_path / "w" / "f", "x")
    gw = gangway("echo:", args=["--web", tmp_path / "w"])
    (tmp_path / "w").rename(tmp_path / "elsewhere")
    assert get(gw, "/f").body == b"x"
