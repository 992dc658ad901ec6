// SPDX-License-Identifier: Apache-2.0
// Where the page can go, as demo.yaml says, and what to say there.
import * as mqtt from "./mqtt.mjs";

function random(n) {
  const bytes = new Uint8Array(n);
  for (let at = 0; at < n; at += 65536) // the most that one call gives
    crypto.getRandomValues(bytes.subarray(at, at + 65536));
  return bytes;
}

const COMMANDS = ["help", "time", "tick 10", "say hello", "bytes 300", "flood 64", "quit", "crash"];

export const PLACES = [
  {
    path: "/tcp",
    name: "TCP service",
    about: "Bytes go through as they are, whatever messages they came in.",
    end: "a TCP service",
    newline: true,
    quick: COMMANDS.map((text) => ({ name: text, text })),
  },
  {
    path: "/lines",
    name: "By lines",
    about: "The same, mode=line: one text message is one line, both ways.",
    end: "a TCP service, by lines",
    quick: COMMANDS.filter((c) => !/bytes|flood/.test(c)).map((text) => ({ name: text, text })),
  },
  {
    path: "/echo",
    name: "Echo",
    about: "Every message comes back, type and boundaries kept.",
    end: "gangway's own echo",
    quick: [
      { name: "hello", text: "hello, wörld 👋" },
      { name: "empty", text: "" },
      { name: "48 random bytes", make: () => random(48) },
      { name: "1 MiB", make: () => random(1 << 20) },
      { name: "64 MiB and back", stream: 64 << 20 },
    ],
  },
  {
    path: "/mqtt",
    name: "MQTT packets",
    about: "For MQTT.js and its like: a broker, each packet held against the route's rules.",
    end: "an MQTT broker",
    protocols: ["mqtt"],
    describe: mqtt.describe,
    quick: [
      { name: "CONNECT", make: () => mqtt.connect() },
      { name: "SUBSCRIBE demo/#", make: () => mqtt.subscribe("demo/#") },
      { name: "PUBLISH demo/lamp/1", make: () => mqtt.publish("demo/lamp/1", '{"on":true}', true) },
      { name: "PINGREQ", make: mqtt.ping },
      { name: "SUBSCRIBE #, not allowed", make: () => mqtt.subscribe("#") },
      { name: "DISCONNECT", make: mqtt.disconnect },
    ],
  },
  {
    path: "/feed/kitchen",
    name: "A topic, raw",
    about: "One message is one payload of demo/feed/kitchen; the last one is kept.",
    end: "topics",
    quick: [
      { name: "dinner is ready", text: "dinner is ready" },
      { name: "a picture", make: () => random(48) },
    ],
  },
  {
    path: "/refused",
    name: "Nobody there",
    about: "The service is down: gangway answers 502, the page is told 1006.",
    end: "nobody",
  },
  {
    path: "/nowhere",
    name: "No such route",
    about: "404 for the operator; the page is told 1006 again.",
    end: "nowhere",
  },
];
