# SPDX-License-Identifier: Apache-2.0
"""Checks of everything that is not C: YAML, JSON, Python, shell, JavaScript,
links between documents, manual pages."""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def files():
    """What git tracks, or would: no build products."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.decode()
    paths = [ROOT / p for p in sorted(set(listed.split("\0")) - {""})]
    return [p for p in paths if p.is_file()]


def tool(*command):
    """The complaints of a program, or nothing if it is content."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        yield done.stdout.strip() or f"{command[0]} exited {done.returncode}"


def check_yaml(path):
    yield from tool("yamllint", "--strict", "-c", ".yamllint", path)


def check_json(path):
    try:
        json.loads(path.read_text())
    except ValueError as e:
        yield f"{path}: {e}"


def check_python(path):
    try:
        compile(path.read_text(), str(path), "exec")
    except SyntaxError as e:
        yield f"{path}:{e.lineno}: {e.msg}"


def check_shell(path):
    yield from tool("bash", "-n", path)


def check_script(path):
    yield from tool("node", "--check", path)


def anchors(text):
    """The fragments that a Markdown page's headings can be reached by."""
    headings = re.findall(r"^#+ +(.+)$", text, re.M)
    for heading in headings:
        plain = re.sub(r"[^\w\- ]", "", heading.lower())
        yield plain.replace(" ", "-")


def check_markdown(path):
    """Links to other files of the project lead somewhere."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, fragment = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists():
            yield f"{path}: link to {link}: no such file"
        elif fragment and target.suffix == ".md":
            if fragment not in anchors(target.read_text()):
                yield f"{path}: link to {link}: no such heading"


def check_manual(path):
    """scdoc takes it, and man has nothing to say about the result."""
    page = subprocess.run(
        ["scdoc"],
        stdin=path.open(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if page.returncode != 0:
        yield f"{path}: {page.stdout.decode().strip()}"
        return
    shown = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", "-"],
        input=page.stdout,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if shown.returncode != 0 or shown.stderr:
        yield f"{path}: {shown.stderr.decode().strip()}"


def check_end(path):
    """A text file ends with one newline and no line with a blank."""
    data = path.read_bytes()
    if data and (not data.endswith(b"\n") or data.endswith(b"\n\n")):
        yield f"{path}: does not end with exactly one newline"
    for n, line in enumerate(data.split(b"\n"), 1):
        if line.endswith((b" ", b"\t", b"\r")):
            yield f"{path}:{n}: blank at the end of the line"


CHECKS = {
    ".yaml": [check_yaml, check_end],
    ".yml": [check_yaml, check_end],
    ".json": [check_json, check_end],
    ".py": [check_python, check_end],
    ".sh": [check_shell, check_end],
    ".js": [check_script, check_end],
    ".mjs": [check_script, check_end],
    ".md": [check_markdown, check_end],
    ".scd": [check_manual],
    ".c": [check_end],
    ".h": [check_end],
    ".def": [check_end],
}


def main():
    complaints = []
    for path in files():
        if "corpus" in path.parts:
            continue
        for check in CHECKS.get(path.suffix, []):
            complaints += check(path)
    for text in complaints:
        print(text.replace(f"{ROOT}/", ""))
    return 1 if complaints else 0


sys.exit(main())
