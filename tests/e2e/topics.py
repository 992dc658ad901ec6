# SPDX-License-Identifier: Apache-2.0
"""A client of gangway.v1.json for tests: what it sends is a dict, what comes
back is held against the protocol's schema."""

import json
import pathlib
import time

import jsonschema
from rawws import BINARY, TEXT, RawWs

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "bridges" / "mqtt" / "envelope.schema.json").read_text())
VALIDATOR = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)


class Topics(RawWs):
    """One session of the envelope dialect."""

    def __init__(self, gateway, path="/", *, subprotocols=("gangway.v1.json",), **how):
        super().__init__(gateway, path, subprotocols=subprotocols, **how)
        self.messages = []  # came while something else was awaited
        self.states = []
        self.last_id = 0
        self.hello = self.read()
        assert self.hello["op"] == "hello"

    def say(self, **request):
        self.text(json.dumps(request))

    def read(self):
        opcode, payload = self.recv_message()
        assert opcode == TEXT
        answer = json.loads(payload)
        VALIDATOR.validate(answer)
        return answer

    def ask(self, **request):
        """Send with an id; return the answer to it."""
        self.last_id += 1
        self.say(id=self.last_id, **request)
        return self.answer_to(self.last_id)

    def answer_to(self, number):
        while True:
            answer = self.read()
            if answer["op"] == "state":
                self.states.append(answer["up"])
            elif answer["op"] in ("msg", "lost"):
                self.messages.append(answer)
            else:
                assert answer.get("id") == number, answer
                return answer

    def sub(self, topic, **how):
        answer = self.ask(op="sub", topic=topic, **how)
        assert answer["op"] == "ack", answer
        return answer

    def pub(self, topic, **how):
        answer = self.ask(op="pub", topic=topic, **how)
        assert answer["op"] == "ack", answer
        return answer

    def refused(self, **request):
        answer = self.ask(**request)
        assert answer["op"] == "err", answer
        return answer["code"]

    def message(self):
        """The next "msg" or "lost"."""
        while not self.messages:
            answer = self.read()
            if answer["op"] == "state":
                self.states.append(answer["up"])
            else:
                assert answer["op"] in ("msg", "lost"), answer
                self.messages.append(answer)
        return self.messages.pop(0)

    def silent(self):
        """Nothing but answers is under way: what was published before has
        come, or will not."""
        self.ask(op="ping")
        messages, self.messages = self.messages, []
        return messages

    def state(self, up, seconds=40):
        """Wait to be told of this state."""
        self.sock.settimeout(seconds)
        end = time.monotonic() + seconds
        while not self.states or self.states[-1] != up:
            assert time.monotonic() < end
            answer = self.read()
            if answer["op"] == "state":
                self.states.append(answer["up"])
            else:
                self.messages.append(answer)
