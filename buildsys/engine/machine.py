"""This machine: what it is called where times depend on it, and how much of its memory is free."""

from __future__ import annotations

import os
import platform

RESERVE = 0.8
"""The part of the free memory that a build takes for itself."""


def name() -> str:
    """The processor, and how many cores there are: what times depend on before all else.

    Machines that are alike have one name, so a fleet of them measures once. Benchmarks and
    measurements name the machine in the same words (see `kit.run.measurement`).
    """
    model = ""
    try:
        with open("/proc/cpuinfo", errors="replace") as stream:
            for line in stream:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    model = value.strip()
                    break
    except OSError:
        pass  # Not Linux.
    return f"{model or platform.processor() or platform.machine()}, {os.cpu_count()} cores"


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
