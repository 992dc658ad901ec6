// SPDX-License-Identifier: Apache-2.0
// gangway.mjs - topics over one WebSocket, in a browser or in Node: gangway's
// protocol gangway.v1.json (PROTOCOL.md), with no dependencies.
//
//   const bus = connect("wss://host/topics");
//   await bus.subscribe("lamp/+", (m) => show(m.topic, m.data)).ready;
//   await bus.publish("lamp/3", { on: true }, { qos: 1 });
//
// It reconnects as the close code asks for, and subscribes again. Publishes wait
// for a connection, a while, and are not repeated: if the session ends before the
// answer, the promise rejects, and nobody knows whether it went through.

export class GangwayError extends Error {
  // code: of an "err"; or "closed", "offline", "slow".
  constructor(code, message = code) { super(message); this.code = code; }
}

// MQTT 5.0 section 4.7.
export function matches(filter, topic) {
  const f = filter.split("/"), t = topic.split("/");
  if (topic[0] === "$" && (f[0] === "+" || f[0] === "#")) return false;
  const all = f[f.length - 1] === "#";
  if (all ? t.length < f.length - 1 : t.length !== f.length) return false;
  return f.every((level, i) => level === "+" || level === "#" || level === t[i]);
}

// What a close code asks for: "stay" away, come "back" later, or "now".
export function advice(code) {
  if (code >= 4200 && code < 4300) return "now";
  if (code >= 4000 && code < 4100) return "stay";
  return [1002, 1003, 1007, 1008, 1010].includes(code) ? "stay" : "back";
}

// Bytes go as b64, a string as text (with opts.json: as JSON), the rest as JSON.
function payloadOf(value, opts) {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    const bytes = new Uint8Array(value.buffer ?? value, value.byteOffset, value.byteLength);
    return { b64: btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join("")) };
  }
  return typeof value === "string" && !opts.json ? { text: value } : { data: value };
}

// url: a string, or a function that makes one for each attempt. options:
// onstate({ state, up, code, reason, delay }), state being "connecting", "open",
// "waiting" or "closed"; protocols; token, sent first; WebSocket, a class, where
// there is no global one; hold, how many publishes may wait; maxBuffered, bytes.
// In milliseconds: ping, silence before asking; timeout, of an answer; holdFor, of
// a publish that waits; minDelay, maxDelay, between attempts.
export const connect = (url, options = {}) => new Connection(url, options);

class Connection {
  #url; #o; #ws; #timer; #watch; #live = false; #closed = false;
  #subs = new Map(); // filter: { filter, opts, handles, asks }
  #calls = new Map(); // id: { text, resolve, reject, timer }; offline: they wait
  #id = 0; #tries = 0; #since = 0;
  up = false; // whether the gateway has its broker
  hello = null; // the gateway's greeting: session, max

  constructor(url, options) {
    this.#url = url;
    this.#o = {
      WebSocket: globalThis.WebSocket, protocols: ["gangway.v1.json"], ping: 25000,
      timeout: 10000, minDelay: 500, maxDelay: 30000, holdFor: 10000, hold: 100,
      maxBuffered: 4 << 20, ...options,
    };
    this.#dial();
  }

  // cb({ topic, qos, retained, data | text | bytes }). retain: "send", "new" or
  // "none"; every: milliseconds; onlost({ dropped }); onerror(e): also when
  // subscribing again fails. The handle's `ready` settles with the answer.
  subscribe(filter, cb, { qos, retain, every, onlost, onerror } = {}) {
    const sub = this.#subs.get(filter) ?? { filter, handles: new Set(), asks: [] };
    const handle = { cb, onlost, onerror, unsubscribe: () => this.#drop(sub, handle) };
    handle.ready = new Promise((resolve, reject) => sub.asks.push({ resolve, reject }));
    handle.ready.catch(() => {}); // for those who do not ask
    sub.opts = { qos, retain, every };
    sub.handles.add(handle);
    this.#subs.set(filter, sub);
    if (this.#live) this.#sub(sub);
    return handle;
  }

  // Settles with the answer, when there is one: see above. opts: qos, retain, json.
  publish(topic, value, opts = {}) {
    const request = { op: "pub", topic, qos: opts.qos, retain: opts.retain };
    return this.#call({ ...request, ...payloadOf(value, opts) }, this.#closed ? 0 : this.#o.hold);
  }

  auth(token) {
    return this.#call({ op: "auth", token: (this.#o.token = token) });
  }

  close(code = 1000, reason = "") {
    const ws = this.#ws;
    if (!this.#closed) this.#end(code, reason, true);
    ws?.close(code, reason);
  }

  #dial() {
    const url = typeof this.#url === "function" ? this.#url() : this.#url;
    const ws = (this.#ws = new this.#o.WebSocket(url, this.#o.protocols));
    ws.onmessage = (e) => {
      if (ws !== this.#ws) return;
      try { this.#on(JSON.parse(e.data)); } finally { this.#listen(ws); }
    };
    ws.onerror = () => {}; // a close follows
    ws.onclose = (e) => ws === this.#ws && this.#end(e.code, e.reason);
    this.#listen(ws);
    this.#tell("connecting");
  }

  // After silence ask for a sign of life; without one, or without a greeting,
  // the session is over.
  #listen(ws) {
    clearTimeout(this.#watch);
    if (ws !== this.#ws) return;
    const give = () => { this.#end(1006, "no answer"); ws.close(); };
    this.#watch = setTimeout(() => {
      if (this.#live) ws.send('{"op":"ping"}');
      this.#watch = setTimeout(give, this.#o.timeout);
    }, this.#live ? this.#o.ping : 0);
  }

  #end(code, reason, closed = advice(code) === "stay") {
    const calls = this.#live || closed ? [...this.#calls.values()] : [];
    if (this.#live || closed) this.#calls.clear();
    for (const s of closed ? this.#subs.values() : []) calls.push(...s.asks);
    if (closed) this.#subs.clear();
    if (this.#since && Date.now() - this.#since > this.#o.maxDelay) this.#tries = 0;
    Object.assign(this, { up: false, hello: null });
    [this.#ws, this.#live, this.#since, this.#closed] = [null, false, 0, closed];
    [this.#watch, this.#timer, ...calls.map((c) => c.timer)].forEach(clearTimeout);
    calls.forEach((c) => c.reject(new GangwayError("closed", `closed: ${code} ${reason}`)));
    if (closed) return this.#tell("closed", { code, reason });
    const now = advice(code) === "now" && this.#tries === 0; // or it would spin
    const longest = Math.min(this.#o.maxDelay, this.#o.minDelay * 2 ** this.#tries++);
    const delay = now ? 0 : longest * (0.5 + Math.random() / 2);
    this.#timer = setTimeout(() => this.#dial(), delay);
    this.#tell("waiting", { code, reason, delay });
  }

  #tell(state, more) { this.#o.onstate?.({ state, up: this.up, ...more }); }

  #call(request, hold = 0) {
    const slow = this.#live && this.#ws.bufferedAmount > this.#o.maxBuffered;
    if (slow || (!this.#live && this.#calls.size >= hold))
      return Promise.reject(new GangwayError(slow ? "slow" : "offline"));
    const id = (this.#id = (this.#id % 0x7fffffff) + 1);
    const call = { text: JSON.stringify({ ...request, id }) };
    this.#calls.set(id, call);
    const give = () => this.#calls.delete(id) && call.reject(new GangwayError("offline"));
    if (this.#live) this.#ws.send(call.text);
    else call.timer = setTimeout(give, this.#o.holdFor);
    return new Promise((resolve, reject) => Object.assign(call, { resolve, reject }));
  }

  #sub(sub) {
    this.#call({ op: "sub", topic: sub.filter, ...sub.opts }).then(
      (ack) => sub.asks.splice(0).forEach((a) => a.resolve(ack)),
      (e) => {
        if (e.code === "closed" || this.#subs.get(sub.filter) !== sub) return; // again later
        this.#subs.delete(sub.filter);
        sub.asks.splice(0).forEach((a) => a.reject(e));
        sub.handles.forEach((h) => h.onerror?.(e));
      });
  }

  #drop(sub, handle) {
    if (!sub.handles.delete(handle) || sub.handles.size > 0) return;
    sub.asks.splice(0).forEach((a) => a.reject(new GangwayError("closed")));
    if (this.#subs.get(sub.filter) !== sub) return;
    this.#subs.delete(sub.filter);
    this.#call({ op: "unsub", topic: sub.filter }).catch(() => {});
  }

  #on({ op, b64, ...m }) {
    const call = this.#calls.get(m.id);
    this.#calls.delete(m.id);
    if (op === "ack") call?.resolve(m);
    if (op === "err") call?.reject(new GangwayError(m.code, m.msg));
    if (op === "hello") this.#open(m);
    if (op === "state") this.#tell("open", { up: (this.up = m.up) });
    if (op === "lost") this.#subs.get(m.topic)?.handles.forEach((h) => h.onlost?.(m));
    if (op !== "msg") return;
    if (b64 !== undefined) m.bytes = Uint8Array.from(atob(b64), (c) => c.charCodeAt(0));
    const heard = [...this.#subs.values()].filter((s) => matches(s.filter, m.topic));
    heard.forEach((s) => s.handles.forEach((h) => h.cb(m)));
  }

  #open(hello) {
    const held = [...this.#calls.values()];
    Object.assign(this, { hello, up: true });
    [this.#live, this.#since] = [true, Date.now()];
    if (this.#o.token) this.auth(this.#o.token).catch(() => {});
    for (const s of this.#subs.values()) this.#sub(s);
    held.forEach((call) => { clearTimeout(call.timer); this.#ws.send(call.text); });
    this.#tell("open");
  }
}
