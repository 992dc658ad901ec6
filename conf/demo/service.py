#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small TCP service to talk to: lines in, lines, bytes and floods out.

It knows nothing of WebSockets. By itself:

    python3 conf/demo/service.py 7000        and then: nc 127.0.0.1 7000
"""

import asyncio
import collections
import os
import socket
import struct
import sys
import time

LINE_MAX = 64 << 10
BYTES_MAX = 1 << 20
FLOOD_MAX = 256  # MiB
TICKS_MAX = 3600
SLOW_READER = 64 << 10  # waiting for a guest: chat goes by, it is not queued

HELP = """\
help          this
time          what the clock says
tick [N]      the same every second, N times
bytes [N]     N random bytes, at most 1048576
flood [N]     N MiB as fast as they go, at most 256
name NAME     call yourself NAME
who           who is here
say TEXT      tell everybody
quit          the service hangs up (FIN)
crash         the service's connection breaks (RST)
Anything else is said back."""


def now():
    return time.strftime("%H:%M:%S")


def number(text, default, most):
    try:
        return max(0, min(int(text or default), most))
    except ValueError:
        return default


class Guest:
    """One connection."""

    count = 0

    def __init__(self, service, reader, writer):
        Guest.count += 1
        self.name = f"guest {Guest.count}"
        self.service, self.reader, self.writer = service, reader, writer
        self.ticking = None

    def put(self, text):
        self.writer.write(text.encode() + b"\n")

    async def talk(self):
        host, port = self.writer.get_extra_info("sockname")[:2]
        self.put(f"This is a TCP service at {host}:{port}. You are {self.name}.")
        self.put("Try: help")
        async for line in self.lines():
            if not await self.obey(line):
                return
            await self.writer.drain()

    async def lines(self):
        """What comes, cut at newlines; what has none in 64 KiB, as it is."""
        pending = b""
        while data := await self.reader.read(LINE_MAX):
            *whole, pending = (pending + data).split(b"\n")
            for line in whole:
                yield line.rstrip(b"\r").decode(errors="replace")
            if len(pending) > LINE_MAX:
                self.put(f"{len(pending)} bytes without a newline")
                pending = b""

    async def obey(self, line):
        """Do what a line asks for. False: hang up."""
        word, _, rest = line.strip().partition(" ")
        command = getattr(self, f"do_{word.lower()}", None) if word.isalpha() else None
        if command:
            return await command(rest.strip()) is not False
        self.put(f"You said: {line}")
        return True

    # ---- commands ----------------------------------------------------------

    async def do_help(self, _):
        self.put(HELP)

    async def do_time(self, _):
        self.put(f"It is {now()}.")

    async def do_tick(self, times):
        async def tick(times):
            for _ in range(times):
                self.put(f"tick {now()}")
                await asyncio.sleep(1)

        if self.ticking:
            self.ticking.cancel()
        self.ticking = asyncio.create_task(tick(number(times, 5, TICKS_MAX)))

    async def do_bytes(self, n):
        self.writer.write(os.urandom(number(n, 64, BYTES_MAX)))

    async def do_flood(self, mib):
        piece = bytes(range(256)) * 256  # 64 KiB
        for _ in range(number(mib, 16, FLOOD_MAX) * 16):
            self.writer.write(piece)
            await self.writer.drain()

    async def do_name(self, name):
        if name:
            self.service.tell(f"{self.name} is now {name[:32]}")
            self.name = name[:32]

    async def do_who(self, _):
        self.put(", ".join(guest.name for guest in self.service.guests))

    async def do_say(self, text):
        self.service.tell(f"{self.name}: {text}")

    async def do_quit(self, _):
        self.put("Good bye.")
        return False

    async def do_crash(self, _):
        await self.writer.drain()
        self.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.writer.transport.abort()
        return False


class Service:
    """Everybody who is connected."""

    def __init__(self):
        self.guests = []

    def tell(self, text):
        for guest in self.guests:
            if guest.writer.transport.get_write_buffer_size() < SLOW_READER:
                guest.put(text)

    async def connected(self, reader, writer):
        guest = Guest(self, reader, writer)
        self.guests.append(guest)
        try:
            await guest.talk()
        except ConnectionError:
            pass
        finally:
            self.guests.remove(guest)
            if guest.ticking:
                guest.ticking.cancel()
            writer.close()

    async def start(self, port=0):
        return await asyncio.start_server(self.connected, "127.0.0.1", port)


class Feed:
    """Lines for whoever connects: those lately told, then each as it comes."""

    def __init__(self):
        self.past = collections.deque(maxlen=200)
        self.readers = set()

    def tell(self, line):
        self.past.append(line)
        for writer in self.readers:
            if writer.transport.get_write_buffer_size() < SLOW_READER:
                writer.write(line)

    async def connected(self, reader, writer):
        writer.writelines(self.past)
        self.readers.add(writer)
        try:
            while await reader.read(4096):
                pass
        except ConnectionError:
            pass
        finally:
            self.readers.discard(writer)
            writer.close()

    async def start(self, port=0):
        return await asyncio.start_server(self.connected, "127.0.0.1", port)


def port_of(server):
    return server.sockets[0].getsockname()[1]


async def main(port):
    server = await Service().start(port)
    print(f"a TCP service on 127.0.0.1:{port_of(server)}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
    except KeyboardInterrupt:
        pass
