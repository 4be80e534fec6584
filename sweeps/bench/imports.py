"""How long `import torchvitals` takes beyond `import torch`, in fresh interpreters that take turns."""

import json
import subprocess
import sys
from statistics import median
from typing import Any

from sweeps.bench.children import ROOT
from sweeps.bench.figures import middle
from sweeps.bench.overhead import Say

PAIRS = 9
CODE = """
import json, sys, time
sys.path.insert(0, {path!r})
begun = time.perf_counter()
import torch
between = time.perf_counter()
{more}
print(json.dumps([time.perf_counter() - begun, time.perf_counter() - between]))
"""


def measured(*, quick: bool, say: Say, **_anywhere: Any) -> dict[str, Any]:
    """Medians in seconds: of either import, of their difference, and of the second after the first."""
    pairs = 2 if quick else PAIRS
    torch, both, after = [], [], []
    for pair in range(pairs):
        say(f"pair {pair + 1} of {pairs}")
        torch.append(_imported("")[0])
        whole, rest = _imported("import torchvitals")
        both.append(whole)
        after.append(rest)
    return {
        "torch": middle(torch),
        "both": middle(both),
        "beyond": median(both) - median(torch),
        "after": middle(after),
    }


def _imported(more: str) -> list[float]:
    code = CODE.format(path=str(ROOT / "diagnostics"), more=more)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
