"""What only reads answers at once, because it imports no engine."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "ray", "mlflow", "scipy", "optuna", "sklearn")
PROGRAM = f"""
import sys
from sp_search.cli import main
code = main(sys.argv[1:])
print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    "command",
    [
        ["validate", "studies/quickstart.yaml"],
        ["plan", "studies/quickstart.yaml"],
        ["list"],
        ["schema"],
        ["status", "studies"],
        ["report", "studies"],
    ],
    ids=lambda command: command[0],
)
def test_a_reading_command_imports_no_engine_and_answers_at_once(command):
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    elapsed_seconds = time.monotonic() - started
    assert done.stderr.strip().splitlines()[-1] == "[]"
    assert elapsed_seconds < 3
    assert done.returncode in (0, 5), done.stderr  # 5: a folder that holds no study


def test_importing_the_package_or_its_api_imports_no_engine():
    program = f"import sys, sp_search.api; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
