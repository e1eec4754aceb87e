"""How much of this machine's memory is free."""

from __future__ import annotations

import os

RESERVE = 0.8
"""The part of the free memory that a build takes for itself."""


def free_memory() -> int:
    """Bytes that a build may fill: what is available now, within a container's limit."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        with open("/proc/meminfo") as stream:
            for line in stream:
                if line.startswith("MemAvailable:"):
                    found.append(int(line.split()[1]) * 1024)
        with open("/sys/fs/cgroup/memory.max") as stream:
            limit = stream.read().strip()
        with open("/sys/fs/cgroup/memory.current") as stream:
            used = int(stream.read())
        if limit != "max":
            found.append(max(0, int(limit) - used))
    except (OSError, ValueError):
        pass  # Not Linux, or no such limit.
    return int(min(found) * RESERVE)
