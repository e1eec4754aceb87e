"""The declarations a backend makes: formats, rules, toolchains.

A backend's `rules.py` builds one `Backend` from these and calls it `backend`. The planner and the
toolchain provisioner read it; nothing here imports a converter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from buildsys.backends.output import Kind as Kind
from buildsys.backends.output import Output as Output
from buildsys.backends.toolchain import Toolchain as Toolchain
from buildsys.quantization import CALIBRATED


class Options(BaseModel):
    """Base of every format's options: unknown names are errors, values are never coerced silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Scheme:
    """A quantization scheme that a format can take, with all that a profile may say of it.

    A recipe that asks for anything else is in error before anything runs.

    Attributes:
        name: The recipe's word, of `buildsys.quantization.SCHEMES`.
        bits: Widths of weights that are supported; empty where the scheme has no width.
        palettes: Widths with `palette`, of a scheme that reads it.
        widens: Whether what it keeps narrower is computed with in float32: its artifacts are then the model
            with rounded weights, and nothing but that.
        exact_types: What becomes of weights and activations, in words, for docs and errors.
        reads: What of a profile the step reads besides, of the fields that mean nothing to most
            schemes (`OPTIONAL` in `buildsys.recipe.schema.quantization`, `keep_float` is one).
        per_channel: What `per_channel` may say, of schemes of integers.
        symmetric: What `symmetric` may say; empty where there is no choice.
        activations: What `activations` may say, the default first; empty where there is no choice.
        methods: What `calibration.method` may say, of `buildsys.quantization.METHODS`; empty where there
            is no choice.
        mixes: Of `mixed`: schemes that the profiles of layers may have, besides `float`.
        one_static: Of `mixed`: whether layers may have one `static` profile only, since the library
            calibrates a model by one.
        library: What makes it, for docs: `onnxruntime.quantization`.
    """

    name: str
    bits: tuple[int, ...] = ()
    palettes: tuple[int, ...] = ()
    widens: bool = False
    exact_types: str = ""
    reads: tuple[str, ...] = ()
    per_channel: tuple[bool, ...] = (True,)
    symmetric: tuple[bool, ...] = ()
    activations: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    mixes: tuple[str, ...] = ()
    one_static: bool = False
    library: str = ""

    @property
    def calibrated(self) -> bool:
        """Whether the step needs calibration data."""
        return self.name in CALIBRATED


@dataclass(frozen=True)
class Runtime:
    """How artifacts of a format are run for verification.

    Attributes:
        toolchain: Name of the toolchain that holds the runtime.
        module: Module in the backend's folder with `load(path, io, threads)`; see `kit.run.measurement`.
        available: Why it cannot run on this machine, or `None`. Called by the planner; artifacts are
            then made all the same, and `unverified` for that reason.
        resources: What it needs, while it runs, of what a machine has few of; as `Rule.resources`.
        approximates: Which of its kernels are further from the function's values than rounding alone;
            the default bounds then do not ask for errors of the size of rounding. Empty for all others.
        unrounded: Whether it can leave out what an artifact rounds on the way, and compute in float32
            with the weights that are stored (`unrounded(feed)` of its session).
        fast_kernels: Kernels that may lose more digits than rounding does, and that it can leave out
            (`plain(feed)` of its session), in words. Where a run without them shows that an artifact is
            right, its run with them is held to a coarser bound. Empty where there are none.
    """

    toolchain: str
    module: str = "runtime"
    available: Callable[[], str | None] = lambda: None
    resources: Mapping[str, int] = field(default_factory=dict)
    approximates: str = ""
    unrounded: bool = False
    fast_kernels: str = ""

    @property
    def asks_machine(self) -> bool:
        """Whether it looks at this machine before it says that it can run."""
        return self.available is not Runtime.available


@dataclass(frozen=True)
class Probe:
    """What runs an artifact and shows every intermediate tensor, to find where it goes wrong.

    Attributes:
        toolchain: Where it runs.
        module: Module in the backend's folder with `load(path, contract, threads)`; see
            `kit.inspect.probing`.
    """

    toolchain: str
    module: str = "probe"


@dataclass(frozen=True)
class Reader:
    """What reads the weights out of a finished artifact.

    Attributes:
        toolchain: Where it runs.
        module: Module in the backend's folder with `read(path, contract)`; see `kit.inspect.stored_weights`.
    """

    toolchain: str
    module: str = "stored_weights"


@dataclass(frozen=True)
class Normaliser:
    """What writes an artifact so that two that mean the same have equal bytes.

    It serves where a step is repeated and gives other bytes: whether they differ in more than in order,
    in identifiers and in dates. Steps give canonical bytes where they can, and then it has nothing to do.

    Attributes:
        toolchain: Where it runs.
        worker: `module:function` inside the backend's folder. It gets `artifact` and writes `normal`,
            one file.
    """

    toolchain: str
    worker: str


@dataclass(frozen=True)
class Check:
    """How a package around another artifact is checked where nothing here runs the package.

    The step is given the package (`artifact`, `io`) and what it was made from (`contained`). It finds
    the latter within, byte for byte, compares all that the package says with it, and writes
    `check.json`: `{"reason": what was checked, and what was not}`. The package is then gated by the
    contained artifact's own figures, and is `checked` where they hold.

    Attributes:
        toolchain: Where it runs.
        worker: `module:function` inside the backend's folder.
    """

    toolchain: str
    worker: str


Ports = Sequence[Mapping[str, Any]]
"""A model's inputs: `name`, `shape`, `dtype`, `dims` (symbol to `min`, `max`, `example`), `range`,
`layout`."""


@dataclass(frozen=True)
class Refusal:
    """Why a format cannot be made of a model with some options.

    Attributes:
        message: What is wrong; the model's name is put before it.
        hint: The way out, as an imperative.
        option: The option at fault, or `None` for the entry itself.
    """

    message: str
    hint: str | None = None
    option: str | None = None


def varying(ports: Ports) -> dict[str, Mapping[str, int]]:
    """Symbols of a model's inputs that may really vary, each to its `min`, `max` and `example`."""
    return {
        symbol: dim
        for port in ports
        for symbol, dim in port["dims"].items()
        if dim["min"] < dim["max"]
    }


@dataclass(frozen=True)
class MetadataWriter:
    """What writes an io contract into finished artifacts of a format, and reads it back.

    Attributes:
        toolchain: Where it runs.
        worker: `module:function` inside the backend's folder. It gets `artifact` and `io`, calls
            `kit.protocol.description.described`, and writes both again; numbers and names stay as they are.
    """

    toolchain: str
    worker: str


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
        evaluator: The project's own evaluator of the format, for machines where `runtime` is `None` or
            cannot run: it has the figures and the gates of a runtime, and the status `checked`.
        evaluated: What evaluating leaves unproven, in words: the reason of the status `checked`.
        original: What runs a user's own file of this format as it was given, where adopting it may change
            it so that `runtime` takes it; `None` where a file is adopted as it is.
        probe: What gives every intermediate tensor of an artifact; see `kit.inspect.probing`.
        weights: What reads an artifact's weights back as arrays; see `kit.inspect.stored_weights`.
        unverified: Why it is not run, where `runtime` is `None`.
        dynamic: Whether artifacts keep dynamic sizes; else sizes are fixed at `example`, and `plan`
            says so.
        opens: The option that keeps dynamic sizes where the format fixes them by default.
        refuses: Says what the backend cannot do, or would do nothing for, from a model's inputs and
            an entry's options alone; the recipe is then in error before anything runs.
        refuses_profile: The same of a quantization profile (as steps receive it, each one that
            `mixed` gives to layers by itself) and an entry's options.
        deployable: Whether a target may ask for it.
        unrun: Why nothing here runs what these options make, though `runtime` runs the others; such
            an artifact is `unverified` with that reason. `None` where it is run.
        numeric: Whether it computes the model's outputs. What does not (a package, a listing) has
            nothing to be compared with the original: it has no measurement, the original is not run
            for it, and it is `unverified` with the format's reason.
        metadata_writer: What puts preprocessing and labels inside of its artifacts; `None` where they have
            no place for them, and `io.json` alone tells.
        check: For a package around another artifact, where nothing runs the package itself.
        normaliser: What makes artifacts that mean the same equal, byte for byte; `None` where bytes
            are all there is to compare.
        layers: Module in the backend's folder with `layers(path, contract)`: the names of all operations
            of a float artifact as `keep_float` of its quantizing step takes them, and which have weights;
            see `kit.quantize.sensitivity`. `None` where layers cannot be quantized one by one.
        legacy: Why nothing new should be built on it, and what to take instead; plans, builds and
            reports say so. Empty for all that is maintained.
    """

    name: str
    suffix: str
    kind: Kind = "file"
    options: type[Options] = Options
    schemes: tuple[Scheme, ...] = ()
    runtime: Runtime | None = None
    evaluator: Runtime | None = None
    evaluated: str = ""
    original: Runtime | None = None
    probe: Probe | None = None
    weights: Reader | None = None
    unverified: str = ""
    dynamic: bool = True
    deployable: bool = True
    numeric: bool = True
    unrun: Callable[[Mapping[str, Any]], str | None] = lambda _: None
    metadata_writer: MetadataWriter | None = None
    check: Check | None = None
    normaliser: Normaliser | None = None
    opens: str | None = None
    refuses: Callable[[Ports, Mapping[str, Any]], Refusal | None] | None = None
    refuses_profile: Callable[[Mapping[str, Any], Mapping[str, Any]], Refusal | None] | None = None
    layers: str | None = None
    legacy: str = ""

    def keeps_sizes(self, options: Mapping[str, Any]) -> bool:
        """Whether an artifact with these options keeps dynamic sizes."""
        return self.dynamic or (self.opens is not None and bool(options[self.opens]))


@dataclass(frozen=True)
class Source:
    """A kind of source that a model may have, and what looks at the original that it gives.

    Each worker is `module:function` inside the backend's folder.

    Attributes:
        kind: The recipe's word for it, such as `factory`. Routes start at `source:` and this word.
        name: The first word of the steps' names: `torch` gives `torch.reference`.
        floor: Finds out what the original's own precision costs it.
        rounded: Runs the original with the weights that an artifact holds.
        reference: Runs the original. `None` where the runtime of its format runs the user's file.
        weights: Reads the original's weights. `None` where the reader of its format does.
        trace: Records what the original computes. `None` where the probe of its format does.
        transforms: Module with a function for each transform; empty where there are none.
        code: Whether the user's code makes the original. Its steps then run in the model's own
            environment, and what the code reads is discovered.
        toolchain: Where the steps of an original without code run.
    """

    kind: str
    name: str
    floor: str
    rounded: str
    reference: str | None = None
    weights: str | None = None
    trace: str | None = None
    transforms: str = ""
    code: bool = False
    toolchain: str = ""


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
        carries: Schemes of quantized artifacts that it takes as well: what it makes of them has the same
            scheme, by the step that made them.
        route: The word for this way in a recipe's `route:`, where there is a choice.
        when: Whether a deployable's options ask for this step. It then refines what a route has
            made: `takes` and `gives` are one format, no route goes through it, and it stands before
            whatever quantizes. Several stand in the order in which they are declared.
        methods: Values of a model's `capture:` for which the rule serves; empty: all.
        cost: Relative; the planner takes the cheapest route.
        costs: Of models with a `capture:` for which it is another.
        needs: Options imposed on the step before it, for example `{"dynamic": False}`.
        options: Names of the format's options that this step reads; they enter its key.
        metadata: Whether it writes the names of project, model and release into what it makes; they
            then enter its key.
        reproducible: Whether equal inputs give equal bytes. Where a converter prevents it, the
            backend's README says what was tried, and the report says so of each deployable.
        user_code: Whether the model's own Python code runs in it (what it reads is discovered).
        available: Why it cannot run on this machine, or `None`. Called by the planner.
        machine: What of this machine decides the bytes that it makes (a GPU, its driver): it enters
            the key, and the step receives it as `machine`. `None` where nothing does.
        resources: How much it needs, while it runs, of what a machine has few of: `{"gpu": 1}`. The
            user's settings say how many there are.
        ships: Files that the step puts into what it makes, and folders of such, relative to the backend's
            folder: they are its implementation as the modules are that it imports.
        told: Which parts of the io contract that only the recipe knows (`preprocess`, `labels`) this
            step is told, by the format's options as they are given; they then enter its key. Most
            steps need none: what an app does before and after is written into the finished artifact
            by the format's `metadata_writer`.
    """

    name: str
    takes: tuple[str, ...]
    gives: str
    toolchain: str
    worker: str
    schemes: tuple[str, ...] = ()
    carries: tuple[str, ...] = ()
    route: str | None = None
    when: Callable[[Mapping[str, Any]], bool] | None = None
    methods: tuple[str, ...] = ()
    cost: float = 1.0
    costs: Mapping[str, float] = field(default_factory=dict)
    needs: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    metadata: bool = False
    reproducible: bool = True
    user_code: bool = False
    available: Callable[[], str | None] = lambda: None
    machine: Callable[[], Mapping[str, str]] | None = None
    resources: Mapping[str, int] = field(default_factory=dict)
    told: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda options: ()
    ships: tuple[str, ...] = ()

    def cost_of(self, method: str) -> float:
        """What it costs on a route of a model that is captured by `method`."""
        return self.costs.get(method, self.cost)

    @property
    def asks_machine(self) -> bool:
        """Whether it looks at this machine before it says that it can run, or for its key."""
        return self.available is not Rule.available or self.machine is not None

    @property
    def quantizes(self) -> bool:
        """Whether this step takes a finished artifact and makes a smaller one of the same format."""
        return self.takes == (self.gives,) and not self.refines

    @property
    def refines(self) -> bool:
        """Whether it is a step of its own that only options ask for."""
        return self.when is not None

    @property
    def makes(self) -> bool:
        """Whether it makes its format from something else."""
        return not (self.quantizes or self.refines)


@dataclass(frozen=True)
class Backend:
    """Everything about one format or family."""

    name: str
    folder: Path
    formats: tuple[Format, ...] = ()
    rules: tuple[Rule, ...] = ()
    sources: tuple[Source, ...] = ()
    toolchains: tuple[Toolchain, ...] = ()
