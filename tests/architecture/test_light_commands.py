"""What only reads answers at once, because it imports no engine."""

import resource
import subprocess
import sys
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


def cpu_seconds_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize(
    "command",
    [
        ["validate", "studies/quickstart.yaml"],
        ["plan", "studies/quickstart.yaml", "--no-calibrate"],
        ["simulate", "studies/quickstart.yaml", "--oracle", "steep", "--workers", "1,4", "--seeds", "3"],
        ["list"],
        ["schema"],
        ["studies"],
        ["status", "studies"],
        ["report", "studies"],
    ],
    ids=lambda command: command[0],
)
def test_a_reading_command_imports_no_engine_and_answers_at_once(command):
    before = cpu_seconds_of_children()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.stderr.strip().splitlines()[-1] == "[]"
    assert cpu_seconds_of_children() - before < 3, "of CPU time: a busy machine changes little about it"
    assert done.returncode in (0, 5), done.stderr  # 5: a folder that holds no study


def test_importing_the_package_or_its_api_imports_no_engine():
    program = f"import sys, sp_search.api; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
