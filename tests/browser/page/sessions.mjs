// SPDX-License-Identifier: Apache-2.0
// What the tests do with the browser's own WebSocket. Each function resolves
// to something that can be written as JSON.

function connect(path, protocols = []) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const ws = new WebSocket(`${scheme}://${location.host}${path}`, protocols);
  ws.binaryType = "arraybuffer";
  return ws;
}

const event = (ws, name) =>
  new Promise((resolve, reject) => {
    ws.addEventListener(name, resolve, { once: true });
    ws.addEventListener(
      "close",
      (e) => (name === "close" ? resolve(e) : reject(new Error(`closed with ${e.code}`))),
      { once: true },
    );
  });

async function opened(path, protocols) {
  const ws = connect(path, protocols);
  await event(ws, "open");
  return ws;
}

// Text with characters of one to four bytes, `bytes` of them in UTF-8.
function someText(bytes) {
  const unit = "aé€😀"; // 10 bytes
  return unit.repeat(Math.floor(bytes / 10)) + "z".repeat(bytes % 10);
}

// Bytes that tell their place, from `start` on.
function someBytes(n, start = 0) {
  const bytes = new Uint8Array(n);
  for (let i = 0; i < n; i++) bytes[i] = ((start + i) * 2654435761) >>> 24;
  return bytes;
}

function same(a, b) {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

// A message there and back. kind: text, blob, arraybuffer or view, which is
// how it is sent; binaryType: how it is to come.
export async function roundTrip(path, kind, bytes, binaryType = "arraybuffer") {
  const ws = await opened(path);
  ws.binaryType = binaryType;
  const text = someText(bytes);
  const binary = someBytes(bytes);
  const padded = new Uint8Array(bytes + 20); // a view into something larger
  padded.set(binary, 10);
  ws.send(
    {
      text,
      blob: new Blob([binary]),
      arraybuffer: binary.buffer,
      view: padded.subarray(10, 10 + bytes),
    }[kind],
  );
  const { data } = await event(ws, "message");
  ws.close(1000);
  const { code, wasClean } = await event(ws, "close");
  const back = data instanceof Blob ? await data.arrayBuffer() : data;
  return {
    type: typeof data === "string" ? "text" : data.constructor.name,
    same: kind === "text" ? data === text : same(new Uint8Array(back), binary),
    code,
    wasClean,
  };
}

// What was agreed on.
export async function negotiated(path, protocols) {
  const ws = await opened(path, protocols);
  const { protocol, extensions, url } = ws;
  ws.close();
  await event(ws, "close");
  return { protocol, extensions, secure: url.startsWith("wss:") };
}

// Send these messages ({"bytes": n} is a binary one), then close with these
// arguments, or wait for the other side. Tells all that was seen.
export function story(path, { protocols, send = [], close } = {}) {
  return new Promise((resolve) => {
    const seen = { opened: false, error: false, messages: [] };
    const ws = connect(path, protocols);
    ws.onopen = () => {
      seen.opened = true;
      for (const m of send) ws.send(typeof m === "string" ? m : someBytes(m.bytes));
      if (close) ws.close(...close);
    };
    ws.onmessage = ({ data }) =>
      seen.messages.push(typeof data === "string" ? data : new TextDecoder("latin1").decode(data));
    ws.onerror = () => (seen.error = true);
    ws.onclose = ({ code, reason, wasClean }) => resolve({ ...seen, code, reason, wasClean });
  });
}

// `total` bytes through an echoing stream, as fast as it takes them.
export async function flood(path, total) {
  const ws = await opened(path);
  const piece = 65536;
  let sent = 0;
  let received = 0;
  let good = true;
  const all = new Promise((resolve, reject) => {
    ws.onclose = ({ code }) => reject(new Error(`closed with ${code} after ${received} bytes`));
    ws.onmessage = ({ data }) => {
      const bytes = new Uint8Array(data);
      good &&= same(bytes, someBytes(bytes.length, received));
      received += bytes.length;
      if (received >= total) resolve();
    };
  });
  const some = () => {
    while (sent < total && ws.bufferedAmount < 8 * piece) {
      const n = Math.min(piece, total - sent);
      ws.send(someBytes(n, sent));
      sent += n;
    }
    if (sent < total) setTimeout(some, 1);
  };
  some();
  await all;
  ws.onclose = null;
  ws.close(1000);
  const { code } = await event(ws, "close");
  return { good, received, code };
}

// So many sessions at once, all of them open before the first message.
export async function crowd(path, n) {
  const all = await Promise.all(Array.from({ length: n }, () => opened(path)));
  const answers = await Promise.all(
    all.map((ws, i) => {
      const heard = event(ws, "message");
      ws.send(`session ${i}`);
      return heard;
    }),
  );
  const right = answers.filter(({ data }, i) => data === `session ${i}`).length;
  const codes = await Promise.all(
    all.map(async (ws) => {
      ws.close(1000);
      return (await event(ws, "close")).code;
    }),
  );
  return { right, closed: codes.filter((code) => code === 1000).length };
}

// A session that stays, for tests that look at it later.
export async function keep(path) {
  window.kept = await opened(path);
  window.ending = event(window.kept, "close").then(({ code, reason, wasClean }) => ({
    code,
    reason,
    wasClean,
  }));
}

export async function ask(text) {
  const heard = event(window.kept, "message");
  window.kept.send(text);
  return (await heard).data;
}

Object.assign(window, { roundTrip, negotiated, story, flood, crowd, keep, ask });
