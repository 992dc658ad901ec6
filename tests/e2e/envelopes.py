# SPDX-License-Identifier: Apache-2.0
"""Envelopes of gangway.v1.json, held to their JSON Schema."""

import json
import queue
import subprocess
import threading

import jsonschema
import services
from gangway import ROOT

SCHEMA = json.loads((ROOT / "bridges/mqtt/envelope.schema.json").read_text())
CLIENT = ROOT / "tests" / "browser" / "mqtt_client.mjs"
WAIT_S = 10


def validator(kind):
    """Of "request" or "answer", or of one op."""
    return jsonschema.Draft202012Validator(
        {"$ref": f"#/$defs/{kind}", "$defs": SCHEMA["$defs"]}
    )


REQUEST = validator("request")
ANSWER = validator("answer")


def request(text):
    """What a client sent, which must be an envelope of a client's."""
    envelope = json.loads(text)
    REQUEST.validate(envelope)
    return envelope


def answer(text):
    """The same of the gateway."""
    envelope = json.loads(text)
    ANSWER.validate(envelope)
    return envelope


class Client:
    """The client module in Node, driven line by line."""

    def __init__(self):
        self.process = subprocess.Popen(
            [services.program("node"), CLIENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.events = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))

    def do(self, command, **args):
        self.process.stdin.write(json.dumps({"command": command, **args}) + "\n")
        self.process.stdin.flush()

    def event(self, name=None):
        """The next event, which must have this name."""
        event = self.events.get(timeout=WAIT_S)
        assert name is None or event["event"] == name, event
        del event["event"]
        return event

    def state(self, name):
        event = self.event("state")
        assert event["state"] == name, event
        return event

    def quiet(self, seconds=0.3):
        """Nothing happens for a while."""
        try:
            raise AssertionError(self.events.get(timeout=seconds))
        except queue.Empty:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=WAIT_S)
        self.reader.join(timeout=WAIT_S)
        self.process.stdout.close()
