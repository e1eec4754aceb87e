"""The declarations a backend makes: formats, rules, toolchains.

A backend's `rules.py` builds one `Backend` from these and calls it `backend`. The planner and the
toolchain provisioner read it; nothing here imports a converter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["file", "tree"]


class Options(BaseModel):
    """Base of every format's options: unknown names are errors, values are never coerced silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Scheme:
    """A quantization scheme that a format can take.

    Attributes:
        name: The recipe's word: `float16`, `weight-only`, `dynamic`, `static`.
        bits: Widths that are supported; empty where the scheme has no width.
        calibrated: Whether the step needs calibration data.
        exact_types: What becomes of weights and activations, in words, for docs and errors.
    """

    name: str
    bits: tuple[int, ...] = ()
    calibrated: bool = False
    exact_types: str = ""


@dataclass(frozen=True)
class Runtime:
    """How artifacts of a format are run for verification.

    Attributes:
        toolchain: Name of the toolchain that holds the runtime.
        module: Module in the backend's folder with `load(path, io, threads)`; see `kit.measure`.
    """

    toolchain: str
    module: str = "runtime"


@dataclass(frozen=True)
class Format:
    """A kind of artifact.

    Attributes:
        name: The recipe's word for it, for example `tflite`.
        suffix: File suffix of an artifact, for example `.mlpackage`.
        kind: Whether the artifact is a file or a folder.
        options: The options a recipe may give; `None` takes none.
        schemes: Quantization schemes it can take.
        runtime: What runs it, or `None` where nothing here does.
        unverified: Why it is not run, where `runtime` is `None`.
        dynamic: Whether artifacts keep dynamic sizes; else sizes are fixed at `example`.
        deployable: Whether a target may ask for it.
        numeric: Whether it computes the model's outputs. What does not (a package, a listing) has
            nothing to be compared with the original: it has no measurement, the original is not run
            for it, and it is `unverified` with the format's reason.
    """

    name: str
    suffix: str
    kind: Kind = "file"
    options: type[Options] = Options
    schemes: tuple[Scheme, ...] = ()
    runtime: Runtime | None = None
    unverified: str = ""
    dynamic: bool = True
    deployable: bool = True
    numeric: bool = True


@dataclass(frozen=True)
class Output:
    """A file or folder that a step must write."""

    name: str
    filename: str
    kind: Kind = "file"


@dataclass(frozen=True)
class Rule:
    """A kind of step.

    Attributes:
        name: For example `onnx.export`; shown in routes, logs and JSON.
        takes: Formats that it accepts as its main input; `source:factory` (a Python factory with
            its checkpoint), `source:torchscript`, `source:exported` and `source:onnx` stand for a
            model's own source.
        gives: The format that it makes.
        toolchain: Where its worker runs; `model` stands for the model's own environment.
        worker: `module:function` inside the backend's folder.
        schemes: Schemes it makes in this one step, beside the unquantized artifact; for a rule
            whose `takes` and `gives` are the same format: the schemes it quantizes to.
        route: The word for this way in a recipe's `route:`, where there is a choice.
        methods: Values of a model's `capture:` for which the rule serves; empty: all.
        cost: Relative; the planner takes the cheapest route.
        needs: Options imposed on the step before it, for example `{"dynamic": False}`.
        options: Names of the format's options that this step reads; they enter its key.
        metadata: Whether it writes the names of project, model and release into what it makes; they
            then enter its key.
        reproducible: Whether equal inputs give equal bytes. Where a converter prevents it, the
            backend's README says what was tried, and the report says so of each deployable.
        user_code: Whether the model's own Python code runs in it (what it reads is discovered).
        available: Why it cannot run on this machine, or `None`. Called by the planner.
        resources: How much it needs, while it runs, of what a machine has few of: `{"gpu": 1}`. The
            user's settings say how many there are.
    """

    name: str
    takes: tuple[str, ...]
    gives: str
    toolchain: str
    worker: str
    schemes: tuple[str, ...] = ()
    route: str | None = None
    methods: tuple[str, ...] = ()
    cost: float = 1.0
    needs: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    metadata: bool = False
    reproducible: bool = True
    user_code: bool = False
    available: Callable[[], str | None] = lambda: None
    resources: Mapping[str, int] = field(default_factory=dict)

    @property
    def asks_machine(self) -> bool:
        """Whether it looks at this machine before it says that it can run."""
        return self.available is not Rule.available

    @property
    def quantizes(self) -> bool:
        """Whether this step takes a finished artifact and makes a smaller one of the same format."""
        return self.takes == (self.gives,)


@dataclass(frozen=True)
class Toolchain:
    """A pinned environment.

    Attributes:
        name: For example `coreml`; unique over all backends.
        lock: The lock file: exact pins, with hashes where one build serves every machine.
        requirements: What `modelbuild toolchain lock` resolves into the lock.
        python: Minor versions of CPython the lock is valid for, best first.
        about: One line for `toolchain list`.
    """

    name: str
    lock: Path
    requirements: Path
    python: tuple[str, ...] = ("3.11",)
    about: str = ""


@dataclass(frozen=True)
class Backend:
    """Everything about one format or family."""

    name: str
    folder: Path
    formats: tuple[Format, ...] = ()
    rules: tuple[Rule, ...] = ()
    toolchains: tuple[Toolchain, ...] = ()
