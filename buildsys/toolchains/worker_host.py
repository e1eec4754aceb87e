"""Runs one step inside a toolchain: `python -s -P worker_host.py REQUEST.json`.

This file is started by path with the toolchain's own interpreter, so it imports the standard library
only, and the backend's worker under the synthetic package `modelbuild_backends`; the host package is
never importable here. It writes `result.json` beside the request and always exits 0 when it could
write one: any other end is a crash, which the engine reports with the log.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import importlib.util
import json
import os
import sys
import sysconfig
import traceback
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PACKAGE = "modelbuild_backends"


class Discovery:
    """Records which files and folder listings the model's own code reads.

    `sys.addaudithook` sees every `open` of the interpreter, imports included (byte code is kept out
    of the way, so that sources are what is opened). What native libraries open themselves is not
    seen; `safetensors` is, because it is wrapped below.
    """

    def __init__(self, ignored: Iterable[Path]) -> None:
        folders = (str(p.resolve()) + os.sep for p in ignored)
        self._ignored = (*folders, "/proc/", "/sys/", "/dev/")
        self._opened: dict[str, None] = {}
        self._listed: dict[str, None] = {}
        self._active = False

    def start(self) -> None:
        """Begins to record."""
        self._active = True
        sys.addaudithook(self._audit)
        self._wrap_safetensors()

    def stop(self) -> None:
        """Stops recording; an audit hook itself cannot be removed."""
        self._active = False

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._active:
            return
        if event == "open":
            path, _, flags = arguments
            writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
            if isinstance(path, str | bytes) and not (flags or 0) & writes:
                self._add(self._opened, path)
        elif event in ("os.listdir", "os.scandir"):
            path = arguments[0] if arguments and arguments[0] is not None else "."
            if isinstance(path, str | bytes) and not self._importing():
                self._add(self._listed, path)

    @staticmethod
    def _importing() -> bool:
        """Whether the import system, not the user's code, asks for the listing."""
        frame = sys._getframe(2)
        return "importlib" in frame.f_code.co_filename

    def _add(self, into: dict[str, None], path: str | bytes) -> None:
        text = os.path.realpath(os.fsdecode(path))
        if text.endswith(".pyc") and os.path.basename(os.path.dirname(text)) == "__pycache__":
            # Outside of the project byte code is used; what counts is the source it stands for.
            text = importlib.util.source_from_cache(text)
        if not (text + os.sep).startswith(self._ignored):
            into[text] = None

    def _wrap_safetensors(self) -> None:
        try:
            import safetensors
        except ImportError:
            return
        original = safetensors.safe_open

        def safe_open(filename: Any, *args: Any, **kwargs: Any) -> Any:
            self._add(self._opened, os.fspath(filename))
            return original(filename, *args, **kwargs)

        safetensors.safe_open = safe_open
        module = sys.modules.get("safetensors.torch")
        if module is not None:
            module.safe_open = safe_open  # type: ignore[attr-defined]

    def report(self, project: Path) -> list[dict[str, str]]:
        """What was read, with digests; paths below `project` are relative to it."""
        root = str(project.resolve())
        rows = []
        for path in self._opened:
            if os.path.isfile(path):
                with open(path, "rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                rows.append({"path": self._relative(path, root), "digest": "sha256:" + digest})
        for path in self._listed:
            if os.path.isdir(path):
                digest = hashlib.sha256("\0".join(listing(path)).encode()).hexdigest()
                rows.append({"path": self._relative(path, root) + "/", "digest": "list:" + digest})
        return sorted(rows, key=lambda row: row["path"])

    @staticmethod
    def _relative(path: str, root: str) -> str:
        return os.path.relpath(path, root) if path.startswith(root + os.sep) else path


def listing(path: str) -> list[str]:
    """A folder's names, without the byte code folders that Python itself makes."""
    return sorted(name for name in os.listdir(path) if name != "__pycache__")


class SourceOnly(importlib.machinery.SourceFileLoader):
    """Imports the project's modules from their sources, whatever byte code lies beside them."""

    def get_code(self, fullname: str) -> types.CodeType:
        """Compiles the source; a stale `.pyc` can say nothing."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def import_sources(project: Path) -> None:
    """Makes imports from below `project` go by sources only, and read them where they are seen."""
    make = importlib.machinery.FileFinder.path_hook(
        (SourceOnly, importlib.machinery.SOURCE_SUFFIXES)
    )
    root = str(project.resolve()) + os.sep

    def hook(path: str) -> importlib.machinery.FileFinder:
        if not (os.path.realpath(path) + os.sep).startswith(root):
            raise ImportError(path)
        return make(path)  # type: ignore[return-value]

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()


def expose(folder: str) -> None:
    """Makes `folder` importable as the package that workers live in."""
    package = types.ModuleType(PACKAGE)
    package.__path__ = [folder]
    sys.modules[PACKAGE] = package


def perform(spec: dict[str, Any]) -> dict[str, Any]:
    """Runs the worker function that `spec` names and returns its result record."""
    expose(spec["backends"])
    if "folder" in spec:  # A third party's backend lives outside our own folder of backends.
        plugin = types.ModuleType(f"{PACKAGE}.{spec['backend']}")
        plugin.__path__ = [spec["folder"]]
        sys.modules[plugin.__name__] = plugin
    request_module = importlib.import_module(f"{PACKAGE}.kit.request")
    request = request_module.Request(
        inputs={name: Path(path) for name, path in spec["inputs"].items()},
        outputs={name: Path(path) for name, path in spec["outputs"].items()},
        options=spec["options"],
        scratch=Path(spec["scratch"]),
        project=Path(spec["project"]) if spec["project"] else None,
        threads=spec["threads"],
    )
    discovery = None
    if request.project is not None:
        sys.path.insert(0, str(request.project))
        os.chdir(request.project)
        import_sources(request.project)
        discovery = Discovery(
            [
                Path(sys.prefix),
                Path(sys.base_prefix),
                Path(sysconfig.get_paths()["stdlib"]),
                Path(spec["backends"]),
                Path(spec.get("folder", spec["backends"])),
                Path(spec["action"]),
                Path(__file__).parent,
            ]
        )
        discovery.start()
    module_name, _, function_name = spec["worker"].partition(":")
    try:
        inside = "" if module_name.startswith("kit.") else f"{spec['backend']}."
        try:
            module = importlib.import_module(f"{PACKAGE}.{inside}{module_name}")
        except ModuleNotFoundError as error:
            # A worker imports nothing but what its toolchain is made of.
            raise request_module.StepError(
                f"the environment of this step has no module `{error.name}`",
                "install it there, or choose `environment: builtin`",
                "environment",
            ) from error
        getattr(module, function_name)(request)
    except request_module.StepError as error:
        return {
            "ok": False,
            "error": {"message": error.message, "hint": error.hint, "field": error.field},
        }
    finally:
        if discovery is not None:
            discovery.stop()
    found = discovery.report(request.project) if discovery and request.project else []
    return {"ok": True, "notes": request.notes, "discovered": found}


def main() -> None:
    """Reads the request, performs it, writes `result.json` atomically and leaves at once."""
    path = Path(sys.argv[1])
    spec = json.loads(path.read_text())
    try:
        result = perform(spec)
    except Exception:
        traceback.print_exc()
        result = {"ok": False, "crash": traceback.format_exc(limit=-1).strip().splitlines()[-1]}
    target = path.with_name("result.json")
    temporary = target.with_suffix(".tmp")
    temporary.write_text(json.dumps(result))
    temporary.rename(target)
    # Tearing an interpreter with torch or TensorFlow down takes longer than many a step; all that
    # is left to do is to flush.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
