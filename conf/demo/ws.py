#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Talk to a WebSocket from the command line; needs nothing but Python.

    ws.py URL [TEXT...]     send each TEXT as a message, print what comes

Ends with 1000 when nothing has come for a second (--wait), and prints the
close code. A refused handshake is printed as the server words it.
"""

import argparse
import base64
import os
import socket
import ssl
import struct
import sys
import urllib.parse

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def connect(url, ca, wait):
    at = urllib.parse.urlsplit(url)
    secure = at.scheme == "wss"
    sock = socket.create_connection((at.hostname, at.port or (443 if secure else 80)), 10)
    if secure:
        sock = ssl.create_default_context(cafile=ca).wrap_socket(
            sock, server_hostname=at.hostname
        )
    sock.settimeout(10)
    path = (at.path or "/") + (f"?{at.query}" if at.query else "")
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {at.netloc}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    stream = sock.makefile("rb")
    status = stream.readline().decode().strip()
    while stream.readline().strip():
        pass
    if status.split()[1] != "101":
        sys.exit(stream.read().decode().strip() or status)
    sock.settimeout(wait)
    return sock, stream


def send(sock, opcode, payload):
    """One frame, masked as a client's must be (RFC 6455 section 5.2)."""
    key, n = os.urandom(4), len(payload)
    if n < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | n)
    elif n < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, n)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, n)
    masked = bytes(b ^ key[i % 4] for i, b in enumerate(payload))
    sock.sendall(head + key + masked)


def receive(stream):
    """(whether it is its message's last frame, opcode, payload)"""
    first, second = stream.read(2)
    n = second & 0x7F
    if n == 126:
        (n,) = struct.unpack("!H", stream.read(2))
    elif n == 127:
        (n,) = struct.unpack("!Q", stream.read(8))
    return bool(first & 0x80), first & 0x0F, stream.read(n)


def print_part(kind, payload, last):
    """A text message ends its line; bytes are written as they are."""
    sys.stdout.buffer.write(payload + (b"\n" if kind == TEXT and last else b""))
    sys.stdout.flush()


def talk(sock, stream, texts):
    for text in texts:
        send(sock, TEXT, text.encode())
    closing, kind = False, None
    while True:
        try:
            last, opcode, payload = receive(stream)
        except TimeoutError:
            if closing:
                sys.exit("no answer to the Close frame")
            send(sock, CLOSE, struct.pack("!H", 1000))
            closing = True
            stream = sock.makefile("rb")  # one that has timed out is spent
            continue
        except ValueError:
            sys.exit("closed: 1006, the connection ended without a Close frame")
        if opcode == CLOSE:
            code = struct.unpack("!H", payload[:2])[0] if payload else 1005
            print(f"closed: {code} {payload[2:].decode()}".strip(), flush=True)
            return
        if opcode == PING:
            send(sock, PONG, payload)
        elif opcode in (CONTINUATION, TEXT, BINARY):
            kind = opcode or kind
            print_part(kind, payload, last)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--wait", type=float, default=1, help="seconds of silence to end after")
    parser.add_argument("--ca", help="PEM file of the authority, for wss://")
    parser.add_argument("url")
    parser.add_argument("text", nargs="*")
    args = parser.parse_args()
    try:
        sock, stream = connect(args.url, args.ca, args.wait)
        talk(sock, stream, args.text)
    except OSError as e:
        sys.exit(f"{args.url}: {e}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
