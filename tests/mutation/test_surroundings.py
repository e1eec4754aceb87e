"""What is not in the recipe: the user's files, environments, and the source of the steps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from buildsys.engine import keys
from buildsys.engine.walk import SOURCES
from buildsys.planner import Catalog
from buildsys.planner.builder import READING, WORKER_HOST
from buildsys.planner.catalog import BUILT_IN
from tests.mutation import recipe
from tests.mutation.bench import Bench, catalog
from tests.mutation.cases import DESCRIPTIONS, OF_TOOLCHAIN_ONNX, ORIGINALS, TRANSFORMS
from tests.mutation.check import PACKAGE, edit
from tests.mutation.environments import HOST, REQUIREMENTS
from tests.profile import some

OF_THE_MODULE = ORIGINALS.replace(" torch.rounded", "")
"""Not what takes an artifact's weights: while these are to be made again it may run, and is not sure to."""
OF_THE_CODE = f"{OF_THE_MODULE} data.load"
OF_THE_ENCODER_S_CODE = "torch.export torch.reference torch.floor torch.weights"
FILES = {
    "common/bounds.yaml": "",
    "model.py": OF_THE_MODULE,
    "layers.py": OF_THE_CODE,
    "text/__init__.py": OF_THE_ENCODER_S_CODE,
    "text/encoder.py": OF_THE_ENCODER_S_CODE,
    "text/words.py": OF_THE_ENCODER_S_CODE,
    "text/words.txt": OF_THE_ENCODER_S_CODE,
    "loading.py": "data.load",
    "metrics.py": "data.metric",
    # Those after the first may run, and are not sure to: it may give what it gave before.
    "wide.py": "torch.prune",
    "training.py": "torch.prune",
    "requirements.txt": f"{OF_THE_ENCODER_S_CODE} data.load data.metric",
    "more.txt": f"{OF_THE_ENCODER_S_CODE} data.load data.metric",
    "locks/onnx.txt": OF_TOOLCHAIN_ONNX,
    "weights.safetensors": ORIGINALS,
    "data/train.npz": "data.sample",
    "data/val.npz": "data.sample",
    "data/thin.npz": "data.sample",
    "data/photos/cat/1.png": "data.images",
    "data/photos/dog/2.png": "data.images",
    "files/scripted.pt": "torch.adopt torch.weights",
    "files/program.pt2": "torch.adopt torch.weights",
    # The file itself is the reference.
    "files/graph.onnx": "onnx.adopt onnx.run onnx.floor onnx.weights",
    "files/features.txt": f"{DESCRIPTIONS} mlmodel.convert",  # Its entry asks for `class_labels`.
}
"""Which steps a file must be seen by."""
UNREAD = {
    "common/other.yaml": "the recipe does not include it",
    "other.py": "nothing imports it",
    "train.py": "nothing imports it",
    "others.txt": "no environment is made from it",
    "locks/older.txt": "no toolchain is made from it",
    "older.safetensors": "no model is loaded from it",
    "data/more.npz": "no dataset is in it",
    "data/pictures/cat/1.png": "no dataset is in it",
    "files/scripted-2.pt": "no model is in it",
    "files/program-2.pt2": "no model is in it",
    "files/graph-2.onnx": "no model is in it",
    "files/names.txt": "no output has these names",
}
CHANGED = {
    "common/bounds.yaml": recipe.FRAGMENT.replace("0.001", "0.003"),
    "locks/onnx.txt": "onnx==1.19.1\nonnxruntime==1.23.0\n",
}
"""Files that must stay what they are for: another text for each."""


def test_every_file_of_the_project_has_a_change() -> None:
    assert set(FILES) | set(UNREAD) == set(recipe.FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_seen(bench: Bench, name: str) -> None:
    path = bench.folder / name
    path.write_text(CHANGED.get(name, path.read_text() + "#"))
    assert bench.seen().rules == set(FILES[name].split())
    if not FILES[name]:
        build = bench.build()
        assert bench.runner.ran == []
        assert bench.shown(build) != bench.report


@pytest.mark.parametrize("name", UNREAD)
def test_a_file_that_is_not_read_means_nothing(bench: Bench, name: str) -> None:
    path = bench.folder / name
    path.write_text(path.read_text() + "#")
    assert not bench.look().stale(), UNREAD[name]


@pytest.mark.parametrize("name", ["weights.safetensors", "layers.py", "data/photos/cat/1.png"])
def test_an_edit_that_keeps_size_and_time_is_seen(bench: Bench, name: str) -> None:
    path = bench.folder / name
    before = path.stat()
    text = path.read_text()
    with path.open("r+") as stream:
        stream.write(text.swapcase())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert bench.seen().rules == set(FILES[name].split())


def _add_picture(folder: Path) -> None:
    (folder / "data/photos/dog/3.png").write_text("another dog")


def _drop_picture(folder: Path) -> None:
    (folder / "data/photos/dog/2.png").unlink()


def _rename_picture(folder: Path) -> None:
    (folder / "data/photos/dog/2.png").rename(folder / "data/photos/cat/2.png")


def _shadow(folder: Path) -> None:
    (folder / "numpy.py").write_text("")


def _shadow_by_package(folder: Path) -> None:
    (folder / "torch").mkdir()
    (folder / "torch/__init__.py").write_text("")


def _list_more(folder: Path) -> None:
    (folder / "text/more.txt").write_text("three")


def _drop_module(folder: Path) -> None:
    (folder / "layers.py").unlink()


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (_add_picture, "data.images"),
        (_drop_picture, "data.images"),
        (_rename_picture, "data.images"),
        (_shadow, f"{OF_THE_CODE} torch.prune"),
        (_shadow_by_package, f"{OF_THE_CODE} torch.prune"),
        (_drop_module, f"{OF_THE_CODE} torch.prune"),
        (_list_more, OF_THE_ENCODER_S_CODE),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "seen",
)
def test_a_file_that_comes_or_goes_is_seen(
    bench: Bench, change: Callable[[Path], None], rules: str
) -> None:
    change(bench.folder)
    assert bench.seen().rules == set(rules.split())


def of_environment(bench: Bench, name: str) -> set[str]:
    """The rules of the steps that run in an environment."""
    return {
        action.rule
        for action in bench.graph.actions.values()
        if (action.environment or "").partition(":")[0] == name
    }


ENVIRONMENTS = (*catalog().toolchains, HOST, REQUIREMENTS)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_package_that_is_another_one_is_seen(bench: Bench, name: str) -> None:
    bench.drifted = {name: "more==1.0"}
    rules = of_environment(bench, name)
    assert rules, f"no step of the recipe runs in {name}"
    assert bench.seen().rules == rules


@pytest.mark.parametrize("name", ["version", "implementation", "system", "machine"])
def test_another_interpreter_is_seen(bench: Bench, name: str) -> None:
    bench.interpreter = replace(bench.interpreter, **{name: "other"})
    actions = bench.graph.actions.values()
    assert bench.seen().rules == {a.rule for a in actions if a.environment is not None}


def test_another_numpy_is_seen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_numpy_version", lambda: "0.0.1")
    actions = bench.graph.actions.values()
    assert bench.seen().rules == {a.rule for a in actions if a.environment is None}


@pytest.mark.parametrize("name", [name for name in catalog().toolchains if name != "onnx"])
def test_another_lock_is_seen(bench: Bench, elsewhere: Path, name: str) -> None:
    lock = elsewhere / "lock.txt"
    bench.locks = {name: lock}
    text = catalog().toolchains[name].lock.read_text()
    lock.write_text(text + "\nmore==1.0\n")
    assert bench.seen().rules == of_environment(bench, name)
    # The very same packages: nothing was converted by others, but the report names the lock.
    lock.write_text("# Another text.\n" + text)
    build = bench.build()
    assert bench.runner.ran == []
    converts = {"torch", "coreml", "executorch", "onnx-export", "onnx-optimize"}
    converts |= {"tflite", "tflite-direct", "tflite-onnx", "openvino", "tensorrt", "torch-tensorrt"}
    converts |= {"service", "torchserve", "triton", "onnx-web", "tfjs"}
    assert (bench.shown(build) != bench.report) == (name in converts)


def sources() -> dict[str, str]:
    """Every file of the backends, of verification and of the worker's host, below the package."""
    folders = [BUILT_IN, PACKAGE / "verify"]
    found = [f for folder in folders for f in sorted(folder.rglob("*")) if f.is_file()]
    found += [WORKER_HOST, *READING]
    names = [file.relative_to(PACKAGE).as_posix() for file in found]
    return {name: _readers(name) for name in names if "__pycache__" not in name}


COORDINATOR = "data.sample verify.measure verify.original verify.weights"
IN_WORKERS = {
    "torch": (
        f"{ORIGINALS} {TRANSFORMS} torch.adopt torch.lite torchscript.run exported.run ptl.run "
        "torchscript.describe exported.benchmark"
    ),
    "onnx": (
        "onnx.export onnx.adopt onnx.simplify onnx.optimize onnx.describe onnx.run "
        "onnx_external.export onnx_external.run onnx.weights onnx_external.weights onnx.quantize onnx.floor "
        "onnx.benchmark onnx_external.benchmark"
    ),
    "ort": "ort.convert ort.list ort.run",
    "tflite": "tflite.convert tflite.quantize tflite.describe tflite.run tflite.weights tflite.benchmark",
    "coreml": (
        "coreml.convert coreml.quantize coreml.describe coreml.evaluate coreml.weights "
        "mlmodel.convert mlmodel.describe"
    ),
    "executorch": "executorch.convert executorch.run executorch.benchmark",
    "tensorrt": (
        "tensorrt.build tensorrt.run torch_tensorrt.compile torch_tensorrt.run "
        "torch_tensorrt.benchmark"
    ),
    "data": "data.load data.images data.metric",
    "service": "service.make service.describe service.run",
    "torchserve": "torchserve.make torchserve.describe torchserve.run",
    "triton": "triton.make triton.check",
    "onnx_web": "onnx_web.pack onnx_web.run",
    "tensorflow": "saved_model.convert saved_model.run tfjs.convert tfjs.run",
    "openvino": "openvino.convert openvino.quantize openvino.run openvino.weights",
}
SHIPPED = {
    f"backends/{backend.name}/{name}": rule.name
    for backend, rule in catalog().rules
    for name in rule.ships
}
"""Files that are no modules, and that steps put into what they make."""
OF_THE_KIT = "ort.describe ort_config.describe triton.describe"
"""Steps of the coordinator whose function is the kit's."""
HOSTED = " ".join(IN_WORKERS.values())


def _readers(name: str) -> str:
    """The rules that a source file must be seen by."""
    if name in SHIPPED:
        return SHIPPED[name]
    if not name.endswith(SOURCES) or name.endswith("/rules.py"):
        return ""  # What rules declare reaches keys as such, and locks do as fingerprints.
    if name in ("backends/__init__.py", "backends/base.py"):
        return ""  # Imported by the planner alone.
    area, folder, *_ = name.split("/")
    if area == "verify":
        return COORDINATOR
    if area == "toolchains":
        return HOSTED
    return f"{HOSTED} {COORDINATOR} {OF_THE_KIT}" if folder == "kit" else IN_WORKERS[folder]


@pytest.mark.parametrize("name", some(name for name, rules in sources().items() if rules))
def test_a_step_of_other_source_is_another_step(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    edit(monkeypatch, [name])
    assert bench.seen().rules == set(sources()[name].split())


def test_what_is_no_source_of_a_step_means_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [name for name, rules in sources().items() if not rules]
    assert len(names) > 20
    edit(monkeypatch, names)
    assert not bench.look().stale()


def test_a_backend_in_another_place_is_the_same(bench: Bench, elsewhere: Path) -> None:
    folder = elsewhere / "tflite"
    shutil.copytree(BUILT_IN / "tflite", folder)
    backends = [
        replace(each, folder=folder) if each.name == "tflite" else each
        for each in catalog().backends
    ]
    bench.catalog = Catalog.load(backends)
    assert not bench.look().stale()
    (folder / "added.py").write_text("")
    assert bench.seen().rules == set(IN_WORKERS["tflite"].split())
    (folder / "added.py").unlink()
    assert not bench.look().stale()
    (folder / "runtime.py").write_text("")
    assert bench.seen().rules == set(IN_WORKERS["tflite"].split())
