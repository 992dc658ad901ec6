// SPDX-License-Identifier: Apache-2.0
// Node's most used WebSocket client against an echo: ws_client.mjs URL BYTES
// Prints what came back as JSON.
import { createHash } from "node:crypto";
import WebSocket from "ws";

const [url, total] = [process.argv[2], Number(process.argv[3])];
const PIECE = Buffer.alloc(60_000, 0x5a);
const sent = createHash("sha256");
const received = createHash("sha256");
const told = { bytes: 0 };
let left = total;

const ws = new WebSocket(url, { perMessageDeflate: true });

function next() {
  const piece = PIECE.subarray(0, Math.min(left, PIECE.length));
  left -= piece.length;
  sent.update(piece);
  ws.send(piece, { binary: true });
}

ws.on("open", () => ws.ping("hello"));
ws.on("pong", (data) => {
  told.pong = data.toString();
  next();
});
ws.on("message", (data) => {
  received.update(data);
  told.bytes += data.length;
  if (told.bytes === total) ws.close(1000, "done");
  else if (told.bytes === total - left) next();
});
ws.on("close", (code) => {
  told.close = code;
  told.sent = sent.digest("hex");
  told.received = received.digest("hex");
  console.log(JSON.stringify(told));
});
ws.on("error", (e) => {
  console.error(e.message);
  process.exitCode = 1;
});
