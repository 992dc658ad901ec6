# SPDX-License-Identifier: Apache-2.0
"""Real services as private instances: a directory, a port, a process of ours.

Each function starts one and yields where it is; leaving the `with` ends it.
Nothing here touches what the system itself may run.
"""

import contextlib
import getpass
import glob
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from typing import NamedTuple

START_S = 30
STOP_S = 15


def program(name):
    """Where a program is. That it is missing is a failure, not a reason to
    skip: tests/deps.sh installs it."""
    path = [os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]
    path += sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    found = shutil.which(name, path=":".join(path))
    assert found, f"{name} is not installed: run `make deps-test`"
    return found


def free_port():
    """For a server that starts next. It is below those that the kernel gives
    away by itself, so that no client gets it first."""
    while True:
        port = random.randrange(20000, 32768)
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            return port


def accepts(port):
    """Does anybody listen there?"""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def place(owner=None):
    """A directory with a short name, for Unix sockets, that other users may
    enter. owner: a user's entry in the password file."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="gangway-"))
    directory.chmod(0o755)
    if owner:
        os.chown(directory, owner.pw_uid, owner.pw_gid)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class Process:
    """A program that runs until stop(). ready() tells that it can be used."""

    def __init__(self, command, log, ready, end=signal.SIGTERM, **popen):
        self.command = list(map(str, command))
        self.log = pathlib.Path(log)
        self._end = end
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # What it starts belongs to its group and ends with it.
                start_new_session=True,
                **popen,
            )
        self.pid = self.process.pid
        until = time.monotonic() + START_S
        while not ready():
            if self.process.poll() is not None or time.monotonic() > until:
                code = self.process.returncode
                self.stop()
                raise AssertionError(
                    f"{self.command[0]} is not ready (exit code {code}):\n{self.text()}"
                )
            time.sleep(0.02)

    def text(self):
        return self.log.read_text(errors="replace")

    def _group(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(self._end)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._group(signal.SIGKILL)
                self.process.wait()
                raise AssertionError(f"{self.command[0]} did not end:\n{self.text()}") from None
        self._group(signal.SIGKILL)  # a child that was left behind

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


# ---- SSH --------------------------------------------------------------------


class Sshd(NamedTuple):
    port: int
    directory: pathlib.Path
    options: list  # for ssh and scp, without how to connect
    login: str  # user@alias


@contextlib.contextmanager
def sshd():
    """An SSH server that lets in the current user, with one key."""
    with place() as directory:
        for name in ("host", "user"):
            subprocess.run(
                [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", directory / name],
                check=True,
            )
        (directory / "authorized").write_bytes((directory / "user.pub").read_bytes())
        (directory / "known").write_text(f"gangway-test {(directory / 'host.pub').read_text()}")
        port = free_port()
        (directory / "config").write_text(
            f"ListenAddress 127.0.0.1:{port}\n"
            f"HostKey {directory}/host\n"
            f"AuthorizedKeysFile {directory}/authorized\n"
            "AuthenticationMethods publickey\n"
            "PermitRootLogin prohibit-password\n"
            "StrictModes no\n"
            "UsePAM no\n"
            "PidFile none\n"
            "Subsystem sftp internal-sftp\n"
        )
        if os.geteuid() == 0:  # where the unprivileged part is locked up
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        options = {
            "IdentityFile": directory / "user",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": directory / "known",
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
        }
        with Process(
            [program("sshd"), "-D", "-e", "-f", directory / "config"],
            directory / "log",
            lambda: accepts(port),
        ):
            yield Sshd(
                port,
                directory,
                ["-F", "/dev/null", *(f"-o{k}={v}" for k, v in options.items())],
                f"{getpass.getuser()}@gangway-test",
            )


# ---- Redis ------------------------------------------------------------------


class Redis(NamedTuple):
    port: int
    path: pathlib.Path  # the same server's Unix socket


@contextlib.contextmanager
def redis():
    with place() as directory:
        port, path = free_port(), directory / "socket"
        with Process(
            [
                program("redis-server"), "--bind", "127.0.0.1", "--port", port,
                "--unixsocket", path, "--dir", directory, "--save", "",
                "--appendonly", "no", "--daemonize", "no",
            ],
            directory / "log",
            lambda: path.exists() and accepts(port),
        ):
            yield Redis(port, path)


# ---- PostgreSQL -------------------------------------------------------------


class Postgres(NamedTuple):
    port: int
    user: str = "tester"
    password: str = "the pass-word"


@contextlib.contextmanager
def postgres():
    """A new cluster, whose user has to give a password (SCRAM-SHA-256)."""
    # It refuses to run as root.
    owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    run_as = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    with place(owner) as directory:
        server = Postgres(free_port())
        (directory / "password").write_text(server.password)
        (directory / "password").chmod(0o644)
        made = subprocess.run(
            [
                program("initdb"), "-D", directory / "data", "-U", server.user,
                "--pwfile", directory / "password", "-A", "scram-sha-256",
                "-E", "UTF8", "--no-locale", "--no-sync",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            check=False,
            **run_as,
        )
        assert made.returncode == 0, made.stdout
        is_ready = [program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(server.port)]
        with Process(
            [
                program("postgres"), "-D", directory / "data", "-p", server.port,
                "-k", directory, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
                "-c", "shared_buffers=16MB",
            ],
            directory / "log",
            lambda: subprocess.run(is_ready, check=False).returncode == 0,
            end=signal.SIGINT,  # "fast": does not wait for its clients
            cwd="/",
            **run_as,
        ):
            yield server


# ---- IRC --------------------------------------------------------------------


@contextlib.contextmanager
def ngircd():
    """Yields the port of an IRC server."""
    with place() as directory:
        port = free_port()
        (directory / "motd").write_text("Grüß Gott, and \N{SLIGHTLY SMILING FACE}\n")
        (directory / "config").write_text(
            "[Global]\n"
            "Name = irc.example.test\n"
            "Info = a test\n"
            "Listen = 127.0.0.1\n"
            f"Ports = {port}\n"
            f"MotdFile = {directory}/motd\n"
            "[Options]\n"
            "DNS = no\n"
            "Ident = no\n"
            "PAM = no\n"
            "[Limits]\n"
            "MaxConnectionsIP = 0\n"
        )
        with Process(
            [program("ngircd"), "-n", "-f", directory / "config"],
            directory / "log",
            lambda: accepts(port),
        ):
            yield port


# ---- MQTT -------------------------------------------------------------------


@contextlib.contextmanager
def mosquitto():
    """Yields the TCP port of a broker."""
    with place() as directory:
        port = free_port()
        (directory / "config").write_text(
            f"listener {port} 127.0.0.1\n"
            "allow_anonymous true\n"
            "persistence false\n"
            "log_dest stderr\n"
            f"user {getpass.getuser()}\n"
        )
        with Process(
            [program("mosquitto"), "-c", directory / "config"],
            directory / "log",
            lambda: accepts(port),
        ):
            yield port


# ---- Telnet -----------------------------------------------------------------


class Telnetd:
    """telnetd with a program in place of the login. As inetd would, this takes
    the connections and starts one telnetd for each."""

    def __init__(self, login):
        self._command = [program("telnetd"), "-h", "-E", str(login)]
        self._sock = socket.socket()
        self._sock.bind(("127.0.0.1", 0))
        self._sock.listen()
        self._running = []
        self.port = self._sock.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return
            with sock:
                self._running.append(
                    subprocess.Popen(
                        self._command,
                        stdin=sock, stdout=sock, stderr=sock,
                        start_new_session=True,
                    )
                )

    def close(self):
        self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._thread.join(STOP_S)
        for process in self._running:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@contextlib.contextmanager
def terminal(shell):
    """Yields the port on which every connection gets a shell command of its
    own, on a terminal."""
    with place() as directory:
        port = free_port()
        script = directory / "shell"
        script.write_text(f"#!/bin/sh\n{shell}\n")
        script.chmod(0o755)
        with Process(
            [
                program("socat"),
                f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork",
                f"EXEC:{script},pty,setsid,ctty,stderr,sane",
            ],
            directory / "log",
            lambda: accepts(port),
        ):
            yield port


# ---- VNC --------------------------------------------------------------------


class Vnc(NamedTuple):
    port: int
    display: str

    def paint(self, *arguments):
        """xsetroot: what the root window shows."""
        subprocess.run(
            [program("xsetroot"), *map(str, arguments)],
            env={**os.environ, "DISPLAY": self.display},
            check=True,
        )


@contextlib.contextmanager
def vnc(geometry):
    """An X server whose screen is seen by VNC, with nothing on it."""
    with place() as directory:
        port = free_port()
        told = directory / "display"
        with told.open("wb") as display, Process(
            [
                program("Xtigervnc"), "-displayfd", display.fileno(), "-rfbport", port,
                "-interface", "127.0.0.1", "-SecurityTypes", "None",
                "-geometry", geometry, "-depth", "24", "-nolisten", "tcp",
                "-AlwaysShared",
            ],
            directory / "log",
            lambda: told.read_text().endswith("\n") and accepts(port),
            pass_fds=[display.fileno()],
        ):
            yield Vnc(port, f":{told.read_text().strip()}")
