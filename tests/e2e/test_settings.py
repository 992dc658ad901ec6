# SPDX-License-Identifier: Apache-2.0
"""What gangway says of its settings: --check, --schema, --default-config."""

import json
import os
import subprocess

import gangway as harness
import jsonschema
import pytest
import yaml

CONF = harness.ROOT / "conf"
SHIPPED = [CONF / "gangway.yaml", *sorted((CONF / "examples").glob("*.yaml"))]

MINIMAL = "listeners: ['ws://127.0.0.1:0']\nroutes: ['/echo=echo:']\n"


@pytest.fixture(scope="module")
def gangway_bin():
    return harness.BINARY


@pytest.fixture(scope="module")
def run(gangway_bin):
    def call(*args, **env):
        return subprocess.run(
            [gangway_bin, *map(str, args)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            env={**os.environ, **harness.SANITIZER_ENV, **env},
            check=False,
        )

    return call


@pytest.fixture(scope="module")
def schema(run):
    done = run("--schema")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


@pytest.fixture
def check(run, tmp_path):
    """Check a configuration file of this content."""

    def call(text, **env):
        (tmp_path / "gangway.yaml").write_text(text)
        return run("--check", "--config", tmp_path / "gangway.yaml", **env)

    return call


def parsed(text):
    return yaml.safe_load(text)


def minimal_without(keys):
    """MINIMAL, for a text that gives these keys itself."""
    lines = MINIMAL.splitlines(keepends=True)
    return "".join(line for line in lines if line.split(":")[0] not in keys)


# ---- the schema


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_schema_accepts_what_is_shipped(schema, path):
    schema.validate(parsed(path.read_text()))


GOOD = [
    "limits: {max_message: 65536}",
    "limits: {max_message: 4MiB, header_count: '100', connections: 0}",
    "limits: {max_message: '${LIMIT:-1MiB}'}",
    "timeouts: {idle: 0, close: 500ms}",
    "timeouts:",
    "web:",
    "log: {level: debug}",
    "routes: [{path: /a, target: 'tcp://h:1',"
    " options: {mode: line, eol: crlf, half_close: true, max_line: 4096}}]",
    "listeners: [{url: 'unix:/tmp/a', mode: 0660}]",
]


@pytest.mark.parametrize("text", GOOD)
def test_schema_accepts_what_check_accepts(schema, check, text):
    """Each form that a value may take; the rest of the file comes along."""
    whole = {**parsed(MINIMAL), **parsed(text)}
    schema.validate(whole)
    done = check(minimal_without(parsed(text)) + text + "\n")
    assert done.returncode == 0, done.stderr


BAD = [
    "nonsense: 1",
    "limits: {max_mesage: 1MiB}",
    "limits: {header_count: 1000}",
    "limits: {max_message: 1mb}",
    "limits: []",
    "timeouts: {idle: 30}",
    "timeouts: {idle: 30sec}",
    "log: {format: xml}",
    "origins: https://a",
    "routes: [{path: /a}]",
    "routes: [{target: 'echo:'}]",
    "routes: [{path: /a, target: 'echo:', target_file: x}]",
    "routes: [{path: /a, target: 'echo:', options: {a: [1]}}]",
    "listeners: [{mode: '0660'}]",
    "listeners: [{url: 'wss://:0', tls: {certificate: a, tickets: 3}}]",
    "workers: 257",
]


@pytest.mark.parametrize("text", BAD)
def test_schema_refuses_what_check_refuses(schema, check, text):
    whole = {**parsed(MINIMAL), **parsed(text)}
    assert not schema.is_valid(whole)
    done = check(minimal_without(parsed(text)) + text + "\n")
    assert done.returncode == 78
    assert "gangway.yaml:" in done.stderr


# ---- --check


def test_check_accepts_the_default_file(run):
    done = run("--check", "--config", CONF / "gangway.yaml")
    assert done.returncode == 0, done.stderr


def with_files(value, files):
    """The same settings, with certificates and folders that exist."""
    if isinstance(value, list):
        return [with_files(v, files) for v in value]
    if not isinstance(value, dict):
        return value
    return {
        k: str(files[k]) if k in files else with_files(v, files)
        for k, v in value.items()
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_examples_are_good(check, path, authority, tmp_path):
    """Bridges, options and all; only the files they name are replaced."""
    pair = authority.issue("example.com")
    files = {
        "certificate": pair.certificate,
        "key": pair.key,
        "client_ca": authority.certificate,
        "web": tmp_path,
    }
    text = yaml.safe_dump(with_files(parsed(path.read_text()), files))
    done = check(text)
    assert done.returncode == 0, done.stderr


def test_check_tells_every_error_with_its_place(check, tmp_path):
    done = check(
        MINIMAL
        + "limits:\n  max_mesage: 1MiB\n  queue_low: x\n"
        + "timeouts: {idle: 30}\n"
    )
    assert done.returncode == 78
    name = tmp_path / "gangway.yaml"
    assert done.stderr.splitlines() == [
        f"{name}:4:3: limits.max_mesage: unknown setting; "
        "did you mean 'max_message'?",
        f"{name}:5:14: limits.queue_low: 'x' is not a size; write bytes, or a "
        "number and KiB, MiB or GiB (KB, MB and GB count in thousands)",
        f"{name}:6:18: timeouts.idle: '30' needs a unit: write 30s for seconds "
        "(or ms, m, h, d)",
    ]


def test_variables_come_from_the_environment(check):
    text = MINIMAL + "workers: ${GW_TEST_WORKERS}\n"
    assert check(text, GW_TEST_WORKERS="3").returncode == 0
    done = check(text)
    assert done.returncode == 78
    assert "the environment has no GW_TEST_WORKERS" in done.stderr


def test_missing_file(run, tmp_path):
    done = run("--config", tmp_path / "none.yaml")
    assert done.returncode == 78
    assert "No such file or directory" in done.stderr


# ---- the command line


@pytest.mark.parametrize(
    "args, message",
    [
        ([], "gangway 6080 localhost:5900"),
        (["--listn", "ws://:1"], "did you mean '--listen'?"),
        (["6080"], "where to?"),
        (["6080", "echo:", "--set", "workers=x"], "--set: workers: 'x' is not"),
        (["--listen", "wss://:0", "--route", "/=echo:"], "needs a certificate"),
    ],
)
def test_usage_errors_exit_64(run, args, message):
    done = run(*args)
    assert done.returncode == 64
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "flag, begins",
    [
        ("--help", "Usage: gangway "),
        ("--version", "gangway "),
        ("--schema", "{"),
        ("--default-config", "# gangway.yaml"),
        ("--settings-reference", "gangway.yaml(5)"),
    ],
)
def test_what_prints_exits_0(run, flag, begins):
    done = run(flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(begins)


def test_manual_page_has_no_mistakes(run):
    page = subprocess.run(
        ["scdoc"],
        input=run("--settings-reference").stdout,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    shown = subprocess.run(
        ["man", "--warnings", "--local-file", "-"],
        input=page,
        capture_output=True,
        text=True,
        env={**os.environ, "MANWIDTH": "100"},
        check=True,
    )
    assert shown.stderr == ""
    assert "queue_high" in shown.stdout
    assert "target_file" in shown.stdout
