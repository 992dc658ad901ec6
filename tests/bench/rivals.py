# SPDX-License-Identifier: Apache-2.0
"""The contestants, each described once: what it is, how it is started, what it
cannot do.

A contestant is started anew for every run, on one CPU thread where it lets us
choose, with its defaults otherwise: logs and limits as whoever installs it has
them.
"""

import os
import re
import resource
import shutil
import socket
import subprocess
from typing import Callable, NamedTuple, Optional

from place import START_S, Failed

NOFILE = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
# What a gateway can carry here: a descriptor on each side of a session.
SESSIONS_MAX = (NOFILE - 400) // 2


class Rival(NamedTuple):
    name: str
    title: str  # in tables and charts
    kind: str  # raw, tls: a TCP proxy; ws, wss: a gateway
    start: Callable  # of a Place; the process id to measure
    program: Optional[str] = None  # and Debian package; None: built here
    about: str = ""  # how it is run
    bears: int = SESSIONS_MAX  # sessions at a time
    load: tuple = ()  # flags of the load generator; {origin}: ws://HOST:PORT
    cannot: dict = {}  # {pattern of case names: why not}
    brings_backend: bool = False  # answers itself, or has a broker behind it

    @property
    def scheme(self):
        return {"raw": "tcp", "tls": "tls"}.get(self.kind, self.kind)

    @property
    def is_rival(self):
        """Neither gangway nor a floor."""
        return bool(self.program) and not self.name.startswith("gangway")

    def excuse(self, case_name):
        """Why it is not run in a case; None if it is."""
        for pattern, why in self.cannot.items():
            if re.search(pattern, case_name):
                return why
        return None

    def missing(self):
        return self.program is not None and find(self.program) is None


def find(program):
    """Servers may live where not every user's PATH leads."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


# ---- gangway and the floor ---------------------------------------------------


def relay(place):
    return place.spawn([place.tools / "relay", place.port, place.backend], place.port)


def tls_relay(place):
    command = [place.tools / "tls_relay", place.port, place.backend]
    return place.spawn([*command, place.tls.certificate, place.tls.key], place.port)


def gangway(target, workers=1, scheme="ws", routes=None):
    """Everything but where it listens and leads is left as it is by default.
    target: may name {backend}. routes: {path: target}."""

    def start(place, backend=None):
        command = [place.gangway, "--workers", workers]
        command += ["--listen", f"{scheme}://127.0.0.1:{place.port}"]
        if scheme == "wss":
            command += ["--cert", place.tls.certificate, "--key", place.tls.key]
        for path, leads in (routes or {"/...": target}).items():
            leads = leads.format(backend=backend or place.backend)
            command += ["--route", f"{path}={leads}"]
        return place.spawn(command, place.port)

    return start


# ---- TCP proxies -------------------------------------------------------------

HAPROXY = """\
global
  nbthread 1
  maxconn {sessions}
defaults
  mode tcp
  timeout connect 5s
  timeout client 5m
  timeout server 5m
listen gateway
  bind 127.0.0.1:{port} {tls}
  server backend 127.0.0.1:{backend}
"""


def haproxy(tls):
    def start(place):
        text = HAPROXY.format(
            sessions=SESSIONS_MAX,
            port=place.port,
            backend=place.backend,
            tls=f"ssl crt {place.tls.both}" if tls else "",
        )
        config = place.write("haproxy.cfg", text)
        return place.spawn([find("haproxy"), "-db", "-q", "-f", config], place.port)

    return start


NGINX = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile {nofile};
pid {directory}/nginx.pid;
error_log stderr;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
{user}
events {{ worker_connections {connections}; }}
stream {{
  server {{
    listen 127.0.0.1:{port} {tls} backlog=4096;
    {certificate}
    proxy_pass 127.0.0.1:{backend};
  }}
}}
"""


def nginx(tls):
    def start(place):
        certificate = (
            f"ssl_certificate {place.tls.certificate}; ssl_certificate_key {place.tls.key}; "
            "ssl_protocols TLSv1.2 TLSv1.3;"  # left alone, this one has no 1.3 yet
        )
        text = NGINX.format(
            nofile=NOFILE,
            connections=NOFILE - 100,
            directory=place.directory,
            port=place.port,
            backend=place.backend,
            tls="ssl" if tls else "",
            certificate=certificate if tls else "",
            user="user root;" if os.geteuid() == 0 else "",
        )
        config = place.write("nginx.conf", text)
        command = [find("nginx"), "-p", place.directory, "-e", "stderr", "-c", config]
        return place.spawn(command, place.port)

    return start


def socat(place):
    listen = f"TCP-LISTEN:{place.port},bind=127.0.0.1,fork,reuseaddr,nodelay,backlog=4096"
    return place.spawn(
        ["socat", listen, f"TCP:127.0.0.1:{place.backend},nodelay"], place.port
    )


# ---- WebSocket gateways ------------------------------------------------------


def websockify(tls):
    def start(place):
        command = ["websockify"]
        if tls:
            command += ["--ssl-only", "--cert", place.tls.certificate, "--key", place.tls.key]
        ends = [f"127.0.0.1:{place.port}", f"127.0.0.1:{place.backend}"]
        return place.spawn([*command, *ends], place.port)

    return start


def websocketd(tls):
    def start(place):
        command = [
            "websocketd", "--address=127.0.0.1", f"--port={place.port}", "--binary",
            "--loglevel=error",
        ]  # fmt: skip
        if tls:
            command += [
                "--ssl", f"--sslcert={place.tls.certificate}", f"--sslkey={place.tls.key}",
            ]  # fmt: skip
        program = ["socat", "STDIO", f"TCP:127.0.0.1:{place.backend},nodelay"]
        return place.spawn([*command, *program], place.port)

    return start


LIGHTTPD = """\
server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{directory}"
server.upload-dirs = ( "{directory}" )
server.max-fds = {nofile}
server.max-connections = {sessions}
server.listen-backlog = 4096
server.stream-request-body = 2
server.stream-response-body = 2
server.modules = ( "mod_wstunnel" {module} )
wstunnel.server = ( "" => (( "host" => "127.0.0.1", "port" => "{backend}" )) )
wstunnel.frame-type = "binary"
{tls}
"""


def lighttpd(tls):
    def start(place):
        text = LIGHTTPD.format(
            port=place.port,
            backend=place.backend,
            directory=place.directory,
            nofile=NOFILE,
            sessions=SESSIONS_MAX,
            module=', "mod_openssl"' if tls else "",
            tls=f'ssl.engine = "enable"\nssl.pemfile = "{place.tls.both}"' if tls else "",
        )
        config = place.write("lighttpd.conf", text)
        return place.spawn([find("lighttpd"), "-D", "-f", config], place.port)

    return start


# ---- brokers -----------------------------------------------------------------

MOSQUITTO = """\
allow_anonymous true
persistence false
log_dest stderr
set_tcp_nodelay true
{user}
listener {port} 127.0.0.1
"""


def broker(place, port, websockets=None):
    """It does not start with a WebSocket listener alone."""
    user = "user root" if os.geteuid() == 0 else ""
    text = MOSQUITTO.format(port=port, user=user)
    if websockets:
        text += f"listener {websockets} 127.0.0.1\nprotocol websockets\n"
    config = place.write("mosquitto.conf", text)
    return place.spawn([find("mosquitto"), "-c", config], websockets or port)


def mosquitto_ws(place):
    return broker(place, place.another_port(), place.port)


def before_broker(start, pool=False):
    """A gangway with a mosquitto behind it; gangway is what is measured. pool:
    its sessions share a connection."""

    def both(place):
        port = place.another_port()
        broker(place, port)
        pid = start(place, backend=port)
        if pool:
            until_connected(place.port)
        return pid

    return both


ASKS = b'{"op":"sub","id":1,"topic":"first"}'
FIRST_SESSION = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: Z2FuZ3dheSdzIGJlbmNoIQ==\r\n"
    b"Sec-WebSocket-Protocol: gangway.v1.json\r\n\r\n"
    # One text frame, with a masking key of zeros.
    + bytes([0x81, 0x80 | len(ASKS), 0, 0, 0, 0]) + ASKS
)  # fmt: skip


def until_connected(port):
    """gangway dials the broker with the first session, and sessions that begin
    before it has answered are told that it is away: one more message than the
    load generator counts on. So one session goes ahead."""
    said = b""
    try:
        with socket.create_connection(("127.0.0.1", port), START_S) as first:
            first.sendall(FIRST_SESSION)
            while b'"op":"ack"' not in said:
                more = first.recv(4096)
                if not more:
                    raise Failed("the first session ended")
                said += more
    except OSError as error:
        raise Failed(f"the first session: {error}") from None


# ---- what topics are made of -------------------------------------------------

PAYLOAD = "gangway " * 12 + "bye."  # 100 bytes


def mqtt_string(text):
    return len(text).to_bytes(2, "big") + text.encode()


def mqtt_packet(head, body):
    assert len(body) < 16384
    size = bytes([len(body)]) if len(body) < 128 else bytes([len(body) & 127 | 128, len(body) >> 7])
    return bytes([head]) + size + body


# MQTT 3.1.1; no client id, a clean session, keepalive 60 s.
CONNECT = mqtt_packet(0x10, mqtt_string("MQTT") + b"\x04\x02\x00\x3c" + mqtt_string(""))
SUBSCRIBE = mqtt_packet(0x82, b"\x00\x01" + mqtt_string("news") + b"\x00")
PUBLISH = mqtt_packet(0x30, mqtt_string("news") + PAYLOAD.encode())

PACKETS = (
    "--subprotocol", "mqtt", "--first", CONNECT.hex(), "--first", SUBSCRIBE.hex(),
    "--ready", "2", "--publisher-subprotocol", "mqtt", "--publisher-first", CONNECT.hex(),
    "--message", PUBLISH.hex(), "--packets",
)  # fmt: skip
ENVELOPES = (
    "--text", "--subprotocol", "gangway.v1.json", "--ready", "2",
    "--first", b'{"op":"sub","id":1,"topic":"news"}'.hex(),
    "--publisher-subprotocol", "gangway.v1.json",
    "--message", f'{{"op":"pub","topic":"news","text":"{PAYLOAD}"}}'.encode().hex(),
)  # fmt: skip
RAW_TOPICS = ("--message", PAYLOAD.encode().hex(), "--publisher-url", "{origin}/publish")

# ---- all of them -------------------------------------------------------------

MANY_PROCESSES = "a process for each session"
# lighttpd answers with this subprotocol whether or not it was asked for.
BINARY = ("--subprotocol", "binary")

RIVALS = [
    Rival("floor", "floor", "raw", relay,
          about="the least a TCP relay can do: one read, one write (tests/bench/floor)"),
    Rival("gangway", "gangway", "ws", gangway("tcp://127.0.0.1:{backend}"),
          about="--workers 1, all else as it is by default"),
    Rival("gangway-2", "gangway, 2 workers", "ws",
          gangway("tcp://127.0.0.1:{backend}", workers=2), about="--workers 2"),
    Rival("haproxy", "HAProxy", "raw", haproxy(False), "haproxy",
          about="mode tcp, nbthread 1: a TCP proxy, does not speak WebSocket"),
    Rival("nginx", "nginx stream", "raw", nginx(False), "nginx",
          about="one worker: a TCP proxy, does not speak WebSocket"),
    Rival("socat", "socat", "raw", socat, "socat", bears=200,
          about=f"fork: {MANY_PROCESSES}; does not speak WebSocket"),
    Rival("websockify", "websockify", "ws", websockify(False), "websockify", bears=100,
          about=MANY_PROCESSES,
          cannot={r"^up-64-": "time grows with the square of what waits; moves below 1 MB/s"}),
    Rival("lighttpd", "lighttpd", "ws", lighttpd(False), "lighttpd", load=BINARY,
          about="mod_wstunnel"),
    Rival("websocketd", "websocketd", "ws", websocketd(False), "websocketd", bears=100,
          about=f"socat behind it: {MANY_PROCESSES}"),
    # With TLS.
    Rival("floor-tls", "TLS floor", "tls", tls_relay,
          about="the same with OpenSSL in front"),
    Rival("gangway-tls", "gangway", "wss",
          gangway("tcp://127.0.0.1:{backend}", scheme="wss")),
    Rival("haproxy-tls", "HAProxy", "tls", haproxy(True), "haproxy"),
    Rival("nginx-tls", "nginx stream", "tls", nginx(True), "nginx"),
    Rival("websockify-tls", "websockify", "wss", websockify(True), "websockify", bears=100),
    Rival("lighttpd-tls", "lighttpd", "wss", lighttpd(True), "lighttpd", load=BINARY),
    Rival("websocketd-tls", "websocketd", "wss", websocketd(True), "websocketd", bears=100),
    # MQTT packets, to a broker that the load generator plays.
    Rival("gangway-stream", "gangway, stream bridge", "ws",
          gangway("tcp://127.0.0.1:{backend}"), load=("--subprotocol", "mqtt"),
          about="tcp://: bytes, knows nothing of MQTT"),
    Rival("gangway-mqtt", "gangway, packets", "ws",
          gangway("mqtt://127.0.0.1:{backend}"), load=("--subprotocol", "mqtt"),
          about="mqtt://: reads every packet"),
    # Topics.
    Rival("mosquitto-ws", "mosquitto, WebSocket", "ws", mosquitto_ws, "mosquitto",
          load=PACKETS, brings_backend=True,
          about="its own WebSocket listener; the whole broker counts"),
    Rival("gangway-raw", "gangway, raw topics", "ws",
          gangway(None, routes={"/publish": "local:?publish=news", "/": "local:?subscribe=news"}),
          load=RAW_TOPICS, brings_backend=True,
          about="local:, a message is a payload"),
    Rival("gangway-envelopes", "gangway, envelopes", "ws", gangway("local:"),
          load=ENVELOPES, brings_backend=True,
          about="local:, JSON that names topic and payload"),
    Rival("gangway-pool", "gangway, envelopes, broker", "ws",
          before_broker(gangway("mqtt://127.0.0.1:{backend}"), pool=True), "mosquitto",
          load=ENVELOPES, brings_backend=True,
          about="mqtt:// with a mosquitto behind it, of which gangway has one "
          "connection for all; gangway's CPU alone counts"),
    Rival("gangway-packets", "gangway, packets, broker", "ws",
          before_broker(gangway("mqtt://127.0.0.1:{backend}")), "mosquitto",
          load=PACKETS, brings_backend=True,
          about="mqtt:// with a mosquitto behind it and a connection for each "
          "session; gangway's CPU alone counts"),
]  # fmt: skip

BY_NAME = {rival.name: rival for rival in RIVALS}


def versions(names, binary):
    """{program: version} of what takes part."""
    found = {}
    for name in names:
        rival = BY_NAME[name]
        if rival.program and rival.program not in found:
            found[rival.program] = package_version(rival.program)
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    return {"gangway": said.stdout.strip().removeprefix("gangway "), **found}


def package_version(package):
    if not shutil.which("dpkg-query"):
        return "unknown"
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout or "not installed"
