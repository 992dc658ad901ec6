# SPDX-License-Identifier: Apache-2.0
"""Real browsers, driven through tests/browser/driver.mjs."""

import json
import os
import pathlib
import signal
import subprocess
import threading

import services
from gangway import ROOT

START_S = 40
ANSWER_S = 40
STOP_S = 15
EXECUTABLES = {"chromium": "chromium", "firefox": "firefox-esr"}


class BrowserError(Exception):
    """What went wrong on the browser's side."""


class Browser:
    """One browser with one page."""

    def __init__(self, name, directory):
        self.name = name
        self.directory = pathlib.Path(directory)
        self._log = self.directory / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    services.program("node"), ROOT / "tests" / "browser" / "driver.mjs",
                    name, services.program(EXECUTABLES[name]), self.directory,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._answers = {}
        self._more = threading.Condition()
        self._id = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.version = self.wait(0, START_S)
        except BaseException:
            self.close()
            raise

    def _read(self):
        for line in self._process.stdout:
            answer = json.loads(line)
            with self._more:
                self._answers[answer["id"]] = answer
                self._more.notify_all()
        with self._more:
            self._answers[None] = None  # no more to come
            self._more.notify_all()

    def begin(self, verb, argument=None):
        """Start something; wait() has its value."""
        self._id += 1
        command = {"id": self._id, "do": verb, "with": argument}
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        return self._id

    def wait(self, number, seconds=ANSWER_S):
        with self._more:
            done = self._more.wait_for(
                lambda: number in self._answers or None in self._answers, seconds
            )
            answer = self._answers.pop(number, None)
        if answer is None:
            how = "ended" if done else f"did not answer within {seconds} s"
            raise BrowserError(f"{self.name} {how}:\n{self._log.read_text(errors='replace')}")
        if "error" in answer:
            raise BrowserError(f"{self.name}: {answer['error']}")
        return answer["value"]

    def do(self, verb, argument=None):
        return self.wait(self.begin(verb, argument))

    def open(self, url):
        status = self.do("open", url)
        assert status in (200, 304), f"{url}: {status}"

    def evaluate(self, expression):
        return self.do("evaluate", expression)

    def start(self, function, *arguments):
        """Call a function of the page; wait() has what it resolves to."""
        return self.begin(
            "evaluate", f"{function}({', '.join(json.dumps(a) for a in arguments)})"
        )

    def call(self, function, *arguments):
        return self.wait(self.start(function, *arguments))

    def until(self, condition, seconds=20):
        """Wait for an expression in the page to be true; its value."""
        value = self.wait(
            self.begin(
                "evaluate",
                f"""new Promise((resolve) => {{
                    const end = performance.now() + {seconds * 1000};
                    const look = () => {{
                        const value = ({condition});
                        if (value || performance.now() > end) resolve(value ?? null);
                        else setTimeout(look, 20);
                    }};
                    look();
                }})""",
            ),
            seconds + ANSWER_S,
        )
        assert value, f"{self.name}: not within {seconds} s: {condition}"
        return value

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # The driver leads the group; the browser is in it.
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait()
            self._reader.join(STOP_S)
            self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
