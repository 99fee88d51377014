"""Origin of a run: code version, packages, machine and command."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import yaml

from merginguriel.config.schema import Config
from merginguriel.version import code

PACKAGES = ("torch", "transformers", "datasets", "numpy", "safetensors", "peft", "accelerate")


def text(config: Config) -> str:
    """Return code version, packages, machine and command of a run as YAML."""
    import importlib.metadata  # slow to import, and only this needs it

    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    memory = None
    with contextlib.suppress(ValueError, OSError, AttributeError):
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    table = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "code": code(),
        "python": platform.python_version(),
        "packages": versions,
        "seed": config.seed,
        "machine": {
            "host": platform.node(),
            "system": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "memory_gb": memory,
        },
        "command": list(sys.argv),
    }
    return yaml.safe_dump(table, sort_keys=False, allow_unicode=True)


def processor() -> str:
    """Return the name of the processor."""
    with contextlib.suppress(OSError, ValueError):
        found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1]
    return platform.processor()
