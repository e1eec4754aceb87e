"""All backends: the folders beside `backends/base.py`, and what other packages register."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from buildsys.backends import BUILT_IN
from buildsys.backends.base import Backend, Format, Rule, Source
from buildsys.backends.toolchain import Toolchain
from buildsys.quantization import METHOD_NAMES, SCHEME_NAMES

ENTRY_POINTS = "modelbuild.backends"


class CatalogError(Exception):
    """Two backends claim one name, or one cannot be imported. A bug of a backend."""


def load_built_in() -> list[Backend]:
    """Imports the declarations of the backends that come with this package."""
    return [
        importlib.import_module(f"buildsys.backends.{folder.name}.rules").backend
        for folder in sorted(BUILT_IN.iterdir())
        if (folder / "rules.py").exists()
    ]


def load_backends() -> list[Backend]:
    """Imports every backend's declarations, never a worker.

    Raises:
        CatalogError: A registered backend does not import or is no `Backend`.
    """
    found = load_built_in()
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            backend = entry.load()
        except Exception as error:
            raise CatalogError(f"backend `{entry.name}` ({entry.value}): {error}") from error
        if not isinstance(backend, Backend):
            raise CatalogError(f"backend `{entry.name}` ({entry.value}) is not a `Backend`")
        found.append(backend)
    return found


def _words(declared: Format) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """The words of recipes that a format declares, and all that there are."""
    for scheme in declared.schemes:
        yield "scheme", (scheme.name, *scheme.mixes), SCHEME_NAMES
        yield "calibration method", scheme.methods, METHOD_NAMES


@dataclass(frozen=True)
class Catalog:
    """Formats, rules and toolchains by name."""

    backends: tuple[Backend, ...]

    @classmethod
    def load(cls, backends: Iterable[Backend] | None = None) -> Catalog:
        """Reads all backends, or takes the given ones, and refuses names that clash."""
        catalog = cls(tuple(load_backends() if backends is None else backends))
        for kind, names in (
            ("format", [f.name for b in catalog.backends for f in b.formats]),
            ("source", [s.kind for b in catalog.backends for s in b.sources]),
            ("toolchain", [t.name for b in catalog.backends for t in b.toolchains]),
        ):
            for name in {n for n in names if names.count(n) > 1}:
                raise CatalogError(f"two backends declare the {kind} `{name}`")
        for declared in (f for b in catalog.backends for f in b.formats):
            for kind, words, known in _words(declared):
                for word in words:
                    if word not in known:
                        raise CatalogError(
                            f"the format `{declared.name}` declares the {kind} `{word}`; "
                            f"known are {', '.join(known)}"
                        )
        return catalog

    @cached_property
    def formats(self) -> dict[str, Format]:
        """Formats by name."""
        return {f.name: f for b in self.backends for f in b.formats}

    @cached_property
    def rules(self) -> tuple[tuple[Backend, Rule], ...]:
        """All rules, each with its backend."""
        return tuple((b, r) for b in self.backends for r in b.rules)

    @cached_property
    def refiners(self) -> dict[str, tuple[tuple[Backend, Rule], ...]]:
        """The rules that only options ask for, by the format that they refine."""
        found: dict[str, tuple[tuple[Backend, Rule], ...]] = {}
        for backend, rule in self.rules:
            if rule.refines:
                found[rule.gives] = (*found.get(rule.gives, ()), (backend, rule))
        return found

    @cached_property
    def toolchains(self) -> dict[str, Toolchain]:
        """Toolchains by name."""
        return {t.name: t for b in self.backends for t in b.toolchains}

    @cached_property
    def routes(self) -> dict[tuple[object, ...], Any]:
        """The routes that `conversion/routes.py` has found; they depend on nothing but the catalog."""
        return {}

    def default_options(self, format_name: str) -> Mapping[str, Any]:
        """What a format's options are where the recipe gives none."""
        found = self._default_options.get(format_name)
        if found is None:
            found = self.formats[format_name].options().model_dump(mode="json")
            self._default_options[format_name] = found
        return found

    @cached_property
    def _default_options(self) -> dict[str, Mapping[str, Any]]:
        return {}

    @cached_property
    def _by_source(self) -> dict[str, tuple[Backend, Source]]:
        return {s.kind: (b, s) for b in self.backends for s in b.sources}

    @cached_property
    def _by_format(self) -> dict[str, Backend]:
        return {f.name: b for b in self.backends for f in b.formats}

    @cached_property
    def _by_name(self) -> dict[str, Backend]:
        return {b.name: b for b in self.backends}

    def backend(self, name: str) -> Backend:
        """A backend by name."""
        return self._by_name[name]

    def backend_of(self, format_name: str) -> Backend:
        """The backend that declares a format."""
        return self._by_format[format_name]

    def source(self, kind: str) -> tuple[Backend, Source]:
        """A kind of source, and the backend that declares it."""
        return self._by_source[kind]

    def deployable_formats(self) -> list[str]:
        """Names that a target may ask for."""
        return sorted(f.name for f in self.formats.values() if f.deployable)
