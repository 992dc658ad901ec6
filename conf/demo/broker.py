# SPDX-License-Identifier: Apache-2.0
"""A mosquitto of the demo's own: loopback, a free port, nothing kept."""

import asyncio
import os
import pathlib
import shutil
import tempfile

READY_S = 5

CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
log_dest none
"""


class Broker:
    """`async with Broker(program, port)`: running is whether it is there."""

    def __init__(self, program, port):
        # Where Debian has it may not be on a user's PATH.
        path = os.environ.get("PATH", os.defpath) + ":/usr/sbin"
        self.program = shutil.which(program, path=path) if program else None
        self.port, self.process = port, None

    @property
    def running(self):
        return self.process is not None and self.process.returncode is None

    async def __aenter__(self):
        try:
            if self.program:
                await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def start(self):
        with tempfile.TemporaryDirectory(prefix="gangway-demo-") as directory:
            config = pathlib.Path(directory) / "mosquitto.conf"
            config.write_text(CONFIG.format(port=self.port))
            self.process = await asyncio.create_subprocess_exec(
                self.program, "-c", str(config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # as gangway: stopped in order
            )  # fmt: skip
            if not await self.answers():
                print(f"{self.program} did not start; going on without it", flush=True)
                await self.stop()

    async def answers(self):
        loop = asyncio.get_running_loop()
        end = loop.time() + READY_S
        while self.running and loop.time() < end:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return True
        return False

    async def stop(self):
        if self.running:
            self.process.terminate()
            await self.process.wait()

    async def __aexit__(self, *_):
        await self.stop()
