// SPDX-License-Identifier: Apache-2.0
// MQTT.js against a broker behind a gateway: mqtt_js.mjs URL VERSION TCP-PORT
// One client over WebSocket, one over TCP. Prints what came to pass as JSON.
import mqtt from "mqtt";

const [url, version, port] = [process.argv[2], Number(process.argv[3]), process.argv[4]];
const told = { retained: [], wills: [] };
const options = {
  protocolVersion: version, protocolId: version === 3 ? "MQIsdp" : "MQTT",
  reconnectPeriod: 0, connectTimeout: 20_000,
};
const LARGE = Buffer.alloc(1 << 20, "large");

const web = await mqtt.connectAsync(url, { ...options, clientId: `web-${version}` });
const tcp = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { ...options, clientId: "tcp" });

// Until n messages have come to a client.
function hears(client, n, list) {
  return new Promise((done) => {
    client.on("message", (topic, payload, packet) => {
      list.push({ topic, size: payload.length, qos: packet.qos, retain: packet.retain,
        content: packet.properties?.contentType ?? null });
      if (list.length === n) done();
    });
  });
}

// Both ways, each QoS, small and large.
const down = [], up = [];
const all = [hears(web, 6, down), hears(tcp, 6, up)];
told.granted = (await web.subscribeAsync({ "to/web": { qos: 2 } })).map((g) => g.qos);
await tcp.subscribeAsync("to/tcp", { qos: 2 });
const properties = version === 5 ? { properties: { contentType: "a/b" } } : {};
for (const payload of ["small", LARGE]) {
  for (const qos of [0, 1, 2]) {
    await web.publishAsync("to/tcp", payload, { qos, ...properties });
    await tcp.publishAsync("to/web", payload, { qos, ...properties });
  }
}
await Promise.all(all);
Object.assign(told, { down, up });

// What was retained comes to a later subscriber.
await tcp.publishAsync("kept", "old", { qos: 1, retain: true });
web.removeAllListeners("message");
const kept = hears(web, 1, told.retained);
await web.subscribeAsync("kept", { qos: 1 });
await kept;

// A will is published when a client goes without a word, and not otherwise.
tcp.removeAllListeners("message");
const wills = hears(tcp, 2, told.wills);
await tcp.subscribeAsync("will/#", { qos: 1 });
for (const how of ["abrupt", "clean"]) {
  const dying = await mqtt.connectAsync(url, {
    ...options, clientId: how, will: { topic: `will/${how}`, payload: "gone", qos: 1 },
  });
  if (how === "abrupt") dying.stream.destroy();
  else await dying.endAsync();
}
await tcp.publishAsync("will/none", "last", { qos: 1 });
let late;
await Promise.race([wills, new Promise((done) => { late = setTimeout(done, 10_000); })]);
clearTimeout(late);

await web.endAsync();
await tcp.endAsync();
console.log(JSON.stringify(told));
