"""One pipeline of N actions, as a recipe and as the input of other build tools.

    python -m benchmarks.shape --tool make --actions 1000 --out FOLDER

N/10 models of ten actions and four source files each. Every action concatenates its inputs:

    model.src + data.bin + weights.bin -> trace -> onnx -> sim -> {int8 (+ samples), tflite, ort}
                                          trace -> coreml
    calib.npy -> samples        tflite -> checked -> bundle

The recipe names `weights.bin` and `calib.npy`. The other two are read by the model's code, and only
our tool finds that out by itself; the others are told. Our actions have an io contract beside each
artifact, so they have nearly twice the edges of the others' graphs.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

SOURCES = ("model.src", "data.bin", "weights.bin", "calib.npy")
ACTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("model.trace", ("model.src", "data.bin", "weights.bin")),
    ("model.onnx", ("model.trace",)),
    ("model.sim", ("model.onnx",)),
    ("samples.npz", ("calib.npy",)),
    ("int8.sim", ("model.sim", "samples.npz")),
    ("model.tflite", ("model.sim",)),
    ("model.ort", ("model.sim",)),
    ("model.coreml", ("model.trace",)),
    ("model.checked", ("model.tflite",)),
    ("model.bundle", ("model.checked",)),
)
"""Each action of a model by its output, with its inputs."""
PER_MODEL = len(ACTIONS)
EDITED = "weights.bin"
BELOW_EDITED = 9
"""How many of a model's actions depend on `EDITED`: all but the one that draws samples."""
SIZE = 1024
"""Bytes of a source file; `calib.npy` has a header besides."""

MODEL = '''\
"""Reads two files of a model; the build finds out which."""

from pathlib import Path

SOURCES = Path(__file__).parent / "src"


def build(name):
    folder = SOURCES / name
    return (folder / "model.src").read_bytes() + (folder / "data.bin").read_bytes()
'''


def models(actions: int) -> list[str]:
    """The names of the models that have so many actions.

    Raises:
        ValueError: `actions` is not a multiple of ten.
    """
    if actions < PER_MODEL or actions % PER_MODEL:
        raise ValueError(f"{actions} is not a positive multiple of {PER_MODEL}")
    return [f"m{number:05d}" for number in range(actions // PER_MODEL)]


def where(model: str, name: str) -> str:
    """The path of a model's file, relative to the project."""
    return f"{'src' if name in SOURCES else 'out'}/{model}/{name}"


def steps(actions: int) -> Iterator[tuple[str, list[str], str]]:
    """Every action of the pipeline: its name, its inputs, its output."""
    for model in models(actions):
        for output, inputs in ACTIONS:
            name = f"{model}_{output.replace('.', '_')}"
            yield name, [where(model, file) for file in inputs], where(model, output)


def recipe(actions: int) -> dict[str, str]:
    """`deploy.yaml` and the model's code."""
    names = models(actions)
    lines = ["version: 1", "project: pipeline", "datasets:"]
    lines += [f"  calib-{m}: {{source: {where(m, 'calib.npy')}}}" for m in names]
    lines.append("models:")
    for model in names:
        lines += [
            f"  {model}:",
            "    source:",
            "      factory: model:build",
            f"      args: {{name: {model}}}",
            f"      checkpoint: {where(model, 'weights.bin')}",
            "    inputs: {x: {shape: [N, 4]}}",
            "    outputs: {y: {}}",
            "    environment: host",
        ]
    lines.append("quantization:")
    lines += [
        f"  int8-{m}: {{scheme: static, calibration: {{dataset: calib-{m}, count: 8}}}}"
        for m in names
    ]
    lines += [
        "targets:",
        "  server:",
        "    - {format: copied_ort}",
        "  ios:",
        "    - {format: copied_coreml}",
        "  android:",
        "    - {format: copied_bundle}",
        "  edge:",
    ]
    lines += [f"    - {{format: copied_sim, quantization: int8-{m}, models: [{m}]}}" for m in names]
    return {"deploy.yaml": "\n".join(lines) + "\n", "model.py": MODEL}


def make(actions: int) -> dict[str, str]:
    """`Makefile`."""
    lines = ["all: " + " ".join(output for _, _, output in steps(actions)), ".PHONY: all"]
    for _, inputs, output in steps(actions):
        lines += [f"{output}: {' '.join(inputs)}", "\tcat $^ > $@"]
    return {"Makefile": "\n".join(lines) + "\n"}


def ninja(actions: int) -> dict[str, str]:
    """`build.ninja`."""
    lines = ["rule cat", "  command = cat $in > $out"]
    lines += [f"build {output}: cat {' '.join(inputs)}" for _, inputs, output in steps(actions)]
    return {"build.ninja": "\n".join(lines) + "\n"}


def dvc(actions: int) -> dict[str, str]:
    """`dvc.yaml`."""
    lines = ["stages:"]
    for name, inputs, output in steps(actions):
        lines += [f"  {name}:", f"    cmd: cat {' '.join(inputs)} > {output}", "    deps:"]
        lines += [f"    - {file}" for file in inputs] + ["    outs:", f"    - {output}"]
    return {"dvc.yaml": "\n".join(lines) + "\n"}


def snakemake(actions: int) -> dict[str, str]:
    """`Snakefile`: a rule a kind of step, with the model as its wildcard."""
    used = {file for _, inputs in ACTIONS for file in inputs}
    last = [where("{m}", output) for output, _ in ACTIONS if output not in used]
    lines = [
        f"MODELS = [f'm{{i:05d}}' for i in range({len(models(actions))})]",
        "rule all:",
        "    input: " + ", ".join(f"expand({path!r}, m=MODELS)" for path in last),
    ]
    for output, inputs in ACTIONS:
        lines += [
            f"rule {output.replace('.', '_')}:",
            "    input: " + ", ".join(repr(where("{m}", file)) for file in inputs),
            f"    output: {where('{m}', output)!r}",
            "    shell: 'cat {input} > {output}'",
        ]
    return {"Snakefile": "\n".join(lines) + "\n"}


def _python(actions: int, body: str) -> str:
    """The pipeline as loops, for the tools whose files are Python."""
    return (
        f"ACTIONS = {ACTIONS!r}\nSOURCES = {SOURCES!r}\n\n\n"
        "def where(m, x):\n"
        "    return f\"{'src' if x in SOURCES else 'out'}/{m}/{x}\"\n\n\n"
        f"MODELS = [f'm{{i:05d}}' for i in range({len(models(actions))})]\n\n\n{body}"
    )


DOIT = """\
def task_convert():
    for m in MODELS:
        for out, ins in ACTIONS:
            ins, out = [where(m, x) for x in ins], where(m, out)
            yield {
                "name": out, "file_dep": ins, "targets": [out],
                "actions": [f"cat {' '.join(ins)} > {out}"],
            }
"""
SCONS = """\
import os
env = Environment(ENV=os.environ, tools=[])
for m in MODELS:
    for out, ins in ACTIONS:
        env.Command(where(m, out), [where(m, x) for x in ins], "cat $SOURCES > $TARGET")
"""
REDUN = """\
from redun import File, task
redun_namespace = "pipeline"


@task()
def convert(out: str, ins: list) -> File:
    made = File(out)
    with made.open("wb") as target:
        for file in ins:
            with file.open("rb") as source:
                target.write(source.read())
    return made


@task()
def main() -> list:
    wanted = []
    for m in MODELS:
        made = {s: File(where(m, s)) for s in SOURCES}
        for out, ins in ACTIONS:
            made[out] = convert(where(m, out), [made[x] for x in ins])
        wanted += [made[out] for out, _ in ACTIONS]
    return wanted
"""


def doit(actions: int) -> dict[str, str]:
    """`dodo.py`."""
    return {"dodo.py": _python(actions, DOIT)}


def scons(actions: int) -> dict[str, str]:
    """`SConstruct`."""
    return {"SConstruct": _python(actions, SCONS)}


def redun(actions: int) -> dict[str, str]:
    """`workflow.py`."""
    return {"workflow.py": _python(actions, REDUN)}


WRITERS: dict[str, Callable[[int], dict[str, str]]] = {
    "modelbuild": recipe,
    "make": make,
    "ninja": ninja,
    "doit": doit,
    "scons": scons,
    "snakemake": snakemake,
    "dvc": dvc,
    "redun": redun,
}


def source(model: str, name: str) -> bytes:
    """The content of a source file; no two are equal."""
    line = f"{model} {name} ".encode()
    content = (line * (SIZE // len(line) + 1))[:SIZE]
    if not name.endswith(".npy"):
        return content
    stream = io.BytesIO()
    np.save(stream, np.frombuffer(content, np.uint8).astype(np.float32)[: SIZE // 4].reshape(-1, 4))
    return stream.getvalue()


def write(tool: str, actions: int, folder: Path) -> None:
    """Writes a tool's project: its own files, the sources, and folders for what is made."""
    for model in models(actions):
        for name in ("src", "out"):
            (folder / name / model).mkdir(parents=True)
        for name in SOURCES:
            (folder / where(model, name)).write_bytes(source(model, name))
    for name, text in WRITERS[tool](actions).items():
        (folder / name).write_text(text)


def perform(actions: int, folder: Path) -> None:
    """Does every action by hand."""
    for _, inputs, output in steps(actions):
        content = b"".join((folder / file).read_bytes() for file in inputs)
        (folder / output).write_bytes(content)


def edit(folder: Path, number: int) -> None:
    """Changes one file of the first model."""
    with (folder / where("m00000", EDITED)).open("ab") as stream:
        stream.write(b"%d" % number)


def main() -> None:
    """Writes one project."""
    parser = argparse.ArgumentParser(description="Writes the pipeline for one tool.")
    parser.add_argument("--tool", choices=sorted(WRITERS), required=True)
    parser.add_argument("--actions", type=int, default=100, help="a multiple of ten")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    write(given.tool, given.actions, given.out)


if __name__ == "__main__":
    main()
