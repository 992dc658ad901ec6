// SPDX-License-Identifier: Apache-2.0
// Topics: one session publishes, and every subscriber has one of its own. All
// that WebSocket needs is in gangway.mjs, which any page may use as this does.
import { connect } from "./client/gangway.mjs";
import { size } from "./bytes.mjs";
import { $, clock, element, socketUrl } from "./page.mjs";

const SHOWN = 5; // messages of a subscriber
const SHOWN_TEXT = 160;
const SLOW_MS = 20;
const BURST = { messages: 600, bytes: 32 << 10, window: 20 };

const url = socketUrl("/topics");

// ---- the publisher ---------------------------------------------------------

let broker = null; // what it calls itself

const bus = connect(url, { onstate: showState });
bus.subscribe("$SYS/broker/version", ({ text }) => {
  broker = text;
  showState({ state: "open", up: bus.up });
});

function showState({ state, up, code, delay }) {
  const kept = broker ? `the broker is ${broker}` : "topics are kept by gangway itself";
  $("bus").dataset.state = state === "open" && !up ? "opening" : state;
  $("bus-text").textContent = {
    connecting: "Connecting.",
    open: up ? `Connected; ${kept}.` : "Connected, but the broker is away: publishes wait for it, 10 s at most.",
    waiting: `Closed with ${code}; again in ${Math.ceil(delay / 100) / 10} s.`,
    closed: `Closed with ${code}.`,
  }[state];
}

// JSON as such, everything else as text.
function valueOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

async function publish(topic, value, opts) {
  const note = $("pub-note");
  note.dataset.kind = "";
  note.textContent = "…";
  try {
    await bus.publish(topic, value, opts);
    note.textContent = `${topic}: acknowledged`;
  } catch (e) {
    note.dataset.kind = "bad";
    note.textContent = `${e.code}: ${e.message}`;
  }
}

async function burst() {
  const text = "x".repeat(BURST.bytes);
  for (let at = 0; at < BURST.messages; at += BURST.window) {
    const sent = Array.from({ length: BURST.window }, () => bus.publish("demo/burst", text));
    const failed = (await Promise.allSettled(sent)).find((s) => s.reason)?.reason;
    $("pub-note").textContent = failed
      ? `${failed.code}: ${failed.message}`
      : `demo/burst: ${at + BURST.window} messages, ${size((at + BURST.window) * BURST.bytes)}`;
    if (failed) return;
  }
}

// ---- subscribers -----------------------------------------------------------

function shown({ topic, text, data, bytes, retained }) {
  const item = element("li");
  const value = bytes ? `${bytes.length} bytes` : text ?? JSON.stringify(data);
  item.append(element("time", "", clock()), element("code", "", topic));
  if (retained) item.append(element("span", "badge", "retained"));
  item.append(element("p", "text", value.slice(0, SHOWN_TEXT)));
  return item;
}

class Subscriber {
  #ready = false; #count = 0; #lost = 0; #waiting = []; #drawing = 0;

  constructor(filter, every, slow) {
    this.item = element("li", "subscriber");
    this.counts = element("span", "note");
    this.messages = element("ol");
    const remove = element("button", "", "Remove");
    const kind = [every && `every ${every / 1000} s`, slow && `${SLOW_MS} ms a message`].filter(Boolean);
    const head = element("div", "row tools");
    remove.type = "button";
    remove.onclick = () => { this.stop(); this.item.remove(); };
    head.append(element("h4", "mono", filter), ...kind.map((k) => element("span", "badge", k)), this.counts, remove);
    this.item.append(head, this.messages);
    this.#draw();
    if (slow) this.#work(filter, every);
    else this.#connect(filter, every);
  }

  #connect(filter, every) {
    const session = connect(url);
    this.stop = () => session.close();
    const handle = session.subscribe(filter, (m) => this.#message(m), {
      every, onlost: ({ dropped }) => this.#missed(dropped), onerror: (e) => this.#error(e),
    });
    handle.ready.then(() => this.#begun(), () => {});
  }

  #work(filter, every) {
    const asked = new URLSearchParams({ url, filter, every, takes: SLOW_MS });
    const worker = new Worker(`slow.mjs?${asked}`, { type: "module" });
    this.stop = () => worker.terminate();
    worker.onmessage = ({ data: { ready, message, dropped, error } }) => {
      if (ready) this.#begun();
      if (message) this.#message(message);
      if (dropped) this.#missed(dropped);
      if (error) this.#error(error);
    };
  }

  #begun() {
    this.#ready = true;
    this.#draw();
  }

  #message(m) {
    this.#count++;
    this.#waiting = [m, ...this.#waiting.slice(0, SHOWN - 1)];
    this.#draw();
  }

  #missed(dropped) {
    this.#lost += dropped;
    this.#draw();
  }

  #error(e) {
    this.messages.replaceChildren(element("li", "bad", `${e.code}: ${e.message}`));
  }

  #draw() {
    this.#drawing ||= requestAnimationFrame(() => {
      this.#drawing = 0;
      this.messages.prepend(...this.#waiting.splice(0).map(shown));
      while (this.messages.children.length > SHOWN) this.messages.lastChild.remove();
      const lost = this.#lost ? [element("b", "bad", `${this.#lost} lost`)] : [];
      const count = `${this.#count} message${this.#count === 1 ? "" : "s"} `;
      this.counts.replaceChildren(this.#ready ? count : "…", ...lost);
    });
  }
}

function subscribe(filter, every = 0, slow = false) {
  $("subs").prepend(new Subscriber(filter, every, slow).item);
}

// ---- controls --------------------------------------------------------------

const QUICK = [
  ["lamp on, retained", () => publish("demo/lamp/1", { on: true }, { retain: true })],
  ["lamp forgotten", () => publish("demo/lamp/1", "", { retain: true })],
  ["dinner, to the raw feed", () => publish("demo/feed/kitchen", "dinner is ready", { retain: true })],
  ["not allowed", () => publish("other/topic", "hello")],
  ["a burst of 19 MiB", burst],
];

$("pub-quick").append(
  ...QUICK.map(([name, act]) => {
    const button = element("button", "", name);
    button.type = "button";
    button.onclick = act;
    return button;
  }),
);

$("pub-form").onsubmit = (event) => {
  event.preventDefault();
  const qos = Number($("pub-qos").value);
  publish($("pub-topic").value, valueOf($("pub-value").value), { qos, retain: $("pub-retain").checked });
};

$("sub-form").onsubmit = (event) => {
  event.preventDefault();
  subscribe($("sub-filter").value, Number($("sub-every").value), $("sub-slow").checked);
};

subscribe("demo/#");
