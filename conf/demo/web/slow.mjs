// SPDX-License-Identifier: Apache-2.0
// A subscriber that needs a while for each message, in a thread of its own so
// that the page does not: ?url=...&filter=...&takes=MILLISECONDS
import { connect } from "./client/gangway.mjs";

const asked = new URL(location.href).searchParams;

function idle() {
  const until = performance.now() + Number(asked.get("takes"));
  while (performance.now() < until);
}

const handle = connect(asked.get("url")).subscribe(
  asked.get("filter"),
  ({ topic, retained, text, data, bytes }) => {
    idle();
    postMessage({ message: { topic, retained, text, data, bytes } });
  },
  {
    every: Number(asked.get("every")),
    onlost: ({ dropped }) => postMessage({ dropped }),
    onerror: ({ code, message }) => postMessage({ error: { code, message } }),
  },
);
handle.ready.then(() => postMessage({ ready: true }), () => {});
