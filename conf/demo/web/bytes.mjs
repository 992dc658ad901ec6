// SPDX-License-Identifier: Apache-2.0
// Bytes as people read them.

// "00000010  48 65 6c 6c 6f ...  Hello..." for the first `most` bytes.
export function hexDump(bytes, most = 256) {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, most); at += 16) {
    const row = bytes.subarray(at, Math.min(at + 16, most));
    const hex = Array.from(row, (b) => b.toString(16).padStart(2, "0"));
    const text = Array.from(row, (b) => (b > 31 && b < 127 ? String.fromCharCode(b) : "·"));
    const left = hex.slice(0, 8).join(" ").padEnd(23);
    const right = hex.slice(8).join(" ").padEnd(23);
    lines.push(`${at.toString(16).padStart(4, "0")}  ${left}  ${right}  ${text.join("")}`);
  }
  return lines.join("\n");
}

// "48 65:6c,0x6c" to bytes; null if that is not what it is.
export function fromHex(text) {
  const digits = text.replace(/0x|[\s:,-]/gi, "");
  if (digits.length % 2 || /[^0-9a-f]/i.test(digits)) return null;
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

// "1.5 MiB"
export function size(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return `${i && n < 100 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}
