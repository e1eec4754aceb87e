"""What this machine is called, where times depend on it."""

from __future__ import annotations

import os
import platform


def machine_name() -> str:
    """The processor, and how many cores there are: what times depend on before all else.

    Machines that are alike have one name, so a fleet of them measures once.
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
