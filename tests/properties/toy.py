"""A small project: its files, options and toolchains, the graph of it, and what each step makes.

A step's outputs are a function of all that it reads, and a lossy one: an even number and the odd one
after it give equal bytes, so that there is something to cut off.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from buildsys.backends.output import Output
from buildsys.engine.environments import Environments
from buildsys.engine.staleness import keys
from buildsys.planner.graph import (
    Action,
    ActionGraph,
    Deployable,
    Evidence,
    FileInput,
    Input,
    Limits,
    OutputRef,
    Quantized,
    Route,
    Worker,
)
from buildsys.store.content import tree_digest, tree_manifest
from buildsys.toolchains import ToolchainError
from buildsys.toolchains.inside.program import ABSENT
from tests.properties.clock import Clock

INPUTS = ("a.bin", "b.bin", "c.bin", "data/one", "data/two")
CODE = ("code/model", "code/helper", "code/extra")
"""The last is looked for, and at first not there; the second is read where the first says so."""
WORKER = "kit/worker.py"
FILES = (*INPUTS, *CODE, WORKER)
MAY_BE_MISSING = ("c.bin", "code/extra")
TOOLCHAINS = ("one", "two")
PROJECT = "toy"

Content = bytes | dict[str, bytes]
"""A file, or a folder by path."""


def number(value: int) -> bytes:
    """A source's bytes; all of one size."""
    return b"n=%02d\n" % value


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_of(content: Content) -> str:
    """The digest in the store's terms."""
    if isinstance(content, bytes):
        return sha(content)
    return tree_digest(tree_manifest([(n, sha(d), len(d)) for n, d in content.items()]))


def names_of(content: Content) -> list[str]:
    """The stored files that hold it."""
    found = [digest_of(content).partition(":")[2]]
    if isinstance(content, dict):
        found += [sha(data).partition(":")[2] for data in content.values()]
    return found


def told(content: Content | None) -> str:
    """What a step makes of what it reads: the half of a source, all of anything else."""
    if content is None:
        return "nothing"
    if isinstance(content, dict):
        return "+".join(f"{n}:{told(d)}" for n, d in sorted(content.items()))
    if content.startswith(b"n="):
        return str(int(content[2:]) // 2)
    return hashlib.sha256(content).hexdigest()[:12]


@dataclass(frozen=True)
class Step:
    """An action of the toy, as it is declared."""

    rule: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    toolchain: str | None = "one"
    code: bool = False


STEPS: dict[str, Step] = {
    "sample": Step("sample", {"data": "data"}, {"data": "file"}, None),
    "capture": Step(
        "capture", {"weights": "a.bin"}, {"artifact": "file", "io": "file"}, "one", code=True
    ),
    "left": Step("convert", {"x": "capture.artifact"}, {"out": "file"}),
    "right": Step("convert", {"x": "b.bin"}, {"out": "file"}),
    "twin": Step("convert", {"x": "c.bin"}, {"out": "file"}),
    "slim": Step("slim", {"x": "left.out"}, {"out": "file"}, "two"),
    "join": Step(
        "join", {"x": "left.out", "y": "right.out", "z": "twin.out"}, {"out": "tree"}, "two"
    ),
    "small": Step("shrink", {"x": "slim.out"}, {"out": "file"}, "two"),
    "run": Step("run", {"artifact": "join.out", "data": "sample.data"}, {"figures": "file"}, None),
}
LABELS = {
    "x/join": ("join.out", "run.figures"),
    "y/small": ("small.out", None),
    "y/right": ("right.out", None),
}


def make(step: str, options: Mapping[str, object], text: str) -> dict[str, Content]:
    """A step's outputs; `text` says all that it read."""
    rule = STEPS[step].rule
    if rule == "run":
        value = int(hashlib.sha256(text.encode()).hexdigest()[0], 16) % 2
        figures = {"shape_match": True, "dtype_match": True, "nonfinite_mismatch": 0}
        outputs = {"y": figures | {"nan_count": 0, "inf_count": 0, "max_abs": float(value)}}
        record = {"outputs": outputs, "metric": None, "text": text}
        return {"figures": json.dumps(record).encode()}
    text = f"{rule} gain={options['gain']} {text}"
    if rule == "join":
        return {"out": {"a/one": text.encode(), "b": b"b" + text.encode(), "same": b"same"}}
    made: dict[str, Content] = {n: f"{n} {text}".encode() for n in STEPS[step].outputs}
    if "io" in made:
        made["io"] = json.dumps({"inputs": [options["gain"]]}).encode()
    return made


class Toolchains(Environments):
    """Stand-ins for environments: a version each, and whether it is installed."""

    def __init__(self) -> None:
        self.numbers = dict.fromkeys(TOOLCHAINS, 0)
        self.missing: set[str] = set()
        self.broken: set[str] = set()
        self.made: list[str] = []

    def fingerprint(self, environment: str) -> str | None:
        if environment in self.missing:
            return None
        return f"{environment} {self.numbers[environment]}"

    def versions(self, environment: str) -> dict[str, str]:
        return {}

    def altered(self, environment: str) -> str | None:
        return None

    def ensure(self, environment: str, on_progress: Callable[[str], None]) -> None:
        if environment in self.broken:
            raise ToolchainError(environment, "it was told to fail", None)
        self.missing.discard(environment)
        self.made.append(environment)

    def stop(self) -> None:
        """Nothing is being made by anybody else."""

    def python(self, environment: str) -> Path:
        return Path("python")

    def lock(self, environment: str) -> str | None:
        return f"lock {self.numbers[environment]}"


class Toy:
    """The project as it is now: on the disk, and as the test knows it.

    Attributes:
        files: Number by name; `None` for a file that is not there.
        options: By action.
        dropped: Deployables that left the recipe.
        slim: Whether the optional step is in the graph.
        limit: The tolerance.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self.clock = clock
        self.files: dict[str, int | None] = {}
        self.options: dict[str, dict[str, object]] = {n: {"gain": 1, "colour": 0} for n in STEPS}
        self.dropped: set[str] = set()
        self.slim = True
        self.limit = 0.5
        self.toolchains = Toolchains()
        self.guard = threading.Lock()
        self.trash = 0
        self.seen: dict[str, set[int | None]] = {}
        for name in ("data", "code", "kit"):
            (folder / name).mkdir(parents=True)
        for name in FILES:
            self.write(name, 0 if name != "code/extra" else None)
        clock.sleep(1)

    def write(self, name: str, value: int | None, how: str = "rename") -> None:
        """Gives a file a number: in place, or as editors and `mv` do it."""
        path = self.folder / name
        with self.guard:
            self.seen.setdefault(name, {self.files.get(name)}).add(value)
            self.files[name] = value
            if value is None:
                path.unlink(missing_ok=True)
                return
            if how == "place" or not path.exists():
                path.write_bytes(number(value))
                self.clock.stamp(path)
                return
            # The old file is kept, so that its inode is not given to another one.
            before = path.stat()
            self.trash += 1
            new = self.folder.parent / f"trash-{self.trash}"
            new.write_bytes(number(value))
            if how == "old":
                os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
            else:
                self.clock.stamp(new)
            os.link(path, self.folder.parent / f"kept-{self.trash}")
            new.rename(path)

    def touch(self, name: str) -> None:
        if self.files[name] is not None:
            self.clock.stamp(self.folder / name)

    def content(self, name: str) -> Content | None:
        """What is on the disk, by the model alone."""
        if name == "data":
            return {
                n[5:]: number(v)
                for n, v in self.files.items()
                if n[:5] == "data/" and v is not None
            }
        value = self.files[name]
        return None if value is None else number(value)

    def implementation(self) -> str:
        content = self.content(WORKER)
        assert isinstance(content, bytes)
        return keys.digest([["worker.py", sha(content)]])

    def reads(self) -> dict[str, Content | None]:
        """What the model's own code reads."""
        found = {name: self.content(name) for name in ("code/model", "code/extra")}
        if (self.files["code/model"] or 0) % 2:
            found["code/helper"] = self.content("code/helper")
        return found

    def labels(self) -> list[str]:
        return [label for label in LABELS if label not in self.dropped]

    def steps(self) -> dict[str, Step]:
        steps = dict(STEPS)
        if not self.slim:
            del steps["slim"]
            steps["small"] = Step("shrink", {"x": "left.out"}, {"out": "file"}, "two")
        return steps

    def graph(self, targets: frozenset[str], *, backwards: bool = False) -> ActionGraph:
        """The actions of the selected targets; `backwards` turns every order that means nothing."""
        steps = self.steps()
        chosen = [label for label in self.labels() if label[0] in targets]
        needed: dict[str, None] = {}

        def visit(name: str) -> None:
            given = [n.partition(".")[0] for n in steps[name].inputs.values()]
            for other in reversed(given) if backwards else given:
                if other in steps:
                    visit(other)
            needed.setdefault(name)

        for label in reversed(chosen) if backwards else chosen:
            for ref in (*LABELS[label], "capture.io"):
                if ref is not None:
                    visit(ref.partition(".")[0])
        graph = ActionGraph(labels=tuple(self.labels()))
        for place, name in enumerate(needed):
            graph.actions[name] = self._action(name, steps[name], place, backwards)
        graph.deployables = [self._deployable(label, graph) for label in chosen]
        return graph

    def _action(self, name: str, step: Step, place: int, backwards: bool) -> Action:
        inputs: dict[str, Input] = {}
        for key, given in step.inputs.items():
            head, _, rest = given.partition(".")
            inputs[key] = OutputRef(head, rest) if head in STEPS else FileInput(self.folder / given)
        options = dict(self.options[name])
        if backwards:
            inputs = dict(reversed(inputs.items()))
            options = dict(reversed(options.items()))
        return Action(
            id=name,
            rule=step.rule,
            worker=Worker(f"toy:{step.rule}", "toy", None, (), (self.folder / WORKER,)),
            environment=step.toolchain,
            inputs=inputs,
            options=options,
            outputs=tuple(
                Output(n, f"{n}.bin", "tree" if kind == "tree" else "file")
                for n, kind in step.outputs.items()
            ),
            user_code=step.code,
            slots=[f"{PROJECT}:{name}"],
            number=place,
        )

    def _deployable(self, label: str, graph: ActionGraph) -> Deployable:
        target, _, name = label.partition("/")
        artifact, figures = (
            OutputRef(*ref.split(".")) if ref is not None else None for ref in LABELS[label]
        )
        assert artifact is not None
        io = OutputRef("capture", "io")
        return Deployable(
            label=label,
            target=target,
            model="m",
            format="toy",
            filename=f"{name}.toy",
            place=(),
            options={},
            artifact=artifact,
            io=io,
            actions=tuple(graph.below_all([artifact, io, figures])),
            quantized=Quantized(None, None, None, "float", widens=False),
            route=Route((), reproducible=True),
            evidence=Evidence(figures, None if figures else "nothing runs it"),
            limits=Limits("default", {"max_abs": self.limit} if figures else {}),
        )


def semantic(
    action: Action,
    implementation: str,
    fingerprint: str | None,
    inputs: Mapping[str, str | None],
    read: Mapping[str, Content | None] | None,
) -> str:
    """All that decides what a step makes, in the test's own words: what the engine's key must tell."""
    found = None
    if action.user_code:
        found = {n: ABSENT if c is None else digest_of(c) for n, c in (read or {}).items()}
    return keys.canonical(
        [action.rule, action.options, implementation, fingerprint, dict(inputs), found]
    ).decode()


def semantic_of(record: Mapping[str, object]) -> str:
    """The same from a trace's manifest."""
    toolchain = record["toolchain"]
    assert isinstance(toolchain, dict)
    fingerprint = None if toolchain["name"] == "coordinator" else toolchain["fingerprint"]
    return keys.canonical(
        [
            record["rule"],
            record["options"],
            record["implementation"],
            fingerprint,
            record["inputs"],
            record.get("discovered"),
        ]
    ).decode()
