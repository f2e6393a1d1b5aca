"""How much memory a process has held at most, and what keeps it from growing."""

from __future__ import annotations

import os
import sys

CACHES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
"""Environment variables: how many shapes PyTorch and oneDNN remember on a CPU. They read them on first use."""
SHAPES = "32"


def bound_caches() -> None:
    """Let few shapes be remembered, unless the user says how many. To be called before the first product.

    In bfloat16, oneDNN compiles each product for its shape and keeps a thousand of them; packs and prompts are
    of ever new lengths, so that little is found again and gigabytes are held within minutes.
    """
    for name in CACHES:
        os.environ.setdefault(name, SHAPES)


def peak_memory(device: str) -> int:
    """Bytes: of tensors on the GPU, else of all that was resident (0 where the system does not tell)."""
    import torch

    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
