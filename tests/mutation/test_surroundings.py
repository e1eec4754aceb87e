"""What is not in the recipe: the user's files, environments, and the source of the steps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from buildsys.backends import BUILT_IN
from buildsys.engine.staleness import keys
from buildsys.planner.catalog import Catalog
from tests.mutation import recipe
from tests.mutation.bench import Bench, catalog
from tests.mutation.cases import DESCRIPTIONS, OF_TOOLCHAIN_ONNX, ORIGINALS
from tests.mutation.check import PACKAGE, edit
from tests.mutation.environments import HOST, REQUIREMENTS

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


RUNS = (
    "coreml.evaluate executorch.run executorch.benchmark exported.run exported.benchmark onnx.run "
    "onnx.benchmark onnx_external.run onnx_external.benchmark onnx_web.run openvino.run ort.run ptl.run "
    "saved_model.run service.run tensorrt.run tfjs.run tflite.run tflite.benchmark torch.reference "
    "torch.floor torch.rounded torchscript.run torch_tensorrt.run torch_tensorrt.benchmark torchserve.run"
)
SHARING = "onnx.adopt onnx_web.pack tfjs.convert"
"""Steps that compare what they made with what they were given, or share a module with those that run it."""
EVERYTHING = "backends/kit/protocol/request.py"
SOURCES = {
    "verify/outputs/metrics.py": "verify.measure verify.original",
    "verify/outputs/samples.py": "data.sample",
    "verify/weights/comparison.py": "verify.weights",
    "verify/weights/folding/norms.py": "verify.weights",
    "verify/judgment/gates.py": "",
    "verify/judgment/defaults.py": "",
    "backends/base.py": "",
    "backends/tflite/rules.py": "",
    "backends/kit/run/measurement.py": f"{RUNS} {SHARING}",
    "backends/kit/run/extremes.py": f"{RUNS} {SHARING} verify.measure verify.original",
    "backends/kit/quantize/clipping.py": (
        "coreml.convert coreml.quantize executorch.convert onnx.quantize openvino.quantize "
        "tflite.quantize"
    ),
    "backends/kit/serve/wire.py": "service.make service.run torchserve.make torchserve.run",
    "backends/tflite/runtime.py": "tflite.run tflite.benchmark",
    "backends/tflite/quantize/configurations.py": "tflite.quantize",
    "backends/onnx/canonical.py": (
        "onnx.adopt onnx.export onnx.optimize onnx.quantize onnx.simplify onnx_external.export"
    ),
    "backends/torch/capture/decompositions.py": (
        "torch.adopt torch.capture torch.export torch.weights torch.rounded"
    ),
    "backends/coreml/evaluator/ops/attention.py": "coreml.convert coreml.evaluate coreml.quantize",
    "backends/service/template/Dockerfile": "service.make",
    "backends/onnx_web/page/page.mjs": "onnx_web.pack",
    "backends/onnx_web/run.mjs": "onnx_web.pack onnx_web.run",
    "backends/kit/run/frames.mjs": "onnx_web.pack onnx_web.run tfjs.convert tfjs.run",
}
"""The steps that some source files must be seen by, as one who knows the steps would say."""
ELSEWHERE = {
    "backends/base.py": "read by the planner",
    "backends/output.py": "read by the planner",
    "backends/toolchain.py": "read by the planner",
    "backends/tensorrt/gpu.py": "read by the planner",
    "verify/judgment/": "bounds on figures: no step",
    "verify/localization/": "`verify --locate`",
    "backends/kit/inspect/probing.py": "`verify --locate`",
    "backends/coreml/probe.py": "`verify --locate`",
    "backends/onnx/probe.py": "`verify --locate`",
    "backends/onnx/dequantized.py": "`verify --locate`",
    "backends/openvino/probe.py": "`verify --locate`",
    "backends/tflite/probe.py": "`verify --locate`",
    "backends/torch/original/recorder.py": "`verify --locate`",
    "backends/torch/original/pieces.py": "`verify --locate`",
    "backends/coreml/normal.py": "`verify --rebuild`",
    "backends/onnx/normal.py": "`verify --rebuild`",
    "backends/kit/quantize/sensitivity.py": "`report --sensitivity`",
    "backends/onnx/quantize/single_layers.py": "`report --sensitivity`",
    "backends/openvino/quantize/single_layers.py": "`report --sensitivity`",
    "backends/tflite/quantize/single_layers.py": "`report --sensitivity`",
    "backends/coreml/runtime.py": "a Mac",
    "backends/onnx/source/rounded.py": "a step that the recipe has none of",
    "backends/torch/capture/lowering.py": "a step that the recipe has none of",
    "backends/torch/from_onnx/": "a step that the recipe has none of",
    "backends/triton/torchscript_worker.py": "a step that the recipe has none of",
}
"""Whose part a source file is that no step of the recipe's build is made of."""


def sources() -> list[str]:
    """Every Python file of the backends and of verification that no planner reads, below the package."""
    folders = [BUILT_IN, PACKAGE / "verify"]
    found = [f for folder in folders for f in sorted(folder.rglob("*.py")) if f.name != "rules.py"]
    return [file.relative_to(PACKAGE).as_posix() for file in found]


@pytest.mark.parametrize("name", SOURCES)
def test_a_step_of_other_source_is_another_step(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    edit(monkeypatch, [name])
    assert bench.seen().rules == set(SOURCES[name].split())


def test_what_all_steps_are_called_by_is_in_every_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(monkeypatch, [EVERYTHING])
    assert bench.seen().rules == {action.rule for action in bench.graph.actions.values()}


def test_every_source_is_in_a_key(bench: Bench) -> None:
    """Of what no step of a build is made of, the table says why."""
    code = {file.relative_to(PACKAGE).as_posix() for file in bench.code()}
    lone = [name for name in sources() if name not in code]
    assert [name for name in lone if not name.startswith(tuple(ELSEWHERE))] == []
    assert all(any(name.startswith(each) for name in lone) for each in ELSEWHERE)


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
    assert not bench.look().stale()  # Nothing imports it.
    runtime = folder / "runtime.py"
    runtime.write_text(f"from . import added\n{runtime.read_text()}")
    assert bench.seen().rules == set(SOURCES["backends/tflite/runtime.py"].split())
