# SPDX-License-Identifier: Apache-2.0
"""What is measured, each case described once: what the load generator does,
who takes part, what is compared, and what gangway must reach."""

from typing import NamedTuple, Optional


class Measure(NamedTuple):
    """One figure of a run, and what it is compared with."""

    field: str  # of the load generator's JSON
    unit: str
    goal: Optional[float] = None
    # The ratio's denominator: the same figure of the case's base contestant in
    # the same repetition; or, with `over`, another figure of the same run; or
    # nothing, with `absolute`: then the goal is in the unit.
    over: Optional[str] = None
    absolute: bool = False
    title: str = ""  # if a case has several


class Column(NamedTuple):
    """A further figure of a table."""

    field: str
    title: str
    digits: int = 0


class Group(NamedTuple):
    """Cases that share a table and, mostly, a chart."""

    name: str
    title: str
    about: str
    columns: tuple


class Case(NamedTuple):
    name: str
    title: str
    group: str
    mode: str  # of the load generator
    flags: dict
    measures: tuple
    base: str  # the contestant that others are compared with
    judged: tuple  # gangway's contestants, to which the goals apply
    others: tuple  # rivals, in `make bench-full`
    quick: Optional[tuple] = None  # rivals in `make bench`; None: not part of it
    quick_flags: dict = {}  # that differ there
    repeated: tuple = ()  # (curve's name, sessions): a point of that curve

    def at(self, full):
        """As it is run in `make bench-full` or in `make bench`."""
        return self if full else self._replace(flags=self.flags | self.quick_flags)

    def contestants(self, full):
        others = self.others if full else self.quick
        return [] if others is None else list(dict.fromkeys([self.base, *self.judged, *others]))


# ---- the groups --------------------------------------------------------------

PER_MESSAGE = (
    Column("messages_per_s", "messages/s"),
    Column("p50_us", "p50 µs"),
    Column("p99_us", "p99 µs"),
)
VISITS = (
    Column("messages_per_s", "visits/s"),
    Column("p50_us", "p50 µs"),
    Column("p99_us", "p99 µs"),
)
PER_BYTE = (Column("mb_per_s", "MB/s"), Column("hwm_kib", "peak memory KiB"))
HELD = (
    Column("sessions", "sessions"),
    Column("rss_kib_per_session", "RSS KiB", 2),
    Column("kept_kib", "kept after they left KiB"),
    Column("idle_cpu_ms_per_s", "CPU idle ms/s", 2),
)

GROUPS = [
    Group("echo", "Echo",
          "A message goes to a TCP service and comes back; the next one follows.",
          PER_MESSAGE),
    Group("up", "Bulk, client to backend",
          "Frames of one size, as fast as they go. Every byte is verified.", PER_BYTE),
    Group("down", "Bulk, backend to client",
          "Writes of one size, as fast as they go. How many of the small ones the "
          "kernel has merged before a gateway reads is chance: they vary by half, "
          "and have no goal.", PER_BYTE),
    Group("connect", "New connections",
          "Connection, upgrade, one echo, close; 32 at a time.", VISITS),
    Group("idle", "Idle sessions",
          "Sessions that have echoed one message and then rest; memory is PSS, of "
          "all processes of the contestant. Kept is what they hold more than before "
          "the first session when all have left.", HELD),
    Group("tls", "TLS: echo and bulk",
          "The same with TLS between client and gateway, and a P-256 key.",
          (Column("messages_per_s", "messages/s"), Column("mb_per_s", "MB/s"),
           Column("p50_us", "p50 µs"), Column("p99_us", "p99 µs"))),
    Group("tls-connect", "TLS: new connections",
          "TCP, TLS handshake, upgrade, one echo, close; 32 at a time.",
          (*VISITS, Column("resumed", "resumed"))),
    Group("tls-idle", "TLS: idle sessions", "As without TLS.", HELD),
    Group("mqtt", "MQTT packets",
          "PUBLISH packets of QoS 0, verified byte by byte, through gangway's "
          "packets dialect, which reads each of them, and through its stream "
          "bridge, which knows nothing of MQTT; ratios are to the latter.",
          (Column("messages_per_s", "packets/s"), Column("mb_per_s", "MB/s"))),
    Group("fanout", "Topic fan-out",
          "One publisher, and subscribers who each get every message of 100 bytes, "
          "four of them on their way; ratios are to mosquitto's own WebSocket "
          "listener, whose cost is the whole broker's. Where gangway has a broker "
          "behind it, gangway's own CPU counts; of packets the broker sends each "
          "session its own, and gangway relays them.",
          (Column("deliveries_per_s", "deliveries/s"),)),
    Group("tail", "Tail",
          "The 99th percentile of a 64-byte echo on one connection while another "
          "session of the same worker moves bulk data both ways at full speed, and "
          "while 100 handshakes a second arrive; ratios are to its value when the "
          "gateway is quiet. Gateway, clients and services share this machine's "
          "CPUs.",
          (Column("quiet_p50_us", "quiet p50 µs"), Column("quiet_p99_us", "p99 µs"),
           Column("bulk_p50_us", "beside bulk p50 µs"), Column("bulk_p99_us", "p99 µs"),
           Column("bulk_mb_per_s", "bulk MB/s"),
           Column("handshakes_p50_us", "handshakes p50 µs"),
           Column("handshakes_p99_us", "p99 µs"))),
    Group("workers", "Two workers",
          "The same load on one worker and on two, which between them run on "
          "whatever CPUs the load leaves; what two workers carry when clients and "
          "services are elsewhere follows from the CPU a message costs.",
          PER_MESSAGE),
    Group("many-echo", "Many sessions: echo",
          "What a 64-byte message costs must not grow with the number of sessions.",
          PER_MESSAGE),
    Group("many-idle", "Many sessions: idle",
          "What a session takes must not grow either. With few of them it is what the "
          "process happens to allocate.", HELD),
]  # fmt: skip

# ---- the cases ---------------------------------------------------------------

CPU_MESSAGE = Measure("cpu_us_per_message", "µs")
CPU_GB = Measure("cpu_s_per_gb", "s/GB")
MEMORY = Measure("pss_kib_per_session", "KiB", absolute=True)

PROXIES = ("haproxy", "nginx")
ALL = (*PROXIES, "socat", "websockify", "lighttpd", "websocketd")
# websockify takes seconds to start a hundred processes.
BRISK = tuple(name for name in ALL if name != "websockify")
SIZES = {64: "64 B", 1024: "1 KiB", 16384: "16 KiB", 1 << 20: "1 MiB"}
NAMES = {64: "64", 1024: "1k", 16384: "16k", 1 << 20: "1m"}
MANY = 9000


def tls(names):
    return tuple(f"{name}-tls" for name in names)


def plural(n):
    return f"{n:,} session" + ("s" if n > 1 else "")


def plain(name, title, group, mode, flags, measure, others=ALL, quick=ALL, **more):
    return Case(name, title, group, mode, flags, (measure,), "floor", ("gangway",),
                others, quick, **more)


def with_tls(name, title, group, mode, flags, measure, others=ALL, quick=ALL, **more):
    without = tuple(o for o in others if o != "socat")
    short = None if quick is None else tls(o for o in quick if o != "socat")
    return Case(name, title, group, mode, flags, (measure,), "floor-tls", ("gangway-tls",),
                tls(without), short, **more)


def echo_cases():
    for n in (1, 100):
        yield plain(f"echo-64-x{n}", f"64 B, {plural(n)}", "echo", "echo",
                    {"size": 64, "sessions": n}, CPU_MESSAGE._replace(goal=1.10),
                    repeated=("echo", n) if n > 1 else ())
    yield plain("echo-1k-x100", "1 KiB, 100 sessions, 8 in flight", "echo", "echo",
                {"size": 1024, "sessions": 100, "window": 8}, CPU_MESSAGE._replace(goal=1.15),
                quick=BRISK)


BULK_GOALS = {
    ("up", 64): 1.25, ("up", 1024): 1.20, ("up", 16384): 1.10, ("up", 1 << 20): 1.10,
    ("down", 16384): 1.10, ("down", 1 << 20): 1.10,
}  # fmt: skip


def bulk_cases():
    for mode, what in (("up", "frames"), ("down", "writes")):
        for size, said in SIZES.items():
            for n in (1, 16):
                if n == 1:
                    quick = None  # much the same as with 16
                elif size == 16384:
                    quick = ALL
                else:
                    quick = PROXIES
                yield plain(f"{mode}-{NAMES[size]}-x{n}", f"{said} {what}, {plural(n)}",
                            mode, mode, {"size": size, "sessions": n},
                            CPU_GB._replace(goal=BULK_GOALS.get((mode, size))), quick=quick)


def session_cases():
    yield plain("connect", "upgrade included", "connect", "connect", {"sessions": 32},
                CPU_MESSAGE._replace(goal=1.40))
    yield plain("idle", f"up to {MANY:,} sessions", "idle", "idle", {"sessions": MANY},
                MEMORY._replace(goal=1.0), repeated=("memory", MANY))


def tls_cases():
    yield with_tls("tls-echo-64-x100", "echo 64 B, 100 sessions", "tls", "echo",
                   {"size": 64, "sessions": 100}, CPU_MESSAGE._replace(goal=1.10),
                   quick=BRISK)
    for mode, what in (("up", "client to backend"), ("down", "backend to client")):
        for size in (16384, 1 << 20):
            yield with_tls(f"tls-{mode}-{NAMES[size]}-x16",
                           f"{what}, {SIZES[size]}, 16 sessions", "tls", mode,
                           {"size": size, "sessions": 16}, CPU_GB._replace(goal=1.05),
                           quick=ALL if size == 16384 else PROXIES)
    yield with_tls("tls-connect", "full handshake", "tls-connect", "connect",
                   {"sessions": 32}, CPU_MESSAGE._replace(goal=1.10))
    yield with_tls("tls-resume", "resumed", "tls-connect", "connect",
                   {"sessions": 32, "resume": True}, CPU_MESSAGE, quick=PROXIES)
    yield with_tls("tls-idle", f"up to {MANY:,} sessions", "tls-idle", "idle",
                   {"sessions": MANY}, MEMORY._replace(goal=16.0),
                   quick=PROXIES, quick_flags={"sessions": 2000})


def mqtt_cases():
    for mode, what in (("up", "client to broker"), ("down", "broker to client")):
        for size in (20, 100, 1024):
            for topics, said in ((1, "one topic"), (4, "four topics in turn")):
                yield Case(f"mqtt-{mode}-{size}-t{topics}", f"{what}, {size:,} B, {said}",
                           "mqtt", mode,
                           {"size": size, "sessions": 16, "mqtt": True, "topics": topics},
                           (CPU_MESSAGE._replace(goal=1.15),),
                           "gangway-stream", ("gangway-mqtt",), (),
                           () if (size, topics) in ((100, 1), (20, 4)) else None)


def topic_cases():
    # Packets are no fan-out of gangway's: the broker sends to each session.
    ours, relayed = ("gangway-raw", "gangway-envelopes", "gangway-pool"), ("gangway-packets",)
    for n in (100, 1000):
        yield Case(f"fanout-x{n}", f"{n:,} subscribers", "fanout", "fanout",
                   {"sessions": n, "window": 4},
                   (Measure("cpu_us_per_delivery", "µs", goal=0.5),),
                   "mosquitto-ws", ours, relayed, relayed if n == 1000 else None)


def tail_cases():
    yield Case("tail", "64 B echo", "tail", "tail", {},
               (Measure("bulk_p99_us", "µs", 3.0, over="quiet_p99_us", title="beside bulk"),
                Measure("handshakes_p99_us", "µs", 3.0, over="quiet_p99_us",
                        title="during handshakes")),
               "floor", ("gangway",), ALL, ())


def worker_cases():
    for name, said, flags in (
        ("workers-echo-64-x100", "echo 64 B, 100 sessions", {"size": 64, "sessions": 100}),
        ("workers-echo-1k-x100", "echo 1 KiB, 100 sessions, 8 in flight",
         {"size": 1024, "sessions": 100, "window": 8}),
        ("workers-connect", "new connections", {"sessions": 32}),
    ):  # fmt: skip
        mode = "connect" if "connect" in name else "echo"
        yield Case(name, said, "workers", mode, flags, (CPU_MESSAGE._replace(goal=1.10),),
                   "gangway", ("gangway-2",), (), () if "64" in name else None)


def curve_cases():
    for n in (10, 1000, MANY):
        # A round of so many takes a while.
        longer = {"seconds": 1.0, "warmup": 0.5} if n == MANY else {}
        yield plain(f"curve-echo-x{n}", f"64 B, {plural(n)}", "many-echo", "echo",
                    {"size": 64, "sessions": n, **longer}, CPU_MESSAGE._replace(goal=1.10),
                    PROXIES, (), repeated=("echo", n))
    for n in (10, 100, 1000):
        yield plain(f"curve-idle-x{n}", plural(n), "many-idle", "idle",
                    {"sessions": n}, MEMORY, PROXIES, (), repeated=("memory", n))


CASES = [
    *echo_cases(), *bulk_cases(), *session_cases(), *tls_cases(), *mqtt_cases(),
    *topic_cases(), *tail_cases(), *worker_cases(), *curve_cases(),
]  # fmt: skip


class Curve(NamedTuple):
    """One figure by the number of sessions: the cases that are `repeated`."""

    name: str
    title: str
    field: str
    unit: str


CURVES = [
    Curve("echo", "Gateway CPU for a 64-byte echo, by sessions",
          "cpu_us_per_message", "µs"),
    Curve("memory", "Memory of an idle session, by sessions", "pss_kib_per_session", "KiB"),
]  # fmt: skip
