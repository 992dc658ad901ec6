// SPDX-License-Identifier: Apache-2.0
// The demo page: one session at a time, everything about it shown.
import { fromHex, hexDump, size } from "./bytes.mjs";
import { CODES, meaningOf, nameOf } from "./codes.mjs";
import { $, clock, element, socketUrl } from "./page.mjs";
import { PLACES } from "./places.mjs";

const SHOWN_MAX = 400; // messages and log lines that stay on the page
const DRAWN_MAX = 25; // messages, and
const DRAWN_BYTES = 16 << 10; // bytes of them, drawn with one frame of the screen
const TEXT_MAX = 2000; // characters shown of one message
const BUFFER_MAX = 4 << 20; // that the browser may hold while streaming
const PIECE = 64 << 10;
const SAMPLE_MS = 500;
const SAMPLES = 120;

const encoder = new TextEncoder();
let place = PLACES[0]; // that is chosen
let describe; // what the open session's place says of bytes, if anything

// ---- a list that follows its end -------------------------------------------

// Adds to the end of a scrolling list, and stays there if it was there.
function append(list, items) {
  const box = list.parentElement;
  const following = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  list.append(...items);
  while (list.children.length > SHOWN_MAX) list.firstElementChild.remove();
  if (following) box.scrollTop = box.scrollHeight;
}

// ---- messages --------------------------------------------------------------

// What is to be shown with the next frame of the screen. A flood is counted,
// not drawn.
let waiting = { items: [], bytes: 0 };
let skipped = { messages: 0, bytes: 0 };
let summary = null; // the list's last item, when it counts a flood
let drawing = 0;

function drawn(way, data) {
  const item = element("li", way);
  const text = typeof data === "string";
  const bytes = text ? encoder.encode(data) : data;
  const head = element("p", "meta");
  head.append(
    element("span", "arrow", way === "out" ? "sent" : "received"),
    element("span", "kind", text ? "text" : "binary"),
    element("span", "", `${bytes.length} B`),
    element("time", "", clock()),
  );
  item.append(head);
  if (!text && describe) item.append(element("p", "text", describe(bytes).slice(0, TEXT_MAX)));
  if (text) item.append(element("p", "text", data.slice(0, TEXT_MAX)));
  if (!text || $("as-hex").checked) {
    const dump = element("pre", "hex", hexDump(bytes));
    dump.setAttribute("aria-label", "hex view");
    item.append(dump);
  }
  const hidden = text ? data.length - TEXT_MAX : bytes.length - 256;
  if (hidden > 0) item.append(element("p", "more", `and ${hidden} more ${text ? "characters" : "bytes"}`));
  return item;
}

function summed({ messages, bytes }) {
  return `${messages} further messages, ${size(bytes)}, counted but not drawn`;
}

function draw() {
  cancelAnimationFrame(drawing);
  drawing = 0;
  const flood = skipped.messages > 0;
  if (flood && summary) {
    summary.flood.messages += skipped.messages + waiting.items.length;
    summary.flood.bytes += skipped.bytes + waiting.bytes;
    summary.item.textContent = summed(summary.flood);
  } else if (flood || waiting.items.length > 0) {
    const items = waiting.items.map(([way, data]) => drawn(way, data));
    summary = flood ? { item: element("li", "event", summed(skipped)), flood: skipped } : null;
    append($("messages"), summary ? [...items, summary.item] : items);
  }
  waiting = { items: [], bytes: 0 };
  skipped = { messages: 0, bytes: 0 };
}

function show(way, data) {
  const first = waiting.items.length === 0;
  if (first || (waiting.items.length < DRAWN_MAX && waiting.bytes + data.length < DRAWN_BYTES)) {
    waiting.items.push([way, data]);
    waiting.bytes += data.length;
  } else {
    skipped.messages++;
    skipped.bytes += data.length;
  }
  drawing ||= requestAnimationFrame(draw);
}

function tell(text) {
  draw();
  summary = null;
  append($("messages"), [element("li", "event", `${clock()} ${text}`)]);
}

// ---- throughput ------------------------------------------------------------

const WAYS = ["out", "in"];
const total = { out: { messages: 0, bytes: 0 }, in: { messages: 0, bytes: 0 } };
const rates = { out: [], in: [], best: { out: 0, in: 0 } };
let sampled = { out: 0, in: 0, at: 0 };
let sampling = 0;

function count(way, bytes) {
  total[way].messages++;
  total[way].bytes += bytes;
}

function sample() {
  const now = performance.now();
  const seconds = (now - sampled.at) / 1000;
  for (const way of WAYS) {
    const rate = (total[way].bytes - sampled[way]) / seconds;
    rates[way].push(rate);
    if (rates[way].length > SAMPLES) rates[way].shift();
    rates.best[way] = Math.max(rates.best[way], rate);
    sampled[way] = total[way].bytes;
    $(`${way}-messages`).textContent = total[way].messages.toLocaleString("en");
    $(`${way}-bytes`).textContent = total[way].bytes.toLocaleString("en");
    $(`${way}-rate`).textContent = size(rate);
    $(`${way}-best`).textContent = size(rates.best[way]);
  }
  sampled.at = now;
  const top = Math.max(1, ...rates.out, ...rates.in);
  for (const way of WAYS) {
    const first = SAMPLES - rates[way].length;
    const points = rates[way].map((r, i) => `${first + i},${(38 - (36 * r) / top).toFixed(1)}`);
    $(`graph-${way}`).setAttribute("points", points.join(" "));
  }
}

// Only while there is something to measure.
function sampleWhile(open) {
  clearInterval(sampling);
  if (open) {
    Object.assign(sampled, { out: total.out.bytes, in: total.in.bytes, at: performance.now() });
    sampling = setInterval(sample, SAMPLE_MS);
  } else if (sampled.at) {
    sample();
  }
}

// ---- the operator's log ----------------------------------------------------

const LINE = /^(\S+Z) (\w+) (\S+)(.*)$/;
const FIELD = /(\w+)=("(?:\\.|[^"\\])*"|\S*)/g;
let lastRefusal = null; // the newest line of the log that refused a request
let onRefusal = null;

function logItem(line) {
  const parts = LINE.exec(line);
  if (!parts) return element("li", "", line);
  const [, at, severity, event, rest] = parts;
  const item = element("li", `${severity} ${event}`);
  item.append(element("time", "", clock(new Date(at))), element("b", "", event));
  for (const [, key, value] of rest.matchAll(FIELD)) {
    if (value === '""') continue;
    const field = element("span", `field ${key}`);
    field.append(element("i", "", key), value.replace(/^"(.*)"$/, "$1"));
    item.append(field);
  }
  if (rest.includes("route=/log ")) item.classList.add("own");
  return item;
}

function watchLog() {
  const ws = new WebSocket(socketUrl("/log"));
  ws.onmessage = ({ data }) => {
    $("log-empty").hidden = true;
    append($("log"), [logItem(data)]);
    if (/ (session|request)-refused /.test(data)) {
      lastRefusal = { line: data, at: performance.now() };
      onRefusal?.();
    }
  };
  ws.onclose = () => {
    watchLog.over = true;
    append($("log"), [element("li", "own", "The log has ended. It goes on with the next session.")]);
  };
  watchLog.over = false;
}

// ---- the end ---------------------------------------------------------------

function showEnd(event, opened, began) {
  const box = $("end");
  const title = element("p", "code");
  title.append(element("strong", "", String(event.code)), ` ${nameOf(event.code)}`);
  const parts = [title, element("p", "", meaningOf(event.code))];
  if (event.reason) parts.push(element("p", "reason", `Reason: ${event.reason}`));
  if (!opened) {
    parts.push(element("p", "", "The handshake failed. Browsers hide the HTTP status from pages; the operator is told:"));
    const line = element("p", "told", "…");
    parts.push(line);
    // The log's line may come before or after the browser's word.
    onRefusal = () => {
      if (!lastRefusal || lastRefusal.at < began) return;
      const status = /status=(\d+)/.exec(lastRefusal.line)?.[1];
      const why = /why=("[^"]*"|\S+)/.exec(lastRefusal.line)?.[1];
      line.textContent = `${status} ${(why ?? "").replace(/"/g, "")}`;
    };
    onRefusal();
  } else {
    parts.push(element("p", "note", event.wasClean ? "Both sides sent a Close frame." : "Not a clean end."));
  }
  box.replaceChildren(...parts);
  box.dataset.code = event.code;
}

function showCodes() {
  $("all-codes").append(
    ...Array.from(CODES, ([code, [name, meaning]]) => {
      const row = element("tr");
      const what = element("td");
      what.append(element("b", "", name), ` ${meaning}`);
      row.append(element("th", "", String(code)), what);
      row.firstChild.scope = "row";
      return row;
    }),
  );
}

// ---- the session -----------------------------------------------------------

let ws = null;

function setState(state, text) {
  $("state").dataset.state = state;
  $("way").dataset.state = state;
  $("state-text").textContent = text;
  $("sender").disabled = $("closer").disabled = state !== "open";
  $("open").disabled = state === "opening" || state === "closing";
  $("open").textContent = state === "open" ? "Open anew" : "Open";
}

function opened(socket, url) {
  setState("open", `Open: ${url}`);
  tell(`open: ${url}`);
  sampleWhile(true);
  $("message").focus({ preventScroll: true });
}

function received({ data }) {
  const content = typeof data === "string" ? data : new Uint8Array(data);
  count("in", typeof data === "string" ? encoder.encode(data).length : content.length);
  show("in", content);
}

function open(url) {
  let socket;
  const began = performance.now();
  let wasOpen = false;

  onRefusal = null;
  ws?.close(1000, "opened anew");
  try {
    socket = new WebSocket(url, place.protocols ?? []);
  } catch (e) {
    setState("closed", e.message);
    return;
  }
  if (watchLog.over) watchLog();
  ws = socket;
  describe = place.describe;
  socket.binaryType = "arraybuffer";
  setState("opening", `Opening ${url}`);
  socket.onopen = () => {
    wasOpen = true;
    if (ws === socket) opened(socket, url);
  };
  socket.onmessage = (event) => ws === socket && received(event);
  socket.onclose = (event) => {
    if (ws !== socket) return; // another has taken its place
    ws = null;
    tell(`closed: ${event.code} ${nameOf(event.code)}`);
    setState("closed", `Closed with ${event.code}: ${nameOf(event.code)}.`);
    sampleWhile(false);
    showEnd(event, wasOpen, began);
  };
}

function send(data) {
  if (ws?.readyState !== WebSocket.OPEN) return;
  ws.send(data);
  count("out", typeof data === "string" ? encoder.encode(data).length : data.length);
  show("out", data);
}

// As much as the browser takes: its buffer is never let grow.
function stream(bytes) {
  const socket = ws;
  const piece = new Uint8Array(PIECE).map((_, i) => i);
  let left = bytes;

  function more() {
    while (left > 0 && socket.bufferedAmount < BUFFER_MAX) {
      if (socket.readyState !== WebSocket.OPEN) return;
      const part = piece.subarray(0, Math.min(left, PIECE));
      socket.send(part);
      count("out", part.length);
      left -= part.length;
    }
    if (left > 0) setTimeout(more, 2);
    else tell(`${size(bytes)} handed to the browser in messages of ${size(PIECE)}`);
  }
  more();
}

// ---- controls --------------------------------------------------------------

function quickButton({ name, text, make, stream: bytes }) {
  const button = element("button", "", name);
  button.type = "button";
  button.onclick = () => {
    if (bytes) stream(bytes);
    else if (make) send(make());
    else send($("newline").checked ? `${text}\n` : text);
  };
  return button;
}

function choose(chosen) {
  place = chosen;
  $("url").value = socketUrl(place.path);
  $("way-end").textContent = place.end;
  $("newline").checked = Boolean(place.newline);
  $("quick").replaceChildren(...(place.quick ?? []).map(quickButton));
}

function showPlaces() {
  $("places").append(
    ...PLACES.map((p, i) => {
      const label = element("label", "place");
      const input = element("input");
      Object.assign(input, { type: "radio", name: "place", value: p.path, checked: i === 0 });
      input.onchange = () => choose(p);
      const text = element("span");
      text.append(element("b", "", p.name), element("code", "", p.path), element("small", "", p.about));
      label.append(input, text);
      return label;
    }),
  );
}

const past = []; // what was sent before, for the arrow keys
let recalled = 0;

function recall(event) {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!step || past.length === 0) return;
  event.preventDefault();
  recalled = Math.max(0, Math.min(past.length, recalled + step));
  $("message").value = past[recalled] ?? "";
}

function submitMessage(event) {
  event.preventDefault();
  const input = $("message");
  const kind = new FormData($("send-form")).get("kind");
  const data = kind === "hex" ? fromHex(input.value) : input.value + ($("newline").checked ? "\n" : "");
  if (data === null) {
    $("message-note").textContent = "That is not hex: write pairs of digits, such as 48 65 6c 6c 6f.";
    return;
  }
  $("message-note").textContent = "";
  if (past.at(-1) !== input.value) past.push(input.value);
  recalled = past.length;
  input.value = "";
  send(data);
}

function submitClose(event) {
  event.preventDefault();
  try {
    ws.close(Number($("code").value), $("reason").value);
    $("close-note").textContent = "";
    setState("closing", "Closing: waiting for the other side's Close frame.");
  } catch (e) {
    // Pages may send 1000 and 3000 to 4999; the browser words it.
    $("close-note").textContent = e.message;
  }
}

function start() {
  showPlaces();
  showCodes();
  choose(PLACES[0]);
  $("open-form").onsubmit = (event) => {
    event.preventDefault();
    open($("url").value.trim());
  };
  $("send-form").onsubmit = submitMessage;
  $("close-form").onsubmit = submitClose;
  $("message").onkeydown = recall;
  $("clear").onclick = () => {
    $("messages").replaceChildren();
    summary = null;
  };
  setState("closed", "Not connected.");
  watchLog();
}

start();
