# SPDX-License-Identifier: Apache-2.0
"""What documents tell their reader to type, and doing it.

A document is cut into scenes, at headings and at paragraphs that begin with a
bold phrase. A scene is played from its beginning in a directory of its own.
The commands of its `sh` blocks run one after the other. Servers go on until the
scene ends, or until the next gangway starts. A `text` block right behind an
`sh` block is what the last command prints. A named block, ```c shout.c, is
written to that file.

Commands run as they stand but for World.adapt: ports and paths that a test
cannot have.
"""

import os
import pathlib
import re
import shutil
import subprocess
import time
from typing import NamedTuple

import gangway as harness
from gangway import BINARY, ROOT
from services import Process, free_port

COMMAND_S = 50
FENCE = re.compile(r"^```(\w*) ?([\w.]*)\n(.*?)^```$", re.M | re.S)
SCENE = re.compile(r"^(?:#+ +(.+)|\*\*(.+?)\*\*.*)$", re.M)
ONE_SHOT = re.compile(r"--(check|help|version|schema|default-config|settings-reference)\b")


class Block(NamedTuple):
    kind: str
    name: str
    text: str
    expected: bool  # a text block: the output of what is before it


class Scene(NamedTuple):
    document: str
    title: str
    blocks: list

    def __str__(self):
        return f"{self.document}: {self.title}"


def commands(block):
    return block.text.replace("\\\n", " ").strip().split("\n")


def scenes(document):
    """The scenes of a Markdown file in which there is something to do."""
    text = (ROOT / document).read_text()
    # Headings are looked for outside of blocks: a shell comment is none.
    bare = FENCE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)
    starts = [(0, "")] + [(m.start(), (m[1] or m[2]).strip(".")) for m in SCENE.finditer(bare)]
    ends = [start for start, _ in starts[1:]] + [len(text)]
    for (start, title), end in zip(starts, ends):
        blocks, after = [], None
        for m in FENCE.finditer(text[start:end]):
            behind = after is not None and not text[start + after : start + m.start()].strip()
            blocks.append(Block(m[1], m[2], m[3], behind and blocks[-1].kind == "sh"))
            after = m.end()
        if any(b.kind == "sh" for b in blocks):
            yield Scene(document, title, blocks)


def manual_examples(path):
    """The examples of a scdoc page, each with the sentence before it."""
    text = (ROOT / path).read_text().split("# EXAMPLES")[1]
    for title, block in re.findall(r"([^\n]+):\n\n```\n(.*?)^```$", text, re.M | re.S):
        block = block.replace("\\\\", "\\")
        yield Scene(path, title, [Block("sh", "", block, False)])


class World:
    """Where a scene is played: a directory, and the ports that it has.

    backends: {documented port: port of a server that the test has started}
    """

    def __init__(self, directory, backends, pair, authority, sshd, unix_socket, page):
        self.directory = pathlib.Path(directory)
        self.ports = dict(backends)
        self.pair, self.authority = pair, authority
        self.sshd, self.unix_socket, self.page = sshd, unix_socket, page
        self.servers = []
        for name in ("conf", "bridges", "tests/e2e"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, self.directory / name, ignore=ignored)

    def port(self, documented):
        if documented not in self.ports:
            self.ports[documented] = free_port()
        return self.ports[documented]

    def adapt(self, command):
        """The table of what is replaced in commands, and by what."""
        out = BINARY.parent.parent if harness.SANITIZER else BINARY.parent
        san = {"address": "address,undefined", "thread": "thread"}.get(harness.SANITIZER, "")
        ssh = " ".join(self.sshd.options) if self.sshd else ""
        login = self.sshd.login if self.sshd else ""
        for pattern, replacement in (
            # Ports: free ones, and those of the backends.
            (r"\b(127\.0\.0\.1|localhost):(\d+)", lambda m: f"{m[1]}:{self.port(m[2])}"),
            (r"wss://:443\b", lambda _: f"wss://127.0.0.1:{self.port('443')}"),
            (r"service\.py 7000", lambda _: f"service.py {self.port('7000')}"),
            (
                r"--config conf/gangway\.yaml",
                lambda m: f"{m[0]} --listen ws://127.0.0.1:{self.port('8080')}",
            ),
            # Places.
            (r"\bfullchain\.pem", str(self.pair.certificate)),
            (r"\bprivkey\.pem", str(self.pair.key)),
            (r"/usr/share/novnc", str(self.page)),
            (r"/run/redis/redis\.sock", str(self.unix_socket)),
            (r"^(build/)?gangway\b", str(BINARY)),
            (r"\bbuild/sample\.so", str(BINARY.parent / "sample.so")),
            # Which gangway: there may be others on this machine.
            (r'"\$\(pidof gangway\)"', lambda _: str(self.servers[-1].pid)),
            # An SSH client with a key of ours, and our own websocat.
            (
                r"websocat --binary wss://gate\.example\.com/ssh",
                lambda _: f"/usr/bin/python3 tests/e2e/wsproxy.py "
                f"wss://localhost:{self.port('443')}/ssh {self.authority.certificate}",
            ),
            (r"^ssh (.*) gate\.example\.com$", rf"ssh {ssh} \1 {login} true"),
            # Building is what all tests begin with. The rest of make runs for
            # long, or runs the tests: it is asked what it would do.
            (r"^make$", f"make -s -C {ROOT} BUILD={out} SAN={san}"),
            (r"^make (?!-)", f"make -s -n -C {ROOT} BUILD={out} "),
            # Debian's, as everywhere.
            (r"\bpython3(?= conf/)", "/usr/bin/python3"),
        ):
            command = re.sub(pattern, replacement, command)
        return command

    # ---- playing -----------------------------------------------------------

    def play(self, scene):
        output = ""
        for block in scene.blocks:
            if block.kind == "sh":
                for command in commands(block):
                    output = self.run(self.adapt(command)) or output
            elif block.name:
                (self.directory / block.name).write_text(block.text)
            elif block.expected:
                assert output == block.text, f"{scene}: it prints\n{output}"

    def run(self, command):
        """Do it; what it printed, or None for a server, which goes on."""
        words = command.split()
        if words[0] == str(BINARY) and not ONE_SHOT.search(command):
            self.serve(command, "\nready\n")
            return None
        if "service.py" in command:
            self.serve(command, "a TCP service on")
            return None
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        assert done.returncode == 0, f"{command}\nexits {done.returncode}:\n{done.stdout}"
        return done.stdout

    def serve(self, command, ready):
        """The next gangway takes the place of the one before."""
        if command.startswith(str(BINARY)):
            for server in self.servers:
                server.stop()
        log = self.directory / f"server-{len(self.servers)}.log"
        self.servers.append(
            Process(
                ["bash", "-c", f"exec {command}"],
                log,
                lambda: ready in "\n" + log.read_text(errors="replace"),
                cwd=self.directory,
                env=self.environment(),
            )
        )

    def until_told(self, text, seconds=10):
        """Wait for a text in the log of the server that runs."""
        server, end = self.servers[-1], time.monotonic() + seconds
        while text not in server.text():
            assert time.monotonic() < end, f"no {text!r}:\n{server.text()}"
            time.sleep(0.02)

    def environment(self):
        # A reader's shell is not within a make, with its flavour and jobs.
        outer = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "SAN")
        return {
            **{k: v for k, v in os.environ.items() if k not in outer},
            **harness.SANITIZER_ENV,
            "GANGWAY_RESOLVER": "127.0.0.1:1",  # no name server is asked
        }

    def close(self):
        for server in self.servers:
            server.stop()
            report = harness.SANITIZER_REPORT.search(server.text())
            assert not report, server.text()
