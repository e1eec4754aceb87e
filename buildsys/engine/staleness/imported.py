"""Holds a step to its key: what it imported must be what the key's fingerprint says is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

FEW = 3


def differences(imported: Iterable[tuple[str, str]], installed: Mapping[str, str]) -> str | None:
    """Says which packages a step imported that are not those of its key; `None` where all are.

    Args:
        imported: Name and version, as the step saw them. One that was replaced meanwhile is there twice.
        installed: Name to version, of the fingerprint; empty where it is not known.
    """
    if not installed:
        return None
    said = []
    for name, version in imported:
        known = installed.get(name)
        if known is None:
            said.append(f"{name} {version}, which was not there")
        elif known != version:
            said.append(f"{name} {version} in place of {known}")
    more = f" and {len(said) - FEW} more" if len(said) > FEW else ""
    return ", ".join(said[:FEW]) + more if said else None
