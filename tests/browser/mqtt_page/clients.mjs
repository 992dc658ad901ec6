// SPDX-License-Identifier: Apache-2.0
// What the tests do with MQTT libraries and with gangway.mjs in a browser. The
// functions resolve to something that can be written as JSON.
import { connect } from "./gangway.mjs";

// Libraries hide their sockets; this is how one is torn off.
const sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    sockets.push(this);
  }
};

const url = (path) => `ws://${location.host}${path}`;

function within(seconds, what, promise) {
  return Promise.race([
    promise,
    new Promise((_, reject) =>
      setTimeout(() => reject(new Error(`not within ${seconds} s: ${what}`)), seconds * 1000)),
  ]);
}

// A list that can be waited for.
class Heard extends Array {
  add(value) {
    this.push(value);
    this.more?.();
  }
  async count(n) {
    while (this.length < n) await new Promise((resolve) => (this.more = resolve));
    return [...this];
  }
}

// MQTT.js and Paho behind one face: publish, subscribe, tear, end, heard.
async function mqttJs(path, version, id, will) {
  const client = await mqtt.connectAsync(url(path), {
    protocolVersion: version, clientId: id, reconnectPeriod: 0, will,
  });
  const heard = new Heard();
  client.on("message", (topic, payload, { qos, retain }) =>
    heard.add([topic, payload.toString(), qos, retain]));
  const socket = sockets.at(-1);
  return {
    heard,
    publish: (topic, payload, qos, retain = false) =>
      client.publishAsync(topic, payload, { qos, retain }),
    subscribe: async (filter, qos) => (await client.subscribeAsync(filter, { qos }))[0].qos,
    tear: () => socket.close(),
    end: () => client.endAsync(),
  };
}

async function pahoJs(path, version, id, will) {
  const client = new Paho.Client(url(path), id);
  const heard = new Heard();
  const delivered = new Map(); // of a message: who waits
  client.onMessageArrived = (m) =>
    heard.add([m.destinationName, m.payloadString, m.qos, m.retained]);
  client.onMessageDelivered = (m) => delivered.get(m)?.();
  const message = (topic, payload, qos, retained = false) =>
    Object.assign(new Paho.Message(payload), { destinationName: topic, qos, retained });
  const promised = (call) =>
    new Promise((onSuccess, reject) =>
      call({ onSuccess, onFailure: (e) => reject(new Error(e.errorMessage)) }));
  await promised((how) => client.connect({
    mqttVersion: version, reconnect: false,
    ...(will && { willMessage: message(will.topic, will.payload, will.qos) }), ...how,
  }));
  const socket = sockets.at(-1);
  return {
    heard,
    publish: (topic, payload, qos, retain) => new Promise((resolve) => {
      const m = message(topic, payload, qos, retain);
      delivered.set(m, resolve);
      client.send(m);
    }),
    subscribe: async (filter, qos) =>
      (await promised((how) => client.subscribe(filter, { qos, ...how }))).grantedQos[0],
    tear: () => socket.close(),
    end: () => new Promise((resolve) => {
      client.onConnectionLost = resolve;
      client.disconnect();
    }),
  };
}

const libraries = { mqttJs, pahoJs };

// Each QoS, retained, wills; what was heard.
async function story(library, path, version, root) {
  const client = (id, will) => libraries[library](path, version, `${root}-${id}`, will);
  const told = {};
  const one = await client("one"), two = await client("two");
  told.granted = [await one.subscribe(`${root}/#`, 2), await two.subscribe(`${root}/none`, 1)];
  for (const qos of [0, 1, 2]) await two.publish(`${root}/q`, `q${qos}`, qos);
  await two.publish(`${root}/big`, "x".repeat(200_000), 1);
  await two.publish(`${root}/kept`, "kept", 1, true);
  told.heard = (await one.heard.count(5)).map(([topic, text, ...rest]) =>
    [topic, text.length > 100 ? text.length : text, ...rest]);
  await two.subscribe(`${root}/kept`, 1);
  told.retained = await two.heard.count(1);
  await two.publish(`${root}/kept`, "", 1, true);
  one.heard.length = 0;
  for (const how of ["tear", "end"]) {
    const dying = await client(how, { topic: `${root}/will`, payload: how, qos: 1 });
    await dying[how]();
  }
  await two.publish(`${root}/last`, "last", 1);
  while (!one.heard.some(([topic]) => topic.endsWith("/will"))
      || !one.heard.some(([topic]) => topic.endsWith("/last")))
    await one.heard.count(one.heard.length + 1);
  told.wills = one.heard.filter(([topic]) => topic.endsWith("/will"));
  await one.end();
  await two.end();
  return told;
}

// gangway.mjs: a bus that stays, and what it has told.
let bus;
const states = [], messages = [], errors = [];

async function open(path, filter) {
  states.length = messages.length = errors.length = 0;
  bus = connect(url(path), {
    minDelay: 50, maxDelay: 500,
    onstate: ({ state, up }) => states.push([state, up]),
  });
  const handle = bus.subscribe(filter, (m) => messages.push(m), {
    qos: 1, onerror: (e) => errors.push(e.code),
  });
  return handle.ready;
}

Object.assign(window, {
  story: (...args) => within(20, "the story", story(...args)),
  open: (...args) => within(10, "open", open(...args)),
  publish: (topic, value, opts) => within(15, "publish", bus.publish(topic, value, opts)),
  failing: (topic, value) =>
    within(15, "publish", bus.publish(topic, value).then(() => null, (e) => e.code)),
  told: () => ({ states, messages, errors, up: bus.up }),
  up: () => bus.up,
  has: (data) => messages.some((m) => m.data === data || m.text === data),
  end: () => bus.close(),
});
