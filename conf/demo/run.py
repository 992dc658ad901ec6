#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run the demo: a TCP service, an MQTT broker, a gangway in front of them, and
a page.

    run.py [--port 8080] GANGWAY [FLAG...]      what `make run` does

The service runs in this process, gangway in a child, as does mosquitto, if it
is installed; Ctrl-C stops them all. What gangway logs goes to the terminal and,
through /log, to the page.
"""

import argparse
import asyncio
import os
import pathlib
import signal
import socket
import sys

from broker import Broker
from service import Feed, Service, port_of

HERE = pathlib.Path(__file__).resolve().parent

READY = """
  Open      http://127.0.0.1:{port}/

            ws://127.0.0.1:{port}/echo    every message comes back
            ws://127.0.0.1:{port}/tcp     the TCP service on 127.0.0.1:{service}
            ws://127.0.0.1:{port}/lines   the same, one text message a line
            ws://127.0.0.1:{port}/mqtt    MQTT packets: {packets}
            ws://127.0.0.1:{port}/topics  topics as JSON: {topics}
            ws://127.0.0.1:{port}/feed/kitchen  one of them, raw
  Metrics   {admin}/metrics

  Try next, in another terminal:

    {ws} ws://127.0.0.1:{port}/lines time 'say hello'
    {ws} ws://127.0.0.1:{port}/refused
    {ws} ws://127.0.0.1:{port}/feed/kitchen 'dinner is ready'
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


async def start_gangway(command, environment):
    return await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **environment},
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
    async with Broker(args.broker, free_port(0)) as broker:
        return await run_with(args, broker)


def words_of(broker):
    """How the terminal tells of the topics."""
    if not broker.running:
        return {"packets": "nobody is there", "topics": "kept by gangway itself"}
    packets = f"mosquitto on 127.0.0.1:{broker.port}"
    return {"packets": packets, "topics": "the same broker"}


async def run_with(args, broker):
    feed = Feed()
    service, log = await Service().start(), await feed.start()
    port = free_port(args.port)
    environment = {
        "DEMO_PORT": str(port),
        "DEMO_SERVICE": str(port_of(service)),
        "DEMO_LOG": str(port_of(log)),
        "DEMO_BROKER": str(broker.port if broker.running else 1),
        "DEMO_TOPICS": f"mqtt://127.0.0.1:{broker.port}" if broker.running else "local:",
    }
    config = HERE / "demo.yaml"
    gangway = await start_gangway(
        [args.gangway, "--config", str(config), *args.flags], environment
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
                port=port,
                service=port_of(service),
                admin=admin,
                ws=f"python3 {relative(HERE / 'ws.py')}",
                gangway=relative(pathlib.Path(args.gangway).resolve()),
                **words_of(broker),
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
    parser.add_argument(
        "--broker", default="mosquitto", help="another mosquitto; '': topics without one"
    )
    parser.add_argument("gangway", help="the binary")
    parser.add_argument("flags", nargs=argparse.REMAINDER, help="further flags of it")
    sys.exit(asyncio.run(run(parser.parse_args())))


if __name__ == "__main__":
    main()
