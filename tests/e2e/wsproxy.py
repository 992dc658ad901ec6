# SPDX-License-Identifier: Apache-2.0
"""Standard input and output as a WebSocket session: wsproxy.py URL [CAFILE]

What `ssh -o ProxyCommand=...` or socat needs to reach a service through a
gateway. Bytes go as binary messages. The end of the input closes the session;
the exit code is 0 if the session closed with 1000.
"""

import asyncio
import os
import ssl
import sys
import threading

import websockets

PIECE = 65536


def write_all(data):
    while data:
        data = data[os.write(1, data) :]


def upward(ws, loop):
    """Standard input to the session, as fast as the session takes it."""

    def on_loop(call):
        asyncio.run_coroutine_threadsafe(call, loop).result()

    try:
        while data := os.read(0, PIECE):
            on_loop(ws.send(data))
        on_loop(ws.close())
    except (websockets.ConnectionClosed, RuntimeError):
        pass  # the other direction tells


async def session(url, tls):
    async with websockets.connect(
        url, ssl=tls, max_size=None, compression=None, ping_interval=None
    ) as ws:
        loop = asyncio.get_running_loop()
        threading.Thread(target=upward, args=(ws, loop), daemon=True).start()
        async for message in ws:
            data = message.encode() if isinstance(message, str) else message
            # Not on the loop: whoever reads may be slow.
            await loop.run_in_executor(None, write_all, data)
    return ws.close_code


def main():
    url = sys.argv[1]
    tls = ssl.create_default_context(cafile=sys.argv[2]) if len(sys.argv) > 2 else None
    try:
        code = asyncio.run(session(url, tls))
    except (OSError, websockets.WebSocketException) as e:
        print(f"wsproxy: {url}: {e}", file=sys.stderr)
        return 1
    if code != 1000:
        print(f"wsproxy: {url}: closed with {code}", file=sys.stderr)
    return 0 if code == 1000 else 1


if __name__ == "__main__":
    sys.exit(main())
