# SPDX-License-Identifier: Apache-2.0
"""Which backend a request is led to, and where clients may lead themselves."""

import base64
import os
import socket
import time

import pytest
from backends import Backend, Server, echo
from ops import A, AAAA, Names, Run, fetch, reload
from rawws import BINARY, TEXT, RawWs, Wire, ask, dial, request


def says(word):
    """A backend that says a word and ends."""

    async def handler(_, writer):
        writer.write(word.encode())
        await writer.drain()

    return handler


@pytest.fixture(scope="module")
def speakers():
    """Backends by name, each saying its own."""
    servers = {}

    def get(word):
        if word not in servers:
            servers[word] = Server(says(word))
        return servers[word]

    yield get
    for server in servers.values():
        server.close()


def heard(gw, path, host="localhost"):
    """What the backend behind a path says; or the status of the refusal."""
    with Wire(dial(gw.place)) as wire:
        wire.send(request(path, Host=host))
        answer = wire.answer()
        if answer.status != 101:
            return answer.status
        first, length = wire.take(2)
        assert first == 0x82 and length < 126
        return wire.take(length).decode()


# ---- paths -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def paths(shared_gangway, speakers):
    patterns = {
        "/": "root",
        "/exact": "exact",
        "/exact/": "slash",
        "/tree/...": "tree",
        "/tree/leaf": "leaf",
        "/tree/{one}/x": "one",
        "/tree/branch/...": "branch",
        "/star/*": "star",
        "/rest/{all*}": "rest",
        "/{any}": "any",
        "/with%20space": "space",
        "/grüße": "umlaut",
    }
    return shared_gangway({p: speakers(w).url for p, w in patterns.items()})


@pytest.mark.parametrize(
    "path, word",
    [
        ("/", "root"),
        ("/exact", "exact"),
        ("/exact/", "slash"),
        ("/exact?query=1", "exact"),
        ("/%65xact", "exact"),
        ("/Exact", "any"),
        ("/other", "any"),
        ("/tree", "any"),
        ("/tree/", "tree"),
        ("/tree/a", "tree"),
        ("/tree/a/b/c", "tree"),
        ("/tree/leaf", "leaf"),
        ("/tree/leaf/", "tree"),
        ("/tree/q/x", "one"),
        ("/tree/q/y", "tree"),
        ("/tree/branch/", "branch"),
        ("/tree/branch/x", "branch"),  # a literal before a placeholder
        ("/tree/branch/deep/er", "branch"),
        ("/star/", "star"),
        ("/star/a/b", "star"),
        ("/rest/a", "rest"),
        ("/rest/a/b", "rest"),
        ("/rest/", 404),
        ("/a/b", 404),
        ("//", 404),
        ("/with%20space", "space"),
        ("/gr%C3%BC%C3%9Fe", "umlaut"),
        ("/tree/../exact", 404),
        ("/tree/./leaf", 404),
        ("/tree/%2e%2e/exact", 404),
        ("/..", 404),
        ("/a%2fb", 404),
        ("/%zz", 400),
        ("/a%00", 400),
    ],
)
def test_paths(paths, path, word):
    assert heard(paths, path) == word


def test_order_does_not_matter(gangway, speakers):
    patterns = ["/...", "/a/...", "/a/{x}", "/a/b", "/{y}/b", "/{z}"]
    for order in (patterns, patterns[::-1]):
        gw = gangway({p: speakers(p).url for p in order})
        got = [heard(gw, p) for p in ("/q/r/s", "/a/b/c", "/a/c", "/a/b", "/q/b", "/q")]
        assert got == patterns[:2] + ["/a/{x}", "/a/b", "/{y}/b", "/{z}"]


# ---- hosts -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def hosts(shared_gangway, speakers):
    patterns = {
        "/x": "any",
        "a.example/x": "a",
        "*.example/x": "star",
        "*.b.example/x": "star-b",
        "[::1]/x": "six",
        "192.0.2.9/x": "four",
        "c.example/only": "only",
    }
    return shared_gangway({p: speakers(w).url for p, w in patterns.items()})


@pytest.mark.parametrize(
    "host, word",
    [
        ("a.example", "a"),
        ("A.EXAMPLE", "a"),
        ("a.example:8080", "a"),
        ("a.example.", "a"),
        ("z.example", "star"),
        ("y.z.example", "star"),
        ("q.b.example", "star-b"),
        ("b.example", "star"),
        ("example", "any"),
        ("notexample", "any"),
        ("other", "any"),
        ("[::1]", "six"),
        ("[::1]:80", "six"),
        ("192.0.2.9:80", "four"),
        ("c.example", "star"),
    ],
)
def test_hosts(hosts, host, word):
    assert heard(hosts, "/x", host) == word


def test_a_host_without_the_path(hosts):
    assert heard(hosts, "/only", "c.example") == "only"
    assert heard(hosts, "/only", "a.example") == 404


# ---- routes that cannot be ---------------------------------------------------------


@pytest.mark.parametrize(
    "routes",
    [
        ["/a=echo:", "/a=echo:"],
        ["/a/...=echo:", "/a/*=echo:"],
        ["/{x}=echo:", "/{y}=echo:"],
        ["/%61=echo:", "/a=echo:"],
        ["h.example/a=echo:", "H.Example/a=tcp://127.0.0.1:1"],
        ["/a=echo:", "/a=tcp://127.0.0.1:1"],
    ],
)
def test_duplicate_routes(routes):
    args = [word for route in routes for word in ("--route", route)]
    run = Run("--check", "--listen", "ws://:1", *args)
    assert run.code in (64, 78)
    assert "two routes" in run.err


@pytest.mark.parametrize(
    "route, why",
    [
        ("a=echo:", ""),
        ("/a", ""),
        ("/a=", ""),
        ("/a=nonsense://x", "no bridge"),
        ("/a=ech:", "no bridge"),
        ("/a=127.0.0.1:80", "did you mean 'tcp://127.0.0.1:80'"),
        ("/a=tcp://", ""),
        ("/a=tcp://host", "has no port"),
        ("/a=tcp://[::1]", "has no port"),
        ("/a=tcp://host:80,host", "has no port"),
        ("/a=tcp://host:0", "is no port"),
        ("/a=tcp://host:80,host:99999", "is no port"),
        ("/a=tcp://host:http", "not HOST:PORT"),
        ("/a=tcp://user@host:80", "not HOST:PORT"),
        ("/a=tcp://host:80,", "not HOST:PORT"),
        ("/a=tcp://host:80/path", "path"),
        ("/a=tcp://host:80?mode=wrong", "auto|binary|text|base64|line"),
        ("/a=tcp://host:80?mod=text", "did you mean 'mode'"),
        ("/a=tcp://host:80?mode=text&mode=text", "twice"),
        ("/a=unix:", ""),
        ("/{a=echo:", ""),
        ("/{a}/{a}=echo:", ""),
        ("/{a*}/b=echo:", ""),
        ("/.../b=echo:", ""),
        ("ho st/a=echo:", ""),
        ("a.*.b/x=echo:", ""),
        ("/x=tcp://{path.nope}:1", "nope"),
        ("/x=tcp://{nonsense}:1", "nonsense"),
        ("/x=tcp://{query.a:1", ""),
    ],
)
def test_bad_routes(route, why):
    run = Run("--check", "--listen", "ws://:1", "--route", route, "--allow-target", "10.0.0.0/8:*")
    assert run.code in (64, 78), run.out
    assert why in run.err and run.err.strip(), run.err
    assert "Sanitizer" not in run.err


# ---- targets that clients choose ------------------------------------------------------


@pytest.fixture(scope="module")
def names():
    with Names() as server:
        yield server


@pytest.fixture(scope="module")
def target():
    """An echo server on the loopback."""
    with Server(echo) as server:
        yield server


def our_address():
    """An address of this machine that is not special; packets to it stay."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("198.51.100.1", 9))
        except OSError:
            return None
        return sock.getsockname()[0]


@pytest.fixture(scope="module")
def own():
    """An echo server on an address that names may lead to."""
    address = our_address()
    if not address or address.startswith("127."):
        pytest.skip("this machine has no address but the loopback")
    with Server(echo, host=address) as server:
        yield server


def dynamic(gangway, *allow, target="tcp://{query.address}", path="/v1", names=None, **settings):
    args = [word for pattern in allow for word in ("--allow-target", pattern)]
    return gangway({path: target}, args=args, env=names.env if names else None, settings=settings)


def status(gw, path):
    return ask(gw.place, request(path)).status


def led(gw, path):
    """Whether a request gets its session, and it works."""
    with RawWs(gw, path) as ws:
        ws.binary(b"ping")
        assert ws.recv_message() == (BINARY, b"ping")


def test_without_a_list_it_does_not_start():
    for target in ("tcp://{query.address}", "tcp://h:{query.port}", "tcp://{host}:5432",
                   "tcp://a.{query.x}.b:1", "tls://{client.ip}:1", "unix:/run/{query.s}.sock"):  # fmt: skip
        run = Run("--listen", "ws://127.0.0.1:0", "--route", f"/v1={target}")
        assert run.code in (64, 78)
        assert "allow" in run.err and "--allow-target" in run.err


def test_a_placeholder_in_an_option_is_not_one_in_the_target(gangway):
    """Only the address is a template."""
    run = Run("--check", "--listen", "ws://:1", "--route", "/=tls://h:1?sni={query.x}")
    assert run.code == 0 or "sni" in run.err


@pytest.mark.parametrize("as_written", ["{}:{}", "{}%3A{}", "%31{}:{}"])
def test_addresses(gangway, target, as_written):
    """host:port, with its colon as it is or escaped."""
    gw = dynamic(gangway, f"127.0.0.1:{target.port}")
    host = "27.0.0.1" if as_written.startswith("%31") else "127.0.0.1"
    led(gw, "/v1?address=" + as_written.format(host, target.port))


def test_other_parameters_do_not_matter(gangway, target):
    gw = dynamic(gangway, f"127.0.0.1:{target.port}")
    led(gw, f"/v1?a=b&address=127.0.0.1:{target.port}&&c")


def test_ipv6(gangway):
    with Server(echo, host="::1") as six:
        gw = dynamic(gangway, f"[::1]:{six.port}")
        led(gw, f"/v1?address=[::1]:{six.port}")
        led(gw, f"/v1?address=%5B::1%5D:{six.port}")
        assert status(gw, f"/v1?address=[::2]:{six.port}") == 403
        assert status(gw, f"/v1?address=::1:{six.port}") in (400, 403, 502)


@pytest.mark.parametrize(
    "query",
    [
        "", "?", "?address", "?address=", "?adress=127.0.0.1:1", "?ADDRESS=127.0.0.1:1",
        "?address=127.0.0.1:1&address=127.0.0.1:1", "?address=127.0.0.1:1&%61ddress=127.0.0.1:2",
        "?address=127.0.0.1:1,127.0.0.1:2", "?address=127.0.0.1:1/x", "?address=127.0.0.1:1?x",
        "?address=user@127.0.0.1:1", "?address=127.0.0.1:1%00", "?address=127.0.0.1:1%0d%0a",
        "?address=127.0.0.1:1%20", "?address=a%2cb:1", "?address={query.address}", "?address=%",
        "?address=tcp://127.0.0.1:1", "?address=*:1",
        "?address=127.0.0.1:1%23", "?address=127.0.0.1:1\\x", "?address=%ff:1",
    ],
)  # fmt: skip
def test_bad_queries(gangway_any, backend_none, query):
    answer = ask(gangway_any.place, request("/v1" + query))
    assert answer.status == 400, answer.body
    # What was sent is not sent back.
    for part in ("127.0.0.1:2", "user", "{query.address}", "aaaa"):
        assert part.encode() not in answer.body
    backend_none.expect_no_connection(0.01)


@pytest.fixture(scope="module")
def gangway_any(shared_gangway):
    return dynamic(shared_gangway, "127.0.0.1:*", "*.db.example:*")


@pytest.fixture(scope="module")
def backend_none():
    with Backend() as b:
        yield b


@pytest.mark.parametrize("query", ["?address=127.0.0.1", "?address=127.0.0.1:",
                                   "?address=127.0.0.1:0", "?address=127.0.0.1:99999",
                                   "?address=127.0.0.1:08", "?address=:5432", "?address=[::1:80",
                                   "?address=127.0.0.1:5432:5432", "?address=127.1:80",
                                   "?address=" + "a" * 300, "?address=" + "a" * 3000])  # fmt: skip
def test_addresses_that_make_no_sense(gangway_any, query):
    assert status(gangway_any, "/v1" + query) in (400, 403, 502)


def test_ports(gangway, target):
    port = target.port
    gw = dynamic(gangway, f"127.0.0.1:1,{port - 1}-{port + 1}")
    led(gw, f"/v1?address=127.0.0.1:{port}")
    assert status(gw, f"/v1?address=127.0.0.1:{port + 2}") == 403
    assert status(gw, f"/v1?address=127.0.0.1:{port - 2}") == 403
    gw = dynamic(gangway, "127.0.0.1:*")
    led(gw, f"/v1?address=127.0.0.1:{port}")


def test_blocks(gangway, target):
    gw = dynamic(gangway, f"127.0.0.0/30:{target.port}")
    led(gw, f"/v1?address=127.0.0.1:{target.port}")
    assert status(gw, f"/v1?address=127.0.0.5:{target.port}") == 403


def test_names(gangway, names, own):
    names.answers = {
        "shop.db.example": [own.host], "deep.er.db.example": [own.host], "db.example": [own.host],
        "exact.example": [own.host], "other.example": [own.host], "evildb.example": [own.host],
    }  # fmt: skip
    gw = dynamic(gangway, f"*.db.example:{own.port}", f"Exact.Example:{own.port}", names=names)
    for name in ("shop.db.example", "SHOP.db.EXAMPLE", "deep.er.db.example", "exact.example",
                 "exact.example."):  # fmt: skip
        led(gw, f"/v1?address={name}:{own.port}")
    before = len(names.asked)
    for name in ("db.example", "other.example", "evildb.example", "x.exact.example",
                 "exact.example.evil.example", own.host):  # fmt: skip
        assert status(gw, f"/v1?address={name}:{own.port}") == 403, name
    assert status(gw, f"/v1?address=shop.db.example:{own.port + 1}") == 403
    assert len(names.asked) == before, "names that are not allowed were looked up"
    gw.wait_log("session-refused", status=403)


def test_names_that_do_not_exist(gangway, names, own):
    names.answers = {}
    gw = dynamic(gangway, f"*.db.example:{own.port}", names=names)
    assert status(gw, f"/v1?address=none.db.example:{own.port}") == 502


def test_a_name_server_that_is_silent(gangway, own):
    with Names() as silent:
        silent.silent = True
        gw = dynamic(gangway, f"*.db.example:{own.port}", names=silent,
                     **{"timeouts.connect": "500ms"})  # fmt: skip
        began = time.monotonic()
        assert status(gw, f"/v1?address=a.db.example:{own.port}") in (502, 504)
        assert time.monotonic() - began < 5
        # Literals need no name server.
        assert status(gw, f"/v1?address=192.0.2.77:{own.port}") == 403


SPECIAL = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.169.254", "169.254.1.1", "100.100.100.200",
    "224.0.0.1", "255.255.255.255", "::1", "::", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "::127.0.0.1", "fe80::1", "ff02::1", "fd00:ec2::254", "64:ff9b::7f00:1", "192.0.0.192",
]  # fmt: skip


@pytest.mark.parametrize("address", SPECIAL)
def test_a_name_does_not_lead_to_special_addresses(gangway, names, target, address):
    """The name is allowed, and its owner has it resolve to the loopback, the
    cloud's metadata and the like: 403, and nobody is dialled."""
    names.answers = {"rebind.db.example": [address]}
    with Backend() as local:
        gw = dynamic(gangway, f"*.db.example:{local.port}", "0.0.0.0/0:*", "[::]/0:*", names=names)
        assert status(gw, f"/v1?address=rebind.db.example:{local.port}") == 403
        local.expect_no_connection(0.01)


@pytest.mark.parametrize("address", SPECIAL)
def test_wide_blocks_do_not_mean_special_addresses(gangway, address):
    with Backend() as local:
        gw = dynamic(gangway, "0.0.0.0/0:*", "[::]/0:*")
        written = f"[{address}]" if ":" in address else address
        assert status(gw, f"/v1?address={written}:{local.port}") == 403
        local.expect_no_connection(0.01)


@pytest.mark.parametrize(
    "written",
    ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.1", "0x7f.1", "017700000001",
     "127.0.0.1.", "①27.0.0.1", "127。0。0。1"],
)  # fmt: skip
def test_numbers_in_disguise(gangway, written):
    with Backend() as local:
        gw = dynamic(gangway, "0.0.0.0/0:*", "*.example:*")
        quoted = "".join(f"%{b:02x}" if b > 0x7F else chr(b) for b in written.encode())
        assert status(gw, f"/v1?address={quoted}:{local.port}") in (400, 403)
        local.expect_no_connection(0.01)


def test_localhost_by_its_name(gangway, target):
    gw = dynamic(gangway, f"localhost:{target.port}")
    led(gw, f"/v1?address=localhost:{target.port}")
    assert status(gw, f"/v1?address=127.0.0.1:{target.port}") == 403
    gw = dynamic(gangway, f"*.example:{target.port}")
    assert status(gw, f"/v1?address=localhost:{target.port}") == 403


def test_a_name_that_rebinds_between_questions(gangway, names, own):
    """The address that is judged is the one that is dialled: an answer that
    changes from one question to the next gains nothing."""
    turn = {A: 0}

    def answer(kind):
        if kind == AAAA:
            return []
        turn[A] += 1
        return [own.host] if turn[A] % 2 else ["127.0.0.1"]

    names.answers = {"flip.db.example": answer}
    with Backend() as local:
        gw = dynamic(gangway, f"*.db.example:{own.port},{local.port}", names=names)
        for _ in range(6):
            assert status(gw, f"/v1?address=flip.db.example:{local.port}") in (403, 502)
            time.sleep(0.25)
        local.expect_no_connection(0.01)


def test_only_the_allowed_among_several_addresses(gangway, names, own):
    """One of a name's addresses is forbidden: the others are used."""
    names.answers = {"both.db.example": ["127.0.0.1", own.host, "169.254.169.254"]}
    with Backend(host="127.0.0.1") as local:
        gw = dynamic(gangway, f"*.db.example:{own.port},{local.port}", names=names)
        led(gw, f"/v1?address=both.db.example:{own.port}")
        local.expect_no_connection(0.01)


def test_a_fixed_target_needs_no_list(gangway, target):
    """What the operator wrote is where it leads, loopback or not."""
    gw = gangway({"/v1": target.url})
    led(gw, "/v1?address=10.0.0.1:1")


def test_a_listed_address_by_a_name(gangway, names, target):
    """An address that is listed may be reached by any name."""
    names.answers = {"anything.example": ["127.0.0.1"], "else.example": ["127.0.0.2"]}
    gw = dynamic(gangway, f"127.0.0.1:{target.port}", names=names)
    led(gw, f"/v1?address=anything.example:{target.port}")
    assert status(gw, f"/v1?address=else.example:{target.port}") == 403


def test_parts_of_the_target(gangway, names, own):
    names.answers = {"shop.db.example": [own.host]}
    gw = dynamic(gangway, f"*.db.example:{own.port}", names=names,
                 path="/db/{name}", target=f"tcp://{{path.name}}.db.example:{own.port}")  # fmt: skip
    led(gw, "/db/shop")
    led(gw, "/db/sh%6fp")
    for bad in ("x:1", "%5b::1%5d"):
        assert status(gw, f"/db/{bad}") in (400, 403, 502), bad
    for bad in ("sh/op", "sh%2fop", "", "a,b", "..", "shop.evil%23"):
        assert status(gw, f"/db/{bad}") in (400, 403, 404), bad


def test_host_and_client_in_the_target(gangway, names, own, target):
    names.answers = {"app.db.example": [own.host]}
    gw = dynamic(gangway, f"*.db.example:{own.port}", names=names,
                 target=f"tcp://{{host}}:{own.port}")  # fmt: skip
    with RawWs(gw, "/v1", Host="App.db.example:8080") as ws:
        ws.close_normally()
    assert ask(gw.place, request("/v1", Host="evil.example")).status == 403
    gw = dynamic(gangway, f"127.0.0.1:{target.port}", target=f"tcp://{{client.ip}}:{target.port}")
    led(gw, "/v1")


def test_unix_targets(gangway, tmp_path):
    (tmp_path / "run").mkdir()
    with Server(echo, path=tmp_path / "run" / "a.sock"), Server(echo, path=tmp_path / "b.sock"):
        gw = dynamic(gangway, f"unix:{tmp_path}/run/[a-c]*.sock", path="/s/{name}",
                     target=f"unix:{tmp_path}/run/{{path.name}}.sock")  # fmt: skip
        led(gw, "/s/a")
        assert status(gw, "/s/c") == 502  # allowed, not there
        for bad in ("d", "..%2fb", "%2e%2e%2fb", "../b", ".a", "a%00", "a%2f..%2f..%2fb", "%0a"):
            assert status(gw, f"/s/{bad}") in (400, 403, 404), bad


def test_bad_patterns_are_told():
    for pattern in ("*:1", "10.0.0.0/33:1", "10.0.0.1/8:1", "[::]/129:1", "h", "h:", "h:0",
                    "h:70000", "h:5-3", "a.*.b:1", "::1:80", "unix:relative", "http://h:1",
                    "h:1,,2", "[::1]", "unix:/a[b"):  # fmt: skip
        run = Run("--check", "--listen", "ws://:1", "--route", "/={}".format("tcp://{query.a}"),
                  "--allow-target", pattern)  # fmt: skip
        assert run.code in (64, 78), (pattern, run.out)
        assert pattern in run.err, (pattern, run.err)


def test_the_list_changes_with_a_reload(gangway, target):
    def config(*allow):
        return {
            "listeners": ["ws://127.0.0.1:0"],
            "routes": [{"path": "/v1", "target": "tcp://{query.address}"}],
            "allow_targets": list(allow),
        }

    path = f"/v1?address=127.0.0.1:{target.port}"
    gw = gangway(config=config("127.0.0.1:1"), listen=())
    assert status(gw, path) == 403
    reload(gw, config("127.0.0.1:*"))
    led(gw, path)
    with RawWs(gw, path) as old:
        reload(gw, config("127.0.0.1:1"))
        assert status(gw, path) == 403
        old.binary(b"stays")
        assert old.recv_message() == (BINARY, b"stays")


# ---- origins ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin, path, expected",
    [
        ("https://app.example", "/", 101),
        ("https://APP.example", "/", 101),
        ("https://app.example:8443", "/", 403),
        ("http://app.example", "/", 403),
        ("https://app.example.evil.example", "/", 403),
        ("https://evil.example", "/", 403),
        ("https://sub.app.example", "/", 403),
        ("null", "/", 403),
        ("https://app.example/", "/", 403),
        (None, "/", 101),
        ("https://only.example", "/own", 101),
        ("https://app.example", "/own", 403),
        ("null", "/null", 101),
        ("https://x.example", "/null", 403),
    ],
)
def test_origins(origins_gw, origin, path, expected):
    fields = {"Origin": origin} if origin else {}
    assert ask(origins_gw.place, request(path, **fields)).status == expected


@pytest.fixture(scope="module")
def origins_gw(shared_gangway):
    return shared_gangway(
        config={
            "origins": ["https://app.example"],
            "routes": [
                {"path": "/", "target": "echo:"},
                {"path": "/own", "target": "echo:", "origins": ["https://only.example"]},
                {"path": "/null", "target": "echo:", "origins": ["null"]},
            ],
        }
    )


def test_several_origins_are_malformed(origins_gw):
    data = request("/", extra=[("Origin", "https://app.example"), ("Origin", "https://evil.example")])
    assert ask(origins_gw.place, data).status in (400, 403)


def test_refused_before_the_backend(gangway, backend):
    gw = gangway({"/": backend.url}, args=["--origin", "https://app.example"])
    assert ask(gw.place, request(Origin="https://evil.example")).status == 403
    backend.expect_no_connection()


def test_any_origin_without_a_list(gangway):
    gw = gangway("echo:")
    assert ask(gw.place, request(Origin="https://anything.example")).status == 101


def test_files_are_for_every_origin(gangway, tmp_path):
    (tmp_path / "f").write_text("x")
    gw = gangway("echo:", args=["--origin", "https://app.example", "--web", tmp_path])
    assert fetch(gw.place, "/f", ("Origin", "https://evil.example")).status == 200


# ---- many services in one process ----------------------------------------------------------


def test_text_and_binary_services_side_by_side(gangway, tmp_path):
    """Each route has its own form; sessions on all of them, at the same time."""
    with Backend() as one, Backend(path=tmp_path / "two.sock") as two, Server(echo) as three:
        gw = gangway(
            {
                "/binary": f"{one.url}?mode=binary",
                "/text": f"{one.url}?mode=text",
                "/line": f"{one.url}?mode=line",
                "/base64": f"{two.url}?mode=base64",
                "/auto": three.url,
                "/echo": "echo:",
            },
            settings={"workers": 1},
        )
        sessions = {}
        for path, backend in (("/binary", one), ("/text", one), ("/line", one), ("/base64", two)):
            ws = RawWs(gw, path)
            sessions[path] = (ws, backend.accept())
        data = os.urandom(500)
        for _ in range(10):
            for path, (ws, peer) in sessions.items():
                peer.send({"/binary": data, "/text": "grüße".encode(), "/line": b"a line\n",
                           "/base64": data}[path])  # fmt: skip
            for path, (ws, _) in sessions.items():
                expected = {
                    "/binary": (BINARY, data),
                    "/text": (TEXT, "grüße".encode()),
                    "/line": (TEXT, b"a line"),
                    "/base64": (TEXT, base64.b64encode(data)),
                }[path]
                assert ws.recv_message() == expected
            with RawWs(gw, "/auto") as auto:
                auto.text("text")
                assert auto.recv_message() == (TEXT, b"text")
            with RawWs(gw, "/echo") as ws:
                ws.binary(data)
                assert ws.recv_message() == (BINARY, data)
        for ws, peer in sessions.values():
            peer.close()
            ws.drain()
            ws.close()


def test_many_routes(gangway, speakers):
    """Hundreds of them; each request finds its own, none waits for it."""
    words = [f"w{i}" for i in range(10)]
    routes = [{"path": f"/r{i}/x", "target": speakers(words[i % 10]).url} for i in range(500)]
    routes += [
        {"host": f"h{i}.example", "path": "/x", "target": speakers(words[i % 10]).url}
        for i in range(500)
    ]
    gw = gangway(config={"routes": routes})
    for i in (0, 1, 99, 250, 499):
        assert heard(gw, f"/r{i}/x") == words[i % 10]
        assert heard(gw, "/x", f"h{i}.example") == words[i % 10]
    assert heard(gw, "/r500/x") == 404
