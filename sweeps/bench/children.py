"""Functions that run in a Python of their own, as if nothing had been there before."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def alone(module: str, *arguments: object) -> Any:
    """What `python -m module arguments` prints as the last line of its output, read as JSON."""
    told = [str(argument) for argument in arguments]
    paths = [str(ROOT), str(ROOT / "diagnostics"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(
        [sys.executable, "-m", module, *told], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(told)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
