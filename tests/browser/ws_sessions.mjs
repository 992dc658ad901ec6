// SPDX-License-Identifier: Apache-2.0
// Node's most used WebSocket client: ws_sessions.mjs URL
// /echo echoes messages; /end sends "bye" and ends. Prints what came of each
// check: true, or what was seen instead.
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { isDeepStrictEqual } from "node:util";
import WebSocket from "ws";

const base = process.argv[2];

async function opened(path, protocols, options) {
  const ws = new WebSocket(base + path, protocols, options);
  await once(ws, "open");
  return ws;
}

async function thereAndBack(ws, data) {
  ws.send(data);
  const [back, isBinary] = await once(ws, "message");
  return isBinary === (typeof data !== "string") && Buffer.from(data).equals(back);
}

const checks = {
  async messages() {
    const ws = await opened("/echo");
    const results = [];
    for (const n of [0, 1, 125, 126, 65535, 65536, 1 << 20])
      results.push(
        await thereAndBack(ws, "é".repeat(n / 2) + "x".repeat(n % 2)),
        await thereAndBack(ws, randomBytes(n)),
      );
    ws.close(1000);
    return results.every(Boolean) || results;
  },

  async fragments() {
    const ws = await opened("/echo");
    ws.send("gr", { fin: false });
    ws.ping("amid");
    ws.send(Buffer.from([0xc3]), { fin: false }); // half of a character
    const [pong] = await once(ws, "pong");
    ws.send(Buffer.from([0xbc]), { fin: false });
    ws.send("", { fin: true });
    const [back, isBinary] = await once(ws, "message");
    ws.close(1000);
    const seen = [pong.toString(), back.toString(), isBinary];
    return isDeepStrictEqual(seen, ["amid", "grü", false]) || seen;
  },

  async pings() {
    const ws = await opened("/echo");
    const seen = [];
    for (const payload of ["", "x", "y".repeat(125)]) {
      ws.ping(payload);
      seen.push((await once(ws, "pong"))[0].toString() === payload);
    }
    ws.close(1000);
    return seen.every(Boolean) || seen;
  },

  // Its masking can be left out, which is for servers to refuse.
  async unmasked() {
    const ws = await opened("/echo");
    ws.send("naked", { mask: false });
    const [code] = await once(ws, "close");
    return code === 1002 || code;
  },

  async closeCodes() {
    const seen = {};
    for (const code of [undefined, 1000, 1001, 1003, 1007, 1011, 3000, 4999]) {
      const ws = await opened("/echo");
      ws.close(code, code && "because");
      seen[code ?? 1005] = (await once(ws, "close"))[0];
    }
    return Object.entries(seen).every(([sent, got]) => Number(sent) === got) || seen;
  },

  async serverClose() {
    const ws = new WebSocket(base + "/end");
    const heard = []; // from the first: it may come along with the 101
    ws.on("message", (data, isBinary) => heard.push(data.toString(), isBinary));
    const [code, reason] = await once(ws, "close");
    const seen = [...heard, code, reason.toString()];
    return isDeepStrictEqual(seen, ["bye", true, 1000, ""]) || seen;
  },

  // It leaves at once if it did not offer what it is answered, or if it
  // offered and is not answered.
  async subprotocols() {
    const seen = [];
    for (const offer of [[], ["mqtt"], ["v12.stomp", "v11.stomp"]]) {
      const ws = await opened("/echo", offer);
      seen.push(ws.protocol);
      ws.close();
    }
    return isDeepStrictEqual(seen, ["", "mqtt", "v12.stomp"]) || seen;
  },

  async compressionIsOfferedInVain() {
    const ws = await opened("/echo", [], { perMessageDeflate: true });
    const same = await thereAndBack(ws, "z".repeat(100_000));
    const { extensions } = ws;
    ws.close();
    return (same && extensions === "") || { same, extensions };
  },

  async noRoute() {
    const ws = new WebSocket(`${base}/nowhere`);
    const [, response] = await once(ws, "unexpected-response");
    response.resume();
    ws.on("error", () => {}); // that it was never open
    ws.terminate();
    return response.statusCode === 404 || response.statusCode;
  },
};

const told = {};
for (const [name, check] of Object.entries(checks))
  told[name] = await check().catch((e) => e.stack ?? String(e));
console.log(JSON.stringify(told));
