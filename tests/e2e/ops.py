# SPDX-License-Identifier: Apache-2.0
"""What the tests of operating a gangway share: plain HTTP, metrics, reloads,
runs that end by themselves, a name server, plugins, and load."""

import json
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import threading
import time

from gangway import BINARY, ROOT, SANITIZER, SANITIZER_ENV, SANITIZER_REPORT
from rawws import BINARY as BIN
from rawws import Wire, dial

PATIENCE_S = 30 if SANITIZER else 10

# ---- plain HTTP -------------------------------------------------------------


def http(method, path, *fields, host="localhost", version="HTTP/1.1"):
    """The bytes of a request without a body."""
    lines = [f"{method} {path} {version}", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def fetch(place, path, *fields, method="GET", host="localhost", tls=None):
    """The answer to one request on a connection of its own."""
    with Wire(dial(place, tls)) as wire:
        wire.send(http(method, path, *fields, ("Connection", "close"), host=host))
        return wire.answer(head=method == "HEAD")


def connects(place):
    """Whether somebody listens there."""
    family, address = socket.AF_INET, (place.host, place.port)
    if place.path:
        family, address = socket.AF_UNIX, place.path
    elif ":" in place.host:
        family = socket.AF_INET6
    with socket.socket(family) as sock:
        return sock.connect_ex(address) == 0


# ---- the admin listener -----------------------------------------------------


def metrics(gw):
    """{'name{label="x"}': value} as /metrics tells, histograms included."""
    answer = fetch(gw.admin, "/metrics")
    assert answer.status == 200, answer.body
    found = {}
    for line in answer.body.decode().splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in found, f"{name} appears twice"
            found[name] = float(value)
    return found


def until_metric(gw, name, value, seconds=PATIENCE_S):
    """Wait until a metric has this value."""
    end = time.monotonic() + seconds
    while (got := metrics(gw).get(name, 0)) != value:
        assert time.monotonic() < end, f"{name} is {got}, not {value}"
        time.sleep(0.02)


# ---- reloading --------------------------------------------------------------


def reconfigure(gw, config):
    """Put another configuration where gw's was, with no moment in between."""
    text = config if isinstance(config, str) else json.dumps(config, indent=1)
    new = gw.config_path.with_suffix(".new")
    new.write_text(text)
    new.replace(gw.config_path)


def reload(gw, config=None):
    """SIGHUP, and wait until it was taken."""
    if config is not None:
        reconfigure(gw, config)
    gw.signal(signal.SIGHUP)
    gw.wait_log("reloaded", PATIENCE_S)


def reload_fails(gw, config=None, lines=1):
    """SIGHUP, and wait until it was refused; why, in so many lines."""
    if config is not None:
        reconfigure(gw, config)
    gw.signal(signal.SIGHUP)
    why = [gw.wait_log("reload-failed", PATIENCE_S)["why"] for _ in range(lines)]
    return "\n".join(why)


# ---- runs that end by themselves ---------------------------------------------


class Run:
    """gangway with these arguments, to its end."""

    def __init__(self, *args, cwd=None, env=None, seconds=PATIENCE_S, config=None, **kwargs):
        if config is not None:
            path = pathlib.Path(cwd) / "gangway.yaml"
            path.write_text(config if isinstance(config, str) else json.dumps(config))
            args = ("--config", str(path), *args)
        self.done = subprocess.run(
            [str(BINARY), *map(str, args)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, **SANITIZER_ENV, **(env or {})},
            timeout=seconds,
            check=False,
            **kwargs,
        )
        self.code = self.done.returncode
        self.out = self.done.stdout
        self.err = self.done.stderr
        assert not SANITIZER_REPORT.search(self.err), self.err

    @property
    def errors(self):
        return self.err.splitlines()


# ---- plugins ------------------------------------------------------------------


def compile_plugin(directory, source, name="plugin"):
    """A shared object of this C; includes bridge.h."""
    c = pathlib.Path(directory) / f"{name}.c"
    so = c.with_suffix(".so")
    c.write_text(source)
    done = subprocess.run(
        ["cc", "-std=c17", "-O1", "-fPIC", "-shared", f"-I{ROOT / 'bridges'}",
         "-o", str(so), str(c)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return so


# ---- names --------------------------------------------------------------------

A, AAAA = 1, 28


class Names:
    """A name server. answers: {name: [address, ...]}, to be changed at will;
    a callable is asked anew each time. Other names do not exist."""

    def __init__(self, answers=None, ttl=1):
        self.answers = dict(answers or {})
        self.ttl = ttl
        self.asked = []  # (name, type)
        self.silent = False
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.wake, self._woken = socket.socketpair()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    @property
    def env(self):
        return {"GANGWAY_RESOLVER": f"127.0.0.1:{self.sock.getsockname()[1]}"}

    def _serve(self):
        while True:
            ready, _, _ = select.select([self.sock, self._woken], [], [])
            if self._woken in ready:
                return
            query, client = self.sock.recvfrom(4096)
            if answer := self._answer(query):
                self.sock.sendto(answer, client)

    def _answer(self, query):
        labels, at = [], 12
        while n := query[at]:
            labels.append(query[at + 1 : at + 1 + n].decode("latin-1").lower())
            at += 1 + n
        (kind,) = struct.unpack_from("!H", query, at + 1)
        question = query[12 : at + 5]
        name = ".".join(labels)
        self.asked.append((name, kind))
        if self.silent:
            return None
        known = self.answers.get(name)
        addresses = known(kind) if callable(known) else known or ()
        records = b""
        count = 0
        for address in addresses:
            if (":" in address) != (kind == AAAA):
                continue
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            data = socket.inet_pton(family, address)
            records += struct.pack("!HHHIH", 0xC00C, kind, 1, self.ttl, len(data)) + data
            count += 1
        code = 0 if known is not None else 3
        head = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, count, 0, 0)
        return head + question + records

    def close(self):
        self.wake.send(b"x")
        self.thread.join(10)
        for sock in (self.sock, self.wake, self._woken):
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---- load ---------------------------------------------------------------------


class Talkers:
    """Sessions that send blocks and hold what comes back against them, byte by
    byte, each in a thread, until told to stop or until gangway closes."""

    def __init__(self, sessions, block=4096):
        self.sessions = sessions
        self.block = block
        self.rounds = [0] * len(sessions)
        self.closes = [None] * len(sessions)  # (code, reason) of gangway's Close
        self.errors = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._talk, args=(i,), daemon=True)
            for i in range(len(sessions))
        ]
        for thread in self._threads:
            thread.start()

    def _talk(self, i):
        try:
            self._rounds(i, self.sessions[i])
        except Exception as e:  # told by the test's thread
            self.errors.append(f"session {i}, round {self.rounds[i]}: {e!r}")

    def _rounds(self, i, ws):
        while not self._stop.is_set():
            block = struct.pack("!II", i, self.rounds[i]) * (self.block // 8)
            ws.frame(BIN, block)
            got = bytearray()
            while len(got) < len(block):
                part = ws.recv_frame()
                if part.opcode == 8:
                    self._closed(i, ws, part, got, block)
                    return
                if part.opcode < 8:
                    got += part.payload
            assert got == block, "bytes differ"
            self.rounds[i] += 1

    def _closed(self, i, ws, part, got, block):
        assert block.startswith(got), "bytes differ before the Close frame"
        self.closes[i] = struct.unpack("!H", part.payload[:2])[0]
        ws.frame(8, part.payload[:2])
        assert ws.gone() == "eof"

    def until_rounds(self, n, seconds=PATIENCE_S):
        """Until every session has done n rounds more."""
        goal = [r + n for r in self.rounds]
        end = time.monotonic() + seconds
        while any(r < g for r, g in zip(self.rounds, goal)):
            assert not self.errors, self.errors
            assert time.monotonic() < end, f"rounds: {self.rounds}, not {goal}"
            time.sleep(0.01)

    def join(self):
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a session hangs"
        assert not self.errors, self.errors

    def stop(self):
        self._stop.set()
        self.join()
