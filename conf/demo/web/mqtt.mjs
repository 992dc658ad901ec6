// SPDX-License-Identifier: Apache-2.0
// Enough of MQTT 3.1.1 to write a few packets by hand and to name those that
// come. Programs take a library; this one shows what a library says.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const NAMES = [
  "", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
  "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
];

// A string with its length before it, section 1.5.3.
function string(text) {
  const bytes = encoder.encode(text);
  return [bytes.length >> 8, bytes.length & 255, ...bytes];
}

// The first byte, the length of the rest in groups of seven bits, the rest.
function packet(first, ...rest) {
  const length = [];
  let n = rest.length;
  do {
    length.push((n & 127) | (n > 127 ? 128 : 0));
    n >>= 7;
  } while (n > 0);
  return Uint8Array.of(first, ...length, ...rest);
}

const CLEAN = 2;
const KEEPALIVE_S = 0; // the browser's pings do; gangway makes it 300 s

export function connect(id = `demo-${crypto.getRandomValues(new Uint32Array(1))[0]}`) {
  return packet(0x10, ...string("MQTT"), 4, CLEAN, 0, KEEPALIVE_S, ...string(id));
}

export const subscribe = (filter) => packet(0x82, 0, 1, ...string(filter), 0);

export const publish = (topic, text, retain = false) =>
  packet(retain ? 0x31 : 0x30, ...string(topic), ...encoder.encode(text));

export const ping = () => packet(0xc0);
export const disconnect = () => packet(0xe0);

// "SUBACK", "PUBLISH demo/a: hello", one for each packet in a message.
export function describe(bytes) {
  const told = [];
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at++];
    let length = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = bytes[at++];
      length |= (byte & 127) << shift;
      if (!(byte & 128)) break;
    }
    told.push(named(first, bytes.subarray(at, at + length)));
    at += length;
  }
  return told.join(", ");
}

function named(first, rest) {
  const name = NAMES[first >> 4];
  if (name !== "PUBLISH") return name;
  const end = 2 + ((rest[0] << 8) | rest[1]);
  const payload = rest.subarray(end + (first & 6 ? 2 : 0)); // with QoS an id
  const retained = first & 1 ? ", retained" : "";
  return `PUBLISH ${decoder.decode(rest.subarray(2, end))}${retained}: ${decoder.decode(payload)}`;
}
