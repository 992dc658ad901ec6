// SPDX-License-Identifier: Apache-2.0
// What all parts of the page use.

export const $ = (id) => document.getElementById(id);

export function element(name, className, text) {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

export function socketUrl(path) {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
}

export function clock(date = new Date()) {
  return date.toTimeString().slice(0, 8);
}
