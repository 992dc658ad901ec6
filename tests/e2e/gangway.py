# SPDX-License-Identifier: Apache-2.0
"""Start the real gangway, know when it is ready, and look into it."""

import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import threading
import time
from typing import NamedTuple, Optional

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("GANGWAY_BIN", ROOT / "build" / "gangway"))

# Which sanitizer the binary was built with, by the directory that the Makefile
# puts it in. Such a binary is slow and its memory is not worth measuring.
SANITIZER = {"asan": "address", "tsan": "thread"}.get(BINARY.parent.name)

START_S = 20 if SANITIZER else 10
STOP_S = 20 if SANITIZER else 10

SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=0:exitcode=66:second_deadlock_stack=1",
}
SANITIZER_REPORT = re.compile(
    r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|LeakSanitizer"
)


class Place(NamedTuple):
    """Where a listener was bound, as gangway told."""

    scheme: str  # ws, wss, http (admin), unix, fd
    host: Optional[str] = None
    port: Optional[int] = None
    path: Optional[str] = None  # unix

    @classmethod
    def parse(cls, url):
        if url.startswith("unix:"):
            return cls("unix", path=url.removeprefix("unix:"))
        if url.startswith("fd:"):
            return cls("fd")
        match = re.fullmatch(r"(wss?|http)://(\[.*\]|[^:/]*):(\d+)/?", url)
        assert match, f"not a listener's URL: {url!r}"
        return cls(match[1], match[2].strip("[]"), int(match[3]))

    def url(self, path="/"):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{path}"


class LogLine(dict):
    """One log line: its severity, its event, and its fields as a dict."""

    TEXT = re.compile(r"(?:<\d>)?(\S+Z) (\w+) (\S+)(.*)")
    FIELD = re.compile(r'(\w+)=("(?:\\.|[^"\\])*"|\S*)')

    def __init__(self, line):
        super().__init__()
        self.line = line
        self.severity = self.event = None
        match = self.TEXT.match(line)
        if match:
            self.severity, self.event = match[2], match[3]
            for key, value in self.FIELD.findall(match[4]):
                if value.startswith('"'):
                    value = json.loads(value)
                self[key] = value

    def __repr__(self):
        return self.line


def until_signals_are_handled(pid):
    """Of use where nobody is told "ready"; and with ThreadSanitizer, which holds
    a signal back until the thread calls something it knows. Now and then it
    keeps one that comes just before the first wait."""
    end = time.monotonic() + START_S
    bit = 1 << (signal.SIGTERM - 1)
    while True:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        state, caught = re.search(r"State:\s+(\w)(?s:.*)SigCgt:\s+(\w+)", status).groups()
        if state == "Z" or (state == "S" and int(caught, 16) & bit):
            return
        assert time.monotonic() < end, status
        time.sleep(0.002)


class Gangway:
    """A running gangway.

    routes: a target, or {path: target}
    settings: {"timeouts.close": "1s"}, given with --set
    config: the YAML file's content, a dict (JSON is YAML) or text
    args: anything else
    listen: listener URLs; a listener is left to `config` or `args` if empty
    """

    def __init__(
        self,
        routes=None,
        *,
        settings=None,
        config=None,
        args=(),
        listen=("ws://127.0.0.1:0",),
        directory=None,
        env=None,
        pass_fds=(),
        limits=None,
    ):
        self.directory = directory
        command = [str(BINARY)]
        if config is not None:
            text = config if isinstance(config, str) else json.dumps(config, indent=1)
            self.config_path = directory / "gangway.yaml"
            self.config_path.write_text(text)
            command += ["--config", str(self.config_path)]
        for url in listen or ():
            command += ["--listen", url]
        if isinstance(routes, str):
            routes = {"/...": routes}
        for path, target in (routes or {}).items():
            command += ["--route", f"{path}={target}"]
        # Tests end with sessions open; those that look at draining set this.
        settings = {"timeouts.drain": "0", **(settings or {})}
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        command += [str(a) for a in args]

        self.command = command
        self.log = []  # LogLine, as they come
        self.stdout = []
        self.places = []
        self.admin = None
        self.exit_code = None
        self._looked_at = 0
        self._more = threading.Condition()
        self._ready = False
        self._begin(env, pass_fds, limits)

    # ---- starting and stopping --------------------------------------------

    def _begin(self, env, pass_fds, limits):
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.directory,
            env={**os.environ, **SANITIZER_ENV, **(env or {})},
            pass_fds=pass_fds,
            preexec_fn=limits,
        )
        self.pid = self.process.pid
        self._readers = [
            threading.Thread(target=self._read, args=a, daemon=True)
            for a in (
                (self.process.stdout, self._on_stdout),
                (self.process.stderr, self._on_stderr),
            )
        ]
        for reader in self._readers:
            reader.start()
        ready = self._wait(lambda: self._ready or self._ended(), START_S)
        if not ready or not self._ready:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(
                f"gangway did not start\n{shlex.join(self.command)}\n{self.text()}"
            )
        if SANITIZER == "thread":
            until_signals_are_handled(self.pid)

    def _read(self, stream, on_line):
        for raw in stream:
            line = raw.decode(errors="replace").rstrip("\n")
            with self._more:
                on_line(line)
                self._more.notify_all()
        with self._more:
            self._more.notify_all()

    def _on_stdout(self, line):
        self.stdout.append(line)
        if line == "ready":
            self._ready = True
        elif line.startswith("listening on "):
            self.places.append(Place.parse(line.removeprefix("listening on ")))
        elif line.startswith("admin on "):
            self.admin = Place.parse(line.removeprefix("admin on "))

    def _on_stderr(self, line):
        self.log.append(LogLine(line))

    def _ended(self):
        return self.process.poll() is not None

    def _wait(self, true, seconds):
        """Until true() is; whatever it returned. Looks when a line has come."""
        until = time.monotonic() + seconds
        with self._more:
            while not (value := true()):
                left = until - time.monotonic()
                if left <= 0:
                    return value
                # A process that ends silently sends no line.
                self._more.wait(min(left, 0.2))
            return value

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=STOP_S):
        """Until the process has ended; its exit code."""
        try:
            self.exit_code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.exit_code = None
            raise AssertionError(
                f"gangway did not end within {seconds} s\n{self.text()}"
            ) from None
        finally:
            for reader in self._readers:
                reader.join(5)
            self.process.stdout.close()
            self.process.stderr.close()
        return self.exit_code

    def stop(self):
        """SIGTERM, and everything that must be true of a run that ends."""
        if self.exit_code is None:
            if not self._ended():
                self.signal(signal.SIGTERM)
            self.wait()
        self.check()

    def check(self):
        report = SANITIZER_REPORT.search(self.text())
        assert not report, f"sanitizer report:\n{self.text()}"
        assert self.exit_code == 0, f"exit code {self.exit_code}\n{self.text()}"

    # ---- where it listens -------------------------------------------------

    @property
    def place(self):
        return self.places[0]

    @property
    def address(self):
        return (self.place.host, self.place.port)

    def url(self, path="/"):
        return self.place.url(path)

    # ---- what it says -----------------------------------------------------

    def text(self):
        return "\n".join(line.line for line in list(self.log))

    def wait_log(self, event, seconds=10, **fields):
        """The first line not yet returned with this event and these fields.

        A field may be a value (compared as text) or a compiled pattern.
        """

        def fits(line):
            return line.event == event and all(
                v.search(line.get(k, "")) if hasattr(v, "search") else line.get(k) == str(v)
                for k, v in fields.items()
            )

        def look():
            for line in self.log:
                if not getattr(line, "taken", False) and fits(line):
                    line.taken = True
                    return line
            return None

        line = self._wait(look, seconds)
        assert line is not None, f"no {event} {fields} in the log:\n{self.text()}"
        return line

    def session_end(self, seconds=10, **fields):
        return self.wait_log("session-end", seconds, **fields)

    def wait_lines(self, event, n, seconds=10):
        """All lines with this event, once there are n."""

        def lines():
            return [line for line in self.log if line.event == event]

        self._wait(lambda: len(lines()) >= n, seconds)
        assert len(lines()) == n, f"{len(lines())} {event} in the log:\n{self.text()}"
        return lines()

    # ---- what it uses -----------------------------------------------------

    def rss(self):
        """Resident bytes of its own: what it shares with others not counted."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) * 1024

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_s(self):
        """Seconds of processor time used so far."""
        stat = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def until(self, true, seconds=10, what="the condition"):
        """Wait for something that only looking can tell, such as fds()."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"{what}: not within {seconds} s"
            time.sleep(0.02)


class Launcher:
    """Starts gangways for one test or module and ends them all."""

    def __init__(self, directory):
        self.directory = directory
        self.running = []

    def __call__(self, *args, **kwargs):
        place = self.directory / f"gangway-{len(self.running)}"
        place.mkdir()
        kwargs.setdefault("directory", place)
        gangway = Gangway(*args, **kwargs)
        self.running.append(gangway)
        return gangway

    def stop(self):
        problems = []
        for gangway in self.running:
            try:
                gangway.stop()
            except AssertionError as e:
                problems.append(str(e))
        assert not problems, "\n".join(problems)
