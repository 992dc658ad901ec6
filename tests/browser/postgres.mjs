// SPDX-License-Identifier: Apache-2.0
// A browser's PostgreSQL driver: postgres.mjs GATEWAY ADDRESS USER PASSWORD
// GATEWAY is ws://HOST:PORT or wss://HOST:PORT; ADDRESS is the database's.
// Prints as JSON what it found.
import { Client, Pool, neonConfig } from "@neondatabase/serverless";
import WebSocket from "ws";

const [gateway, address, user, password] = process.argv.slice(2);
const { host: proxy, protocol } = new URL(gateway);
const [host, port] = address.split(":");
const database = { host, port: Number(port), user, password, database: "postgres" };
const told = { closes: [] };
const ended = []; // for each session, a promise of when

// How each of its sessions ends.
class Watched extends WebSocket {
  constructor(...args) {
    super(...args);
    ended.push(
      new Promise((resolve) => {
        this.on("close", (code) => {
          told.closes.push(code);
          resolve(performance.now());
        });
      }),
    );
  }
}

neonConfig.webSocketConstructor = Watched;
neonConfig.wsProxy = (h, p) => `${proxy}/v1?address=${h}:${p}`;
neonConfig.useSecureWebSocket = protocol === "wss:";
neonConfig.pipelineConnect = false; // the server asks for SCRAM

try {
  const client = new Client(database);
  await client.connect();
  const { rows } = await client.query("select $1::int + 1 as sum, $2::text as text", [41, "grüß 😀"]);
  told.row = rows[0];
  const large = await client.query("select repeat('x', 100) || n as t from generate_series(1, 20000) n");
  told.rows = large.rows.length;
  told.last = large.rows.at(-1).t;
  const blob = Buffer.alloc(1 << 20, "\x00\xff\x80\x5a", "latin1");
  const back = await client.query("select $1::bytea as b", [blob]);
  told.blob = Buffer.compare(back.rows[0].b, blob) === 0;
  told.error = await client.query("select 1/0").catch((e) => e.code);
  const began = performance.now();
  await client.end();
  told.end_ms = performance.now() - began;
  told.closed_ms = (await ended[0]) - began;

  const pool = new Pool({ ...database, max: 4 });
  const sums = await Promise.all(
    [1, 2, 3, 4].map((n) => pool.query("select pg_sleep(0.05), $1::int * 10 as n", [n])),
  );
  told.pool = sums.map((r) => r.rows[0].n);
  await pool.end();
  await Promise.all(ended);
} catch (e) {
  told.failed = e.message || String(e.type ?? e);
}
console.log(JSON.stringify(told));
