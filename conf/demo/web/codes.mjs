// SPDX-License-Identifier: Apache-2.0
// Close codes: their names (RFC 6455 section 7.4.1 and the registry that it
// began), and when a session through gangway ends with them.

export const CODES = new Map([
  [1000, ["Normal closure", "One side was done: the service hung up, or this page closed the session."]],
  [1001, ["Going away", "gangway is stopping, or the session was idle for timeouts.idle; or a page was left."]],
  [1002, ["Protocol error", "The client broke the rules of WebSocket."]],
  [1003, ["Unsupported data", "A type of message that is not taken: binary for a service that is given base64."]],
  [1005, ["No code", "The Close frame came without one. Never sent."]],
  [1006, ["Abnormal closure", "No Close frame came at all. Never sent: the browser says so by itself."]],
  [1007, ["Invalid payload", "Text that is not UTF-8, or a message that cannot be decoded."]],
  [1008, ["Policy violation", "Not allowed: too many pings, too many fragments."]],
  [1009, ["Message too big", "Larger than max_message, where whole messages are taken."]],
  [1010, ["Mandatory extension", "The client insists on an extension that the server lacks."]],
  [1011, ["Internal error", "The service's connection broke, or it took nothing for timeouts.write_stall."]],
  [1012, ["Service restart", "Registered for servers that restart; gangway sends 1001."]],
  [1013, ["Try again later", "Overload."]],
  [1014, ["Bad gateway", "Registered for gateways; gangway refuses with an HTTP status before the session begins."]],
  [1015, ["TLS failure", "Never sent: the browser's word for a failed TLS handshake."]],
]);

export function nameOf(code) {
  if (CODES.has(code)) return CODES.get(code)[0];
  if (code >= 3000 && code < 4000) return "Registered by a library";
  if (code >= 4000 && code < 5000) return "The application's own";
  return "Unknown";
}

export function meaningOf(code) {
  if (CODES.has(code)) return CODES.get(code)[1];
  if (code >= 3000 && code < 5000) return "gangway echoes it, and its log tells the number.";
  return "No meaning is defined.";
}
