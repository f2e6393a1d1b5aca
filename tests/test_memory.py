"""Memory: a process that computes with ever new shapes stays as small as it was."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import torch
from coalm.memory import bound_caches, peak_memory

torch.set_num_threads(1)
bound_caches()
weight = torch.randn(256, 256, dtype=torch.bfloat16)
def compute(sizes):
    for size in sizes:
        torch.randn(size, 256, dtype=torch.bfloat16) @ weight
compute(range(1, 50))
compute([900])
before = peak_memory("cpu")
compute(range(50, 850))
print((peak_memory("cpu") - before) / 2**20)
"""


def test_shapes_are_forgotten() -> None:
    """Without the bound, 800 shapes hold 540 MB."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 100
