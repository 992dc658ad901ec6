# SPDX-License-Identifier: Apache-2.0
"""Run libFuzzer targets.

    run.py replay PROGRAM...    every file of each target's corpus, once
    run.py SECONDS PROGRAM...   new inputs for that long, each target

The corpus of fuzz_NAME is tests/fuzz/corpus/NAME, its dictionary, if any,
tests/fuzz/NAME.dict. Inputs found while fuzzing are kept beside the programs,
in corpus/NAME; one that fails is named in the output: fix the code and add
the input to the target's corpus. The last line reads "N passed, N failed".
"""

import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
FLAGS = ["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=0"]


def name_of(program):
    return program.name.removeprefix("fuzz_")


def call(program, args):
    found = program.parent.parent / "found" / name_of(program)
    found.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [program, *FLAGS, f"-artifact_prefix={found}/", *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        print(done.stdout.decode(errors="replace")[-8000:])
    return done.returncode == 0, done.stdout.decode(errors="replace")


def replay(program):
    seeds = HERE / "corpus" / name_of(program)
    n = sum(1 for _ in seeds.iterdir()) if seeds.is_dir() else 0
    if n == 0:
        print(f"{program.name:32} FAILED: no corpus in {seeds}")
        return 0, 1
    ok, _ = call(program, ["-runs=0", seeds])
    print(f"{program.name:32} {'ok' if ok else 'FAILED':6} {n:5} inputs", flush=True)
    return (n, 0) if ok else (0, 1)


def fuzz(program, seconds):
    corpus = program.parent.parent / "corpus" / name_of(program)
    corpus.mkdir(parents=True, exist_ok=True)
    args = [f"-max_total_time={seconds}", "-print_final_stats=1"]
    words = HERE / f"{name_of(program)}.dict"
    if words.exists():
        args.append(f"-dict={words}")
    ok, output = call(program, [*args, corpus, HERE / "corpus" / name_of(program)])
    runs = output.rpartition("stat::number_of_executed_units:")[2].split()
    print(f"{program.name:32} {'ok' if ok else 'FAILED':6} {runs[0] if runs else '?'} runs",
          flush=True)
    return (1, 0) if ok else (0, 1)


def main():
    what, programs = sys.argv[1], [pathlib.Path(p).resolve() for p in sys.argv[2:]]
    os.environ.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    if what == "replay":
        results = [replay(p) for p in programs]
    else:
        results = [fuzz(p, int(what)) for p in programs]
    passed = sum(r[0] for r in results)
    failed = sum(r[1] for r in results)
    if not results:
        print("no fuzz target found")
        failed = 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
