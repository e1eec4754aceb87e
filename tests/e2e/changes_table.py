"""Ten edits and damages, each made to a built project: what must run and come out, and what did.

python -m tests.e2e.changes_table
"""

from __future__ import annotations

import json
import os
import py_compile
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from buildsys.planner.catalog import Catalog
from buildsys.store import Store
from buildsys.toolchains import Provisioner
from tests.e2e.project import Project

HERE = Path(__file__).parent / "changes"
FILE = Path(__file__).parents[2] / "docs" / "changes.md"
HELPER = "def scaled(y):\n    return {} * y\n"
FLOAT, INT8 = "server/net.onnx", "server/net-int8.onnx"

MODEL_CODE = {"torch.export": 1, "torch.reference": 1, "torch.floor": 1, "torch.weights": 1}
BOTH = {
    **MODEL_CODE,
    "onnx.export": 2,
    "onnx.quantize": 1,
    "onnx.run": 2,
    "onnx.weights": 3,
    "verify.measure": 2,
    "verify.weights": 2,
}
"""All but the drawing of samples. The exports have two opsets, so three files have weights."""


@dataclass(frozen=True)
class Case:
    """One edit or damage.

    Attributes:
        name: What is done, in words.
        do: Does it.
        runs: The steps that must run, and how often.
        changes: The artifacts whose bytes must differ afterwards.
        plan: What `plan` must say beforehand.
        stale: Whether Olive serves what was there before.
    """

    name: str
    do: Callable[[Changes], None]
    runs: Counter[str]
    changes: frozenset[str]
    plan: str
    stale: bool = False


@dataclass(frozen=True)
class Row:
    """What one did.

    Attributes:
        case: Which.
        ran: The steps that ran, and how often.
        changed: The artifacts whose bytes differ.
        plan: What `plan` said.
        code: The exit status of the build.
    """

    case: Case
    ran: Counter[str]
    changed: frozenset[str]
    plan: str
    code: int

    @property
    def right(self) -> bool:
        """Whether it did what it must."""
        wanted = self.case
        return (
            self.code == 0
            and self.ran == wanted.runs
            and self.changed == wanted.changes
            and wanted.plan in self.plan
        )


class Changes:
    """The project that is changed.

    Args:
        root: An empty folder.
        toolchains: Where the environments are; the one that is altered is copied.
    """

    def __init__(self, root: Path, toolchains: Path) -> None:
        folder, self.shared = root / "changes", root / "shared"
        shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("__pycache__"))
        self.shared.mkdir()
        (self.shared / "helper.py").write_text(HELPER.format("1.25"))
        self.toolchains = root / "toolchains"
        self.project = Project(folder, root / "store")
        self._weights(1.0)
        self.data(1.0)
        self._link(toolchains)

    def _link(self, toolchains: Path) -> None:
        """Environments are shared with other tests, but for the one that is altered here."""
        self.toolchains.mkdir()
        catalog = Catalog.load()
        made = Provisioner(toolchains, catalog.toolchains)
        for name in ("torch", "onnx-export", "onnx"):
            made.ensure(name)
            folder = made.folder(name)
            if name != "onnx":
                (self.toolchains / folder.name).symlink_to(folder)
                continue
            # As hard links where that is possible: to alter it here takes files away, and writes none.
            copied = self.toolchains / folder.name
            shutil.copytree(folder, copied, symlinks=True, copy_function=_linked)
        self.site = next((copied / "lib").glob("python*/site-packages"))

    def _weights(self, factor: float) -> None:
        """Writes a checkpoint in the format of safetensors."""
        generator = np.random.default_rng(0)
        shapes = {"first.bias": (32,), "first.weight": (32, 16), "second.bias": (4,)}
        shapes["second.weight"] = (4, 32)
        header, body = {}, b""
        for name, shape in shapes.items():
            data = (generator.standard_normal(shape) * 0.3 * factor).astype("<f4").tobytes()
            header[name] = {
                "dtype": "F32",
                "shape": list(shape),
                "data_offsets": [len(body), len(body) + len(data)],
            }
            body += data
        text = json.dumps(header).encode()
        path = self.project.folder / "weights.safetensors"
        path.write_bytes(len(text).to_bytes(8, "little") + text + body)

    def data(self, factor: float) -> None:
        """Writes the calibration data."""
        x = np.random.default_rng(1).standard_normal((32, 16)).astype(np.float32) * factor
        np.savez(self.project.folder / "train.npz", x=x.astype(np.float32))

    def edit_weights(self) -> None:
        self._weights(1.5)

    def edit_graph(self) -> None:
        self.project.edit("model.py", "torch.relu(", "torch.sigmoid(")

    def edit_comment(self) -> None:
        self.project.edit("model.py", "class Net", "# A comment.\nclass Net")

    def edit_option(self) -> None:
        self.project.edit("deploy.yaml", "opset: 17", "opset: 18")

    def touch(self) -> None:
        for path in (*self.project.folder.glob("*.*"), *self.shared.glob("*.*")):
            os.utime(path, (1_700_000_000, 1_700_000_000))

    def scale_data(self) -> None:
        self.data(50.0)

    def edit_helper(self) -> None:
        """With its size and times restored, and with byte code of the user's own beside it."""
        helper = self.shared / "helper.py"
        py_compile.compile(str(helper))
        before = helper.stat()
        helper.write_text(HELPER.format("1.75"))
        os.utime(helper, ns=(before.st_atime_ns, before.st_mtime_ns))

    def alter_package(self) -> None:
        """As an installer replaces a package by another version of it."""
        (info,) = self.site.glob("onnxruntime-*.dist-info")
        for folder in (self.site, info):
            folder.chmod(0o755)
        metadata = (info / "METADATA").read_text()
        version = info.name.removeprefix("onnxruntime-").removesuffix(".dist-info")
        (info / "METADATA").unlink()
        (info / "METADATA").write_text(
            metadata.replace(f"Version: {version}", "Version: 1.22.1", 1)
        )
        info.rename(self.site / "onnxruntime-1.22.1.dist-info")

    def truncate(self) -> None:
        path = self._stored()
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-100])

    def delete(self) -> None:
        self._stored().unlink()

    def _stored(self) -> Path:
        """The stored file of an artifact, whose copy in `artifacts/` is taken away."""
        row = self.project.report()[FLOAT]
        shutil.rmtree(self.project.folder / "artifacts")
        return Store(self.project.store).objects.path(row["sha256"].removeprefix("sha256:"))

    def build(self) -> tuple[Counter[str], int]:
        """Builds; the steps that ran, and the exit status."""
        result = self.project.build(environment=self._environment())
        return result.ran(), result.code

    def clean(self, root: Path) -> dict[str, bytes]:
        """What a build from an empty store gives of the project as it is."""
        other = Project(self.project.folder, root / "store")
        other.build("--out", str(root / "artifacts"), environment=self._environment())
        return _files(root / "artifacts")

    def plan(self) -> str:
        """All that `plan` says of what is stale."""
        result = self.project.run("plan", "--json", environment=self._environment())
        record = json.loads(result.stdout)
        said = [text for d in record["deployables"] for text in d["reasons"]]
        return " | ".join(dict.fromkeys(said)) or "up to date"

    def artifacts(self) -> dict[str, bytes]:
        """The artifacts, by path."""
        return _files(self.project.folder / "artifacts")

    def _environment(self) -> dict[str, str]:
        return {"MODELBUILD_TOOLCHAINS": str(self.toolchains)}


def _files(folder: Path) -> dict[str, bytes]:
    found = sorted(f for f in folder.rglob("*") if f.is_file() and f.parent != folder)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target)


PACKAGE = "toolchain onnx was altered"
GONE = "its stored output is gone"
ALL = frozenset((FLOAT, INT8))
CASES = (
    Case(
        "weights edited",
        Changes.edit_weights,
        Counter(BOTH),
        ALL,
        "weights.safetensors changed",
        True,
    ),
    # Weights alone are compared again only where they, or the arithmetic between them, are others.
    Case(
        "graph edited (`relu` → `sigmoid`)",
        Changes.edit_graph,
        Counter({**BOTH, "verify.weights": 1}),
        ALL,
        "model.py changed",
    ),
    Case(
        "comment in the model",
        Changes.edit_comment,
        Counter(MODEL_CODE),
        frozenset(),
        "model.py changed",
    ),
    Case(
        "option of one artifact (`opset`)",
        Changes.edit_option,
        Counter({"onnx.export": 1, "onnx.run": 1, "onnx.weights": 1, "verify.measure": 1}),
        frozenset((FLOAT,)),
        "opset: 17 → 18",
    ),
    Case("every file touched", Changes.touch, Counter(), frozenset(), "up to date"),
    Case(
        "calibration data × 50",
        Changes.scale_data,
        Counter(
            {
                "data.sample": 1,
                "onnx.quantize": 1,
                "onnx.run": 1,
                "onnx.weights": 1,
                "verify.measure": 1,
                "verify.weights": 1,
            }
        ),
        frozenset((INT8,)),
        "train.npz changed",
        True,
    ),
    Case(
        "helper module beside the project edited, its size and times restored",
        Changes.edit_helper,
        Counter(BOTH),
        ALL,
        "../shared/helper.py changed",
        True,
    ),
    Case(
        "package of a toolchain altered by hand",
        Changes.alter_package,
        Counter(),
        frozenset(),
        PACKAGE,
        True,
    ),
    Case(
        "stored file truncated",
        Changes.truncate,
        Counter({"onnx.export": 1}),
        frozenset(),
        GONE,
        True,
    ),
    Case(
        "stored file deleted", Changes.delete, Counter({"onnx.export": 1}), frozenset(), GONE, True
    ),
)


def observed(changes: Changes) -> Iterator[Row]:
    """Makes each change to the project, one on top of the other, and builds."""
    for case in CASES:
        before = changes.artifacts()
        case.do(changes)
        plan = changes.plan()
        ran, code = changes.build()
        after = changes.artifacts()
        changed = frozenset(n for n in before | after if before.get(n) != after.get(n))
        yield Row(case, ran, changed, plan, code)


HEAD = """\
# Ten edits and damages

This page shows what a build does after each of ten changes to a built project: which steps run, which
artifacts get other bytes, and what `modelbuild plan` says beforehand. The project is small and real: a
PyTorch network with weights, calibration data and a helper module beside the project. It ships ONNX in
float32 and in int8. Each change is made on top of those before it. After the last, the artifacts equal
those of a build from an empty store. `tests/e2e/test_changes.py` makes the changes in CI and compares the
results with this table, which `python -m tests.e2e.changes_table` writes.

We tried the same with Olive 0.13 (November 2026; a small CNN), and six changes, marked *, went wrong. After
the edits (weights that the loader opens itself, calibration data, a helper module, another onnxruntime)
Olive exited without an error and served the old artifact. It published the truncated file, and reported
the deleted one as saved.

"""
TAIL = """
The build makes an altered toolchain again before anything runs in it, so no step runs. It finds a damaged
stored file when it needs the bytes (here the artifact was removed from `artifacts/` too). The step that
made the file then runs again. Measurements of the same bytes stay valid.
"""


def document(rows: list[Row]) -> str:
    """The page with the table."""
    lines = [
        "| change | steps that ran | other bytes | `plan` says | right |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        ran = ", ".join(f"`{n}`" + (f" × {c}" if c > 1 else "") for n, c in sorted(row.ran.items()))
        changed = ", ".join(f"`{name}`" for name in sorted(row.changed))
        name = row.case.name + (" *" if row.case.stale else "")
        verdict = "yes" if row.right else "**no**"
        lines.append(
            f"| {name} | {ran or 'none'} | {changed or 'none'} | {_said(row)} | {verdict} |"
        )
    score = sum(row.right for row in rows)
    score_line = f"\nScore: {score} of {len(rows)}.\n"
    return HEAD + "\n".join(lines) + "\n" + score_line + TAIL


def _said(row: Row) -> str:
    """What was said, without digests and versions, which move with every release."""
    return row.case.plan.strip(" (") if row.case.plan in row.plan else row.plan


def main() -> None:
    """Writes the page."""
    with tempfile.TemporaryDirectory() as folder:
        changes = Changes(Path(folder), Path(os.environ["MODELBUILD_TOOLCHAINS"]))
        changes.build()
        FILE.write_text(document(list(observed(changes))))


if __name__ == "__main__":
    main()
