#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run the demo: a TCP service, a gangway in front of it, and a page.

    run.py [--port 8080] GANGWAY [FLAG...]      what `make run` does

The service runs in this process, gangway in a child; Ctrl-C stops both. What
gangway logs goes to the terminal and, through /log, to the page.
"""

import argparse
import asyncio
import os
import pathlib
import signal
import socket
import sys

from service import Feed, Service, port_of

HERE = pathlib.Path(__file__).resolve().parent

READY = """
  Open      http://127.0.0.1:{port}/

            ws://127.0.0.1:{port}/echo    every message comes back
            ws://127.0.0.1:{port}/tcp     the TCP service on 127.0.0.1:{service}
            ws://127.0.0.1:{port}/lines   the same, one text message a line
  Metrics   {admin}/metrics

  Try next, in another terminal:

    {ws} ws://127.0.0.1:{port}/lines time 'say hello'
    {ws} ws://127.0.0.1:{port}/refused
    curl {admin}/healthz
    {gangway} 9000 127.0.0.1:{service}

  The log follows. Ctrl-C stops everything.
"""


def free_port(wanted):
    """The port asked for, or one that is free."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as e:
                print(f"port {port}: {e.strerror}; taking another", flush=True)
                continue
            return probe.getsockname()[1]
    sys.exit("no free port on 127.0.0.1")


def port_number(text):
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is no port")
    return int(text)


def relative(path):
    """As short as it can be typed here."""
    return os.path.relpath(path) if path.is_relative_to(pathlib.Path.cwd()) else str(path)


async def start_gangway(command, ports):
    return await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **{name: str(port) for name, port in ports.items()}},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us: we stop it in order
    )


async def pass_log(stream, feed):
    async for line in stream:
        feed.tell(line)
        sys.stderr.buffer.write(line)
        sys.stderr.flush()


async def wait_ready(stream):
    """The URL of the admin listener, once gangway is ready; None: it is not."""
    admin = None
    async for line in stream:
        word, _, rest = line.decode().strip().partition(" on ")
        if word == "admin":
            admin = rest
        elif word == "ready":
            return admin
    return None


def on_stop(stop):
    """Call stop at every signal that means it."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)


async def run(args):
    feed = Feed()
    service, log = await Service().start(), await feed.start()
    ports = {
        "DEMO_PORT": free_port(args.port),
        "DEMO_SERVICE": port_of(service),
        "DEMO_LOG": port_of(log),
    }
    config = HERE / "demo.yaml"
    gangway = await start_gangway(
        [args.gangway, "--config", str(config), *args.flags], ports
    )

    def stop():
        if gangway.returncode is None:
            gangway.terminate()

    on_stop(stop)
    logging = asyncio.create_task(pass_log(gangway.stderr, feed))
    admin = await wait_ready(gangway.stdout)
    if admin:
        print(
            READY.format(
                port=ports["DEMO_PORT"],
                service=ports["DEMO_SERVICE"],
                admin=admin,
                ws=f"python3 {relative(HERE / 'ws.py')}",
                gangway=relative(pathlib.Path(args.gangway).resolve()),
            ),
            flush=True,
        )
    await gangway.wait()
    await logging
    service.close()
    log.close()
    return gangway.returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--port", type=port_number, default=8080, help="the page's")
    parser.add_argument("gangway", help="the binary")
    parser.add_argument("flags", nargs=argparse.REMAINDER, help="further flags of it")
    sys.exit(asyncio.run(run(parser.parse_args())))


if __name__ == "__main__":
    main()
