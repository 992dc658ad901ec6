# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests. CONTRIBUTING.md tells how to run them."""

import signal

import backends
import certs
import gangway as harness
import pytest

TIMEOUT_S = 60

# What takes long to set up, and is set up once for a module. Where several
# processes share the tests (-n), those that use one are done by one process.
COSTLY = ("browser", "demo", "postgres")


def pytest_itemcollected(item):
    for name in COSTLY:
        if name in item.fixturenames:
            which = item.callspec.params.get(name, "") if hasattr(item, "callspec") else ""
            group = f"{item.module.__name__}-{name}-{which}".rstrip("-")
            item.add_marker(pytest.mark.xdist_group(group))
            return


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """No test hangs: an alarm ends it with the line it stood in."""
    marker = item.get_closest_marker("timeout")
    seconds = marker.args[0] if marker else TIMEOUT_S

    def late(*_):
        raise TimeoutError(f"the test took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def pytest_report_header():
    return f"gangway: {harness.BINARY}"


def pytest_sessionstart():
    if not harness.BINARY.exists():
        raise pytest.UsageError(f"no {harness.BINARY}: run make first")


@pytest.fixture
def gangway(tmp_path):
    """Start gangways: gangway("echo:") or gangway({"/a": "tcp://..."})."""
    launcher = harness.Launcher(tmp_path)
    yield launcher
    launcher.stop()


@pytest.fixture(scope="module")
def shared_gangway(tmp_path_factory):
    """The same for a whole module, where tests leave no trace in it."""
    launcher = harness.Launcher(tmp_path_factory.mktemp("shared"))
    yield launcher
    launcher.stop()


@pytest.fixture
def backend():
    """A TCP backend that the test drives by hand."""
    with backends.Backend() as b:
        yield b


@pytest.fixture(scope="session")
def echo_server():
    with backends.Server(backends.echo) as server:
        yield server


@pytest.fixture(scope="session")
def sink_server():
    with backends.Server(backends.sink) as server:
        yield server


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return certs.Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def server_pair(authority):
    """A certificate for localhost and the loopback addresses."""
    return authority.issue("localhost", "127.0.0.1", "::1")


@pytest.fixture
def wss(server_pair):
    """Configuration of a TLS listener, to be extended with routes."""
    return {
        "listeners": [
            {
                "url": "wss://127.0.0.1:0",
                "tls": {
                    "certificate": str(server_pair.certificate),
                    "key": str(server_pair.key),
                },
            }
        ]
    }
