"""What a careful engineer would write in place of a recipe: `recipes/` converted step by step.

    python -m benchmarks.sequential [--work FOLDER]

The same models, libraries, options, samples and comparisons as the two recipes ask for, with nothing of
ours: a process for each environment, which imports its libraries once and does all that is to be done
there, one after the other. Files pass between them in a folder. Nothing is cached, checked beyond the
figures, or kept apart; that is the point of the comparison.

The environments are the installed toolchains, so that both sides use the same versions.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
RECIPES = REPOSITORY / "recipes"
STAGES = ("torch", "onnx-export", "onnx", "coreml", "tflite-direct", "tflite-onnx", "tflite")
MODELS: dict[str, dict[str, Any]] = {
    "digits": {
        "args": {"width": 16},
        "input": "image",
        "sample": [1, 8, 8],
        "route": "onnx",
        "target": "iOS16",
        "tflite": ["", "-dyn", "-int8"],
    },
    "activity": {
        "args": {"hidden": 32},
        "input": "window",
        "sample": [100, 6],
        "route": "direct",
        "target": "iOS17",
        "tflite": ["", "-dyn"],
    },
}
OUTPUT = "logits"
SAMPLES, CALIBRATION, WARMUP, RUNS = 32, 128, 5, 50


def batches(run: Callable[[Any], Any], rows: Any, size: int) -> Any:
    """Runs all rows, so many at a time."""
    import numpy as np

    return np.concatenate([run(rows[at : at + size]) for at in range(0, len(rows), size)])


def record(work: Path, name: str, artifact: str, run: Callable[[Any], Any], *, batch: int) -> None:
    """Runs something on samples and validation data, and takes the time of one run."""
    import numpy as np

    rows = np.load(RECIPES / name / "data" / "val.npz")["x"]
    outputs = {
        "samples": batches(run, rows[:SAMPLES], batch),
        "evaluation": batches(run, rows, batch),
    }
    for _ in range(WARMUP):
        run(rows[:1])
    seconds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        run(rows[:1])
        seconds.append(time.perf_counter() - started)
    np.savez(work / f"{name}.{artifact}.npz", latency=np.median(seconds), **outputs)


def stage_torch(work: Path) -> None:
    """Captures the models, and runs the originals."""
    import importlib

    import torch
    from safetensors.torch import load_file

    for name, about in MODELS.items():
        folder = str(RECIPES / name)
        sys.path.insert(0, folder)
        for module_name in ("model", "layers"):
            sys.modules.pop(module_name, None)
        model = importlib.import_module("model").build(**about["args"])
        sys.path.remove(folder)
        model.load_state_dict(load_file(f"{folder}/weights.safetensors"))
        model.eval()
        example = torch.randn(2, *about["sample"], generator=torch.Generator().manual_seed(0))
        other = torch.randn(5, *about["sample"], generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            traced = torch.jit.trace(model, example, check_trace=False)
            traced.save(str(work / f"{name}.pt"))
            torch.testing.assert_close(
                torch.jit.load(str(work / f"{name}.pt"))(other), model(other)
            )
            if about["route"] == "direct":
                program = torch.export.export(model, (example[:1],))
                torch.export.save(program, work / f"{name}.pt2")

        def run(rows: Any, model: Any = model) -> Any:
            with torch.no_grad():
                return model(torch.from_numpy(rows)).numpy()

        record(work, name, "original", run, batch=SAMPLES)


def stage_onnx_export(work: Path) -> None:
    """TorchScript to ONNX."""
    import warnings

    warnings.filterwarnings("ignore")
    import torch

    for name, about in MODELS.items():
        model = torch.jit.load(str(work / f"{name}.pt"), map_location="cpu").eval()
        with torch.no_grad():
            torch.onnx.export(
                model,
                (torch.randn(2, *about["sample"]),),
                str(work / f"{name}.onnx"),
                input_names=[about["input"]],
                output_names=[OUTPUT],
                dynamic_axes={about["input"]: {0: "N"}, OUTPUT: {0: "N"}},
                opset_version=17,
                do_constant_folding=True,
                dynamo=False,
            )


def stage_onnx(work: Path) -> None:
    """Runs the ONNX files."""
    import onnx
    import onnxruntime

    for name, about in MODELS.items():
        path = str(work / f"{name}.onnx")
        onnx.checker.check_model(path, full_check=True)
        options = onnxruntime.SessionOptions()
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])

        def run(rows: Any, session: Any = session, port: str = about["input"]) -> Any:
            return session.run([OUTPUT], {port: rows})[0]

        record(work, name, "onnx", run, batch=SAMPLES)


def stage_coreml(work: Path) -> None:
    """TorchScript to Core ML in float16."""
    import logging
    import warnings

    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    os.environ["TQDM_DISABLE"] = "1"
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    import coremltools as ct
    import numpy as np
    import torch

    for name, about in MODELS.items():
        model = ct.convert(
            torch.jit.load(str(work / f"{name}.pt"), map_location="cpu").eval(),
            convert_to="mlprogram",
            inputs=[ct.TensorType(about["input"], [1, *about["sample"]], np.float32)],
            outputs=[ct.TensorType(OUTPUT, dtype=np.float32)],
            minimum_deployment_target=getattr(ct.target, about["target"]),
            compute_precision=ct.precision.FLOAT16,
            skip_model_load=True,
        )
        model.save(str(work / f"{name}.mlpackage"))


def stage_tflite_direct(work: Path) -> None:
    """An exported program to TFLite."""
    import logging
    import warnings

    warnings.filterwarnings("ignore")
    logging.getLogger().setLevel(logging.ERROR)
    import litert_torch
    import torch

    class Named(torch.nn.Module):  # type: ignore[misc]  # There is no torch to check by.
        """The program, its input and output under their names."""

        def __init__(self, program: Any, port: str) -> None:
            super().__init__()
            self.program, self.port, self.training = program, port, False

        def forward(self, **feed: Any) -> Any:
            """Runs it."""
            return {OUTPUT: self.program(feed[self.port])}

    for name, about in MODELS.items():
        if about["route"] == "direct":
            program = torch.export.load(work / f"{name}.pt2").module()
            feed = {about["input"]: torch.zeros(1, *about["sample"])}
            converted = litert_torch.convert(Named(program, about["input"]), sample_kwargs=feed)
            converted.export(str(work / f"{name}.tflite"))


def stage_tflite_onnx(work: Path) -> None:
    """ONNX to TFLite by way of TensorFlow."""
    import shutil

    os.chdir(work)
    import onnx
    import onnxsim  # type: ignore[import-not-found]

    for name, about in MODELS.items():
        if about["route"] == "onnx":
            model = onnx.load(f"{name}.onnx")
            model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
            model.graph.output[0].type.tensor_type.shape.dim[0].ClearField("dim_param")
            del model.graph.value_info[:]
            simple, same = onnxsim.simplify(onnx.shape_inference.infer_shapes(model))
            if not same:
                sys.exit("the simplified model differs")
            onnx.save(simple, "simple.onnx")
            import onnx2tf  # Not before: with TensorFlow loaded, onnxsim crashes.

            onnx2tf.convert(
                input_onnx_file_path="simple.onnx",
                output_folder_path="converted",
                not_use_onnxsim=True,
                keep_shape_absolutely_input_names=[about["input"]],
                non_verbose=True,
            )
            shutil.copy("converted/simple_float32.tflite", f"{name}.tflite")


def stage_tflite(work: Path) -> None:
    """Quantizes TFLite files, and runs all of them."""
    import warnings

    warnings.filterwarnings("ignore")
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    everything = qtyping.TFLOperationName.ALL_SUPPORTED
    quiet = {"enable_progress_bar": False, "enable_progress_report": False}

    def loaded(model: bytes, port: str) -> Callable[[Any], Any]:
        interpreter = Interpreter(model_content=model, num_threads=os.cpu_count())
        interpreter.allocate_tensors()
        signature = interpreter.get_signature_runner("serving_default")

        def run(row: Any, interpreter: Any = interpreter) -> Any:
            return np.array(next(iter(signature(**{port: row}).values())))

        return run

    def dynamic(model: bytes) -> bytes:
        tool = quantizer.Quantizer(model)
        tool.add_dynamic_config(".*", everything, num_bits=8)
        return bytes(tool.quantize(None, **quiet).quantized_model)

    def static(model: bytes, port: str, rows: Any) -> bytes:
        """The better of two ways to estimate ranges, by a quarter of the data that is held out."""
        tool = quantizer.Quantizer(model)
        tool.add_static_config(".*", everything, activation_num_bits=8, weight_num_bits=8)
        for border in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
            tool.update_quantization_recipe(
                ".*", border, algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE
            )
        held = len(rows) // 4
        feeds = [{port: row[None]} for row in rows[:-held]]
        want = batches(loaded(model, port), rows[-held:], 1)
        found = []
        for update in (qsv_utils.min_max_update, qsv_utils.moving_average_update):
            recipe = recipe_manager.RecipeManager()
            recipe.load_quantization_recipe(tool.get_quantization_recipe())
            watcher = calibrator.Calibrator(model, num_threads=1, qsv_update_func=update)
            watcher.calibrate({"serving_default": feeds}, recipe)
            made = bytes(tool.quantize(watcher.get_model_qsvs(), **quiet).quantized_model)
            error = np.linalg.norm(batches(loaded(made, port), rows[-held:], 1) - want)
            found.append((float(error), made))
        return min(found, key=lambda pair: pair[0])[1]

    for name, about in MODELS.items():
        port = about["input"]
        model = (work / f"{name}.tflite").read_bytes()
        for suffix in about["tflite"]:
            made = model
            if suffix == "-dyn":
                made = dynamic(model)
            elif suffix == "-int8":
                rows = np.load(RECIPES / name / "data" / "train.npz")["x"]
                chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:CALIBRATION])
                made = static(model, port, rows[chosen])
            (work / f"{name}{suffix}.tflite").write_bytes(made)
            record(work, name, f"tflite{suffix}", loaded(made, port), batch=1)


def compared(work: Path) -> dict[str, dict[str, float]]:
    """The figures of all artifacts that were run: `signal_error` and the metric on the task."""
    import numpy as np

    figures = {}
    for name in MODELS:
        labels = np.load(RECIPES / name / "data" / "val.npz")["y"]
        original = np.load(work / f"{name}.original.npz")
        want = original["samples"].astype(np.float64)
        spread = np.linalg.norm(want - want.mean(axis=0))
        for file in sorted(work.glob(f"{name}.*.npz")):
            got = np.load(file)
            figures[file.stem] = {
                "signal_error": float(np.linalg.norm(got["samples"] - want) / spread),
                "top1": float(np.mean(got["evaluation"].argmax(axis=1) == labels)),
            }
    return figures


def interpreters() -> dict[str, Path]:
    """The Python of each toolchain, which is made where it is missing."""
    from buildsys.engine.session import cache_root, toolchains_root
    from buildsys.planner.catalog import Catalog
    from buildsys.toolchains import Provisioner

    provisioner = Provisioner(toolchains_root(cache_root()), Catalog.load().toolchains)
    found = {}
    for name in STAGES:
        provisioner.ensure(name, lambda line: print(line, file=sys.stderr))
        found[name] = provisioner.python(name)
    return found


def performed(work: Path, pythons: dict[str, Path]) -> dict[str, Any]:
    """Does everything.

    Returns:
        `wall` and `cpu` seconds of all, both by stage, and the artifacts' `figures`.
    """
    from benchmarks import timing

    environment = dict(os.environ) | {
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "CUDA_VISIBLE_DEVICES": "-1",
        "AUTOGRAPH_VERBOSITY": "0",
        "PYTHONPATH": "",
    }
    stages: dict[str, dict[str, float]] = {}
    started, before = time.perf_counter(), time.process_time()
    for name in STAGES:
        log = work / f"{name}.log"
        # `-P`: the folder of this file holds modules of other names than the libraries' only by luck.
        command = [str(pythons[name]), "-s", "-P", __file__, "--stage", name, "--work", str(work)]
        cost = timing.run(command, work, log=log, limit=600, environment=environment)
        if cost.exit != 0:
            sys.exit(f"{name} failed:\n{log.read_text(errors='replace')[-3000:]}")
        stages[name] = {"wall": round(cost.wall, 3), "cpu": round(cost.cpu, 3)}
    figures = compared(work)
    return {
        "wall": round(time.perf_counter() - started, 3),
        "cpu": round(sum(s["cpu"] for s in stages.values()) + time.process_time() - before, 3),
        "stages": stages,
        "figures": figures,
    }


def main() -> None:
    """Does one stage, or all of them."""
    parser = argparse.ArgumentParser(description="Converts the recipes' models by a plain script.")
    parser.add_argument("--work", type=Path, help="keep what is made here")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        globals()["stage_" + given.stage.replace("-", "_")](given.work)
        sys.stdout.flush()
        os._exit(0)  # Tearing an interpreter with torch down takes longer than many a step.
    with tempfile.TemporaryDirectory(prefix="modelbuild-sequential-") as temporary:
        work = (given.work or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        print(json.dumps(performed(work, interpreters()), indent=1))


if __name__ == "__main__":
    main()
