# SPDX-License-Identifier: Apache-2.0
"""Rules about our C that no compiler knows.

 - Includes point downward: base <- wire <- net <- serve <- worker, main; conf
   knows base; a bridge knows bridges/bridge.h and its own directory.
 - Pure layers stay pure: no event loop and no sockets in base and wire.
 - Some functions are never called.
 - Each file begins with its licence and what it is.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

BASE, WIRE, NET, SERVE = (
    f"gateway/{layer}/" for layer in ("base", "wire", "net", "serve")
)
CONTRACT = "bridges/bridge.h"
SETTINGS = "conf/settings.h"

# Directory of a file -> what it may include besides its own directory. The
# first that matches counts.
MAY_INCLUDE = [
    (BASE, []),
    (WIRE, [BASE]),
    (NET, [BASE, WIRE, SETTINGS]),
    (SERVE, [BASE, WIRE, NET, SETTINGS, "bridges/"]),
    ("gateway/", ["gateway/", SETTINGS, "bridges/"]),
    ("conf/", [BASE]),
    ("bridges/", [CONTRACT]),
    ("tests/", ["gateway/", "conf/", "bridges/", "tests/"]),
]

# System header -> the directories that may use it.
ONLY_IN = {
    r"ev\.h": [NET, SERVE, "gateway/", "tests/"],
    r"sys/(socket|epoll)\.h|netdb\.h": [
        NET, SERVE, "gateway/", "bridges/", "tests/",
    ],
    r"yaml\.h": ["conf/"],
    r"ares\.h": [NET],
    r"MQTT.*\.h": ["bridges/", "tests/bench/paho/"],
}
# "gateway/" above means its top directory alone, not the layers below it.

BANNED = {
    "alloca": "bound it, or use the heap",
    "atof": "strtod, and look at the end",
    "atoi": "strtol, and look at the end",
    "atol": "strtol, and look at the end",
    "gets": "fgets",
    "rand": "getrandom",
    "sprintf": "snprintf",
    "strcat": "snprintf",
    "strcpy": "memcpy of a known length",
    "strncpy": "memcpy of a known length",
    "strtok": "strchr, or struct slice",
    "system": "posix_spawn",
    "vsprintf": "vsnprintf",
}

# A unit test may make its certificates with the openssl command.
ALLOWED = {("system", "tests/")}

SPDX = "/* SPDX-License-Identifier: Apache-2.0 */"


def in_place(path, place):
    if place == "gateway/":
        return path.startswith(place) and path.count("/") == 1
    return path.startswith(place)


def without_comments_and_strings(text):
    """The same lines, their comments and literals emptied."""

    def blank(match):
        kept = match[0] if match[0].startswith("'") and len(match[0]) < 3 else ""
        return kept + "\n" * match[0].count("\n")

    pattern = r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    return re.sub(pattern, blank, text, flags=re.S)


def resolve(path, name):
    """An #include "name" in the file `path`, relative to the root."""
    full = (ROOT / path).parent / name
    try:
        return full.resolve().relative_to(ROOT).as_posix()
    except ValueError:
        return None


def check_include(path, kind, name):
    if kind == "<":
        for pattern, places in ONLY_IN.items():
            allowed = any(in_place(path, p) for p in places)
            if re.fullmatch(pattern, name) and not allowed:
                yield f"<{name}> does not belong in this layer"
        return
    target = resolve(path, name)
    if target is None or not (ROOT / target).is_file():
        yield f'"{name}": no such file; write it relative to this one'
        return
    own = path.rpartition("/")[0] + "/"
    if target.startswith(own) and "/" not in target[len(own) :]:
        return
    for place, allowed in MAY_INCLUDE:
        if path.startswith(place):
            if not any(target.startswith(a) for a in allowed):
                yield f"{target} is not below {place}: includes point downward"
            return


def check(path):
    text = (ROOT / path).read_text()
    first = text.split("\n", 1)[0]
    if first != SPDX and not path.endswith(".def"):
        yield 1, f"the first line is not {SPDX}"
    for n, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
        if match:
            for what in check_include(path, match[1], match[2]):
                yield n, what
    code = without_comments_and_strings(text)
    for n, line in enumerate(code.split("\n"), 1):
        for match in re.finditer(r"(?<![\w.>])(\w+)\s*\(", line):
            if match[1] in BANNED and (match[1], path[:6]) not in ALLOWED:
                yield n, f"{match[1]}: never; {BANNED[match[1]]}"


def main():
    files = [
        p.relative_to(ROOT).as_posix()
        for top in ("gateway", "conf", "bridges", "tests")
        for p in sorted((ROOT / top).rglob("*"))
        if p.suffix in (".c", ".h", ".def") and "node_modules" not in p.parts
    ]
    bad = 0
    for path in files:
        for n, what in check(path):
            print(f"{path}:{n}: {what}")
            bad += 1
    if not files:
        print("no C found")
    return 1 if bad or not files else 0


if __name__ == "__main__":
    sys.exit(main())
