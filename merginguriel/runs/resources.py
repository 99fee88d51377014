"""Peak memory of this process and of its GPU."""

from __future__ import annotations

import sys
from typing import Any


def used() -> dict[str, Any]:
    """Return what the event that ends a run records: peak memory in MB, and name and peak memory of the GPU used."""
    return {"peak_memory_mb": peak_memory(), **gpu()}


def peak_memory() -> float | None:
    """Return the peak memory of this process in MB; None where the system does not tell it."""
    if sys.platform == "win32":
        return None
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(usage / (1 << 20) if sys.platform == "darwin" else usage / 1024, 1)


def gpu() -> dict[str, Any]:
    """Return name and peak memory (MB) of the GPU that the run used; empty without one."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    held = round(torch.cuda.max_memory_allocated() / (1 << 20), 1)
    return {"gpu": torch.cuda.get_device_name(), "gpu_peak_memory_mb": held}
