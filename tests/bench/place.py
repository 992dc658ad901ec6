# SPDX-License-Identifier: Apache-2.0
"""What one run of a contestant has: a directory, ports, and processes that
end with it."""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

START_S = 10
STOP_S = 3
LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp


class Failed(Exception):
    """A contestant that did not come up, or a run that did not succeed."""


def listening(port):
    """Does anybody listen there? Looked up, not tried: a connection would
    make a gateway dial a backend that is not there yet."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table) as lines:
            next(lines)
            for line in lines:
                _, local, _, state, *_ = line.split()
                if state != LISTEN:
                    break  # listeners stand first
                if int(local.rpartition(":")[2], 16) == port:
                    return True
    return False


def ephemeral_from():
    """The first of the ports that connections get for their own end."""
    text = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    return int(text.split()[0])


class Ports:
    """Ports nobody has: below those of outgoing connections, so that none of
    those takes one before a listener does; and each once, so that no run meets
    what an earlier one left in TIME_WAIT."""

    LOWEST = 10000

    def __init__(self):
        end = max(ephemeral_from(), self.LOWEST + 2000)
        self._left = list(range(self.LOWEST, min(end, 60000)))
        random.shuffle(self._left)

    def take(self):
        while self._left:
            port = self._left.pop()
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
        raise Failed("no free port")


class Certificate:
    """One for localhost with a P-256 key, and as the single file that some
    programs want."""

    def __init__(self, directory):
        self.certificate = directory / "server.pem"
        self.key = directory / "server.key"
        self.both = directory / "both.pem"
        subprocess.run(
            [
                "openssl", "req", "-x509", "-nodes", "-days", "30",
                "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                "-keyout", self.key, "-out", self.certificate,
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.both.write_text(self.certificate.read_text() + self.key.read_text())


class Place:
    """Use as a context. port: the contestant's; backend: where the load
    generator will listen as the service behind it."""

    def __init__(self, tools, gangway, ports, tls):
        self.tools, self.gangway, self._ports, self.tls = tools, gangway, ports, tls
        self.port, self.backend = ports.take(), ports.take()
        self._processes = []

    def __enter__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="gangway-bench-"))
        return self

    def __exit__(self, *_):
        for process in reversed(self._processes):
            stop(process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def another_port(self):
        return self._ports.take()

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def spawn(self, command, port):
        """Start a program that will listen on the port, in a process group of
        its own; its process id once it does."""
        command = [str(word) for word in command]
        log = self.directory / f"log-{len(self._processes)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        until = time.monotonic() + START_S
        while not listening(port):
            if process.poll() is not None or time.monotonic() > until:
                said = log.read_text(errors="replace").strip().split("\n")[-1]
                raise Failed(f"{pathlib.Path(command[0]).name} did not start: {said}")
            time.sleep(0.01)
        return process.pid


def stop(process):
    """End a process and what is left of its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
