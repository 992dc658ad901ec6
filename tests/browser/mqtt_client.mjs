// SPDX-License-Identifier: Apache-2.0
// Drives bridges/mqtt/gangway.mjs: commands on standard input, what becomes of
// them on standard output, each a line of JSON. Ends with its input.
import { createInterface } from "node:readline";
import WebSocket from "ws";
import { advice, connect, matches } from "../../bridges/mqtt/gangway.mjs";

const tell = (event, more) => console.log(JSON.stringify({ event, ...more }));
const handles = new Map();
let bus;

// How a promise ends.
function settles(event, as, promise) {
  promise.then(
    (ack) => tell(event, { as, ack }),
    (e) => tell(event, { as, code: e.code, message: e.message }));
}

function message({ bytes, ...m }) {
  return bytes ? { ...m, bytes: Array.from(bytes) } : m;
}

const commands = {
  connect({ url, urls, options = {} }) {
    const onstate = (s) =>
      tell("state", { ...s, known: bus?.up, session: bus?.hello?.session });
    bus = connect(urls ? () => urls.shift() : url, { WebSocket, onstate, ...options });
  },
  subscribe({ as, filter, opts = {} }) {
    const handle = bus.subscribe(filter, (m) => tell("msg", { as, m: message(m) }), {
      onlost: (m) => tell("lost", { as, dropped: m.dropped }),
      onerror: (e) => tell("error", { as, code: e.code }),
      ...opts,
    });
    handles.set(as, handle);
    settles("ready", as, handle.ready);
  },
  unsubscribe: ({ as }) => handles.get(as).unsubscribe(),
  publish({ as, topic, value, bytes, buffer, opts }) {
    if (bytes) value = Uint8Array.from(bytes).subarray(1); // a view into more
    if (buffer) value = Uint8Array.from(buffer).buffer;
    settles("published", as, bus.publish(topic, value, opts));
  },
  auth: ({ as, token }) => settles("authorized", as, bus.auth(token)),
  close: ({ code }) => bus.close(code),
  advice: ({ codes }) => tell("advice", { advice: codes.map(advice) }),
  matches: ({ pairs }) => tell("matches", { matches: pairs.map((p) => matches(...p)) }),
};

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { command, ...args } = JSON.parse(line);
    commands[command](args);
  })
  .on("close", () => process.exit());
