# SPDX-License-Identifier: Apache-2.0
"""What measures an upstream beside plain Paho runs."""

import pathlib
import subprocess
import sys

import pytest
from gangway import BINARY as GANGWAY
from gangway import SANITIZER

RUN = pathlib.Path(__file__).parents[1] / "bench" / "paho" / "run.py"


@pytest.mark.slow
@pytest.mark.skipif(SANITIZER, reason="nothing to be measured here")
def test_it_runs():
    done = subprocess.run(
        [sys.executable, RUN, "--gangway", GANGWAY, "--seconds", "0.3", "--reps", "1"],
        stdout=subprocess.PIPE, text=True, timeout=120, check=True,
    )  # fmt: skip
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines()[2:]]
    assert [r[1].strip() for r in rows] == ["plain Paho", "gangway"] * 2
    assert all(float(r[2].replace(",", "")) > 1000 for r in rows)
