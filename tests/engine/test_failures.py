"""Steps that fail, stores that are damaged, inputs that are missing: nothing wrong is ever kept."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from buildsys.engine.events import Diagnostic
from buildsys.engine.outcome.verdicts import Status
from tests.space import Space, statuses


def failing(space: Space, word: str) -> None:
    space.edit("deploy.yaml", ", checkpoint: weights.safetensors", "")
    space.edit("model.py", "    return", f"    return {word!r}\n    return")


def test_a_step_error_names_the_field_and_keeps_a_rerun(space: Space) -> None:
    failing(space, "fail")
    build = space.build()
    assert build.exit == 1
    assert set(statuses(build).values()) == {"failed"}
    (name,) = [n for n in build.run.failures if "capture" in n]
    failed = build.run.failures[name]
    assert failed.message == "the factory asked to fail"
    assert failed.hint == "do not ask"
    assert failed.rerun is not None
    again = subprocess.run([str(failed.rerun)], capture_output=True, check=False)
    assert again.returncode == 0
    result = (failed.rerun.parent / "result.json").read_text()
    assert "the factory asked to fail" in result
    assert not (space.project / "artifacts" / "ios").exists()


def test_a_failure_is_never_cached(space: Space) -> None:
    failing(space, "fail")
    space.build()
    space.edit("model.py", "    return 'fail'\n", "")
    assert space.build().exit == 0


def test_a_crash_names_the_signal(space: Space) -> None:
    failing(space, "crash")
    build = space.build()
    assert build.exit == 1
    messages = [f.message for f in build.run.failures.values()]
    assert "killed by SIGABRT" in messages


def test_an_output_that_was_not_written_is_a_failure(space: Space) -> None:
    failing(space, "nothing")
    messages = [f.message for f in space.build(keep_going=True).run.failures.values()]
    assert any("did not write model.captured" in m for m in messages), messages


def test_a_worker_that_hangs_is_killed(space: Space) -> None:
    from buildsys.engine.run import Settings

    failing(space, "hang")
    started = time.monotonic()
    with space.session() as session:
        build = session.build(["ios/m.coreml"], settings=Settings(jobs=1, timeout=2))
    assert time.monotonic() - started < 30
    (failed,) = build.run.failures.values()
    assert failed.message == "killed after 2 s"


def test_keep_going_builds_what_does_not_depend_on_the_failure(space: Space) -> None:
    space.edit(
        "deploy.yaml",
        "  m:\n",
        "  m:\n    samples: {dataset: val, count: 8}\n",
    )
    space.edit("deploy.yaml", "    samples: {dataset: val, count: 8}\n    evaluate", "    evaluate")
    space.arrays("train.npz", 2, seed=1)  # Fewer rows than the calibration asks for.
    space.edit("deploy.yaml", "quantization: half", "quantization: int8")
    build = space.build(keep_going=True)
    assert build.exit == 1
    assert statuses(build) == {
        "ios/m.onnx": "verified",
        "ios/m.coreml": "unverified",
        "android/m.tflite": "verified",
        "android/m.tflite-int8": "failed",
    }
    (failed,) = build.run.failures.values()
    assert failed.message == "4 samples are asked for, the dataset has 2"


def test_an_artifact_of_a_failed_deployable_does_not_stay(space: Space) -> None:
    space.build()
    assert (space.project / "artifacts" / "ios" / "m.plain").exists()
    failing(space, "fail")
    space.build()
    assert not (space.project / "artifacts" / "ios" / "m.plain").exists()


def test_a_wrong_artifact_is_rejected_and_quarantined_and_siblings_are_kept(space: Space) -> None:
    space.edit(
        "deploy.yaml",
        "{format: onnx, accept: close}",
        "{format: onnx, accept: close, options: {gain: 1.01}}",
    )
    build = space.build()
    assert build.exit == 3
    assert statuses(build)["ios/m.onnx"] == "rejected"
    assert statuses(build)["android/m.tflite"] == "verified"
    folder = space.project / "artifacts"
    assert not (folder / "ios" / "m.plain").exists()
    assert (folder / ".rejected" / "ios" / "m.plain").exists()
    (verdict,) = [v for v in build.verdicts if v.status is Status.REJECTED]
    assert verdict.reason is not None
    assert "signal_error of y at N = 8 is" in verdict.reason
    again = space.build()
    assert (again.exit, again.run.executed) == (3, [])
    planned = {p.deployable.label: p for p in space.plan().deployables}
    assert planned["ios/m.onnx"].sign == "="
    assert planned["ios/m.onnx"].rejected == verdict.reason
    assert planned["android/m.tflite"].rejected is None


def test_a_tolerance_is_judged_again_without_any_action(space: Space) -> None:
    space.build()
    space.edit("deploy.yaml", "signal_error: 1.0e-3", "signal_error: 1.0e-9")
    build = space.build()
    assert build.run.executed == []
    assert statuses(build)["android/m.tflite-half"] == "rejected"
    assert not (space.project / "artifacts" / "android" / "m-half.small").exists()


@pytest.mark.parametrize("damage", ["truncate", "flip", "delete"])
def test_damage_to_any_stored_file_is_found_and_made_good(space: Space, damage: str) -> None:
    space.build()
    clean = space.artifacts()
    files = sorted(f for f in (space.store / "files").rglob("*") if f.is_file())
    assert len(files) > 10
    for file in files:
        data = file.read_bytes()
        file.chmod(0o644)
        if damage == "delete":
            file.unlink()
        elif damage == "truncate":
            file.write_bytes(data[:-1])
        else:
            file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    for placed in space.project.joinpath("artifacts").rglob("*"):
        if placed.is_file() and not placed.name.startswith("."):
            placed.unlink()
    build = space.build()
    assert build.exit == 0
    assert space.artifacts() == clean


def test_a_lost_or_broken_index_costs_a_rebuild_and_nothing_else(space: Space) -> None:
    space.build()
    clean = space.artifacts()
    index = space.store / "index.sqlite"
    for data in (
        b"",
        b"not a database at all, but long enough to have a header",
        index.read_bytes()[:3000],
    ):
        for suffix in ("-wal", "-shm"):
            index.with_name(index.name + suffix).unlink(missing_ok=True)
        index.write_bytes(data)
        build = space.build()
        assert build.exit == 0
        assert space.artifacts() == clean
        said = [e.message for e in space.events if isinstance(e, Diagnostic)]
        assert any("index was damaged and is rebuilt" in each for each in said) == bool(data)


def test_an_edit_while_the_model_is_captured_is_not_kept(space: Space) -> None:
    """What a build keeps under a key was made from just what the key says."""
    space.edit("deploy.yaml", ", checkpoint: weights.safetensors", "")
    space.edit(
        "helper.py",
        "def base():\n",
        "import pathlib\n\n\ndef base():\n"
        "    path = pathlib.Path(__file__)\n"
        "    text = path.read_text()\n"
        "    if not text.endswith('meanwhile'):\n"
        "        path.write_text(text + '# edited meanwhile')\n",
    )
    build = space.build(jobs=1)
    warnings = [e.message for e in space.events if isinstance(e, Diagnostic)]
    assert any("helper.py changed while torch." in m for m in warnings), warnings
    assert build.exit == 0
    assert space.build().run.executed == []


def test_a_full_disk_leaves_nothing_half_written(space: Space, tmp_path: Path) -> None:
    """A file size limit stands for a full disk: both end a write in the middle."""
    space.write("weights.safetensors", str([[1.1, 2.3], [3.1, -4.7], [0.3, 0.25]]) + " " * 300_000)
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from tests.space import Space\n"
        "from buildsys.store import StoreError\n"
        "s = Space(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try:\n"
        "    s.build(jobs=1)\n"
        "except StoreError as error:\n"
        "    print(error.message, '|', error.hint); sys.exit(5)\n"
    )
    import sys

    result = subprocess.run(
        [sys.executable, "-c", code, str(space.project), str(space.store)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert result.returncode == 5, result.stdout + result.stderr
    assert "raise it" in result.stdout
    assert not (space.project / "artifacts" / "ios").exists()
    assert (
        list((space.store / "files").glob(".put-*")) == []
        if (space.store / "files").exists()
        else True
    )
    assert space.build().exit == 0


def test_what_is_made_again_is_measured_again(space: Space) -> None:
    """A maker that gives other bytes the second time: its artifact ships with its own figures."""
    space.edit("deploy.yaml", ", checkpoint: weights.safetensors", "")
    space.build("ios/m.onnx")
    (trace,) = [
        f for f in (space.store / "files").rglob("*") if f.is_file() and b"2.3" in f.read_bytes()
    ]
    trace.chmod(0o644)
    data = trace.read_bytes()
    trace.write_bytes(data.replace(b"2.3", b"2.4"))
    space.edit("model.py", "scale * value", "1 * value")  # Another capture of the same bytes.
    build = space.build("ios/m.onnx", "android/m.tflite", jobs=1)
    assert build.exit == 0
    assert b"2.3" in space.artifacts()["ios/m.plain"]


def test_every_kind_of_broken_dataset_is_a_failed_step(space: Space) -> None:
    import numpy as np

    path = space.project / "val.npz"
    whole = path.read_bytes()
    x, y = np.zeros((16, 3), np.float32), np.zeros(16)
    np.savez(path, x=x, y=np.array([object()] * 16, dtype=object))
    objects = path.read_bytes()
    np.savez(path, x=np.array(["a"] * 16), y=y)
    strings = path.read_bytes()
    np.savez(path, x=x, y=np.float32(3))
    scalar = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"PK\x03\x04", objects, strings, scalar):
        path.write_bytes(data)
        build = space.build(keep_going=True)
        assert build.exit == 1
        samples = [f for n, f in build.run.failures.items() if "data.sample" in n]
        assert samples
        assert all("dataset" in failed.message for failed in samples), samples


def test_damage_inside_the_index_is_found_and_made_good(space: Space) -> None:
    import random

    space.build()
    clean = space.artifacts()
    index = space.store / "index.sqlite"
    whole = index.read_bytes()
    generator = random.Random(7)
    for _ in range(8):
        start = generator.randrange(0, len(whole), 4096)
        data = bytearray(whole)
        data[start : start + 4096] = generator.randbytes(4096)
        for suffix in ("-wal", "-shm"):
            index.with_name(index.name + suffix).unlink(missing_ok=True)
        index.write_bytes(data)
        assert space.build().exit == 0
        assert space.artifacts() == clean


def test_twins_are_planned_as_what_they_may_turn_out_to_be(space: Space) -> None:
    from buildsys.engine.staleness.walk import State

    text = (space.project / "deploy.yaml").read_text()
    model = text.split("models:\n")[1].split("quant")[0]
    space.edit("deploy.yaml", "models:\n", "models:\n" + model.replace("  m:", "  twin:"))
    plan = space.plan()
    build = space.build()
    executed = set(build.run.executed)
    sure = {n for n, s in plan.standings.items() if s.state is State.RUN}
    maybe = {n for n, s in plan.standings.items() if s.state is State.MAYBE}
    assert sure <= executed <= sure | maybe


def test_a_killed_build_leaves_no_worker_behind(space: Space) -> None:
    """By SIGTERM, as a CI service ends a job."""
    import signal
    import sys

    failing(space, "hang")
    code = (
        "import sys, signal\n"
        "from pathlib import Path\n"
        "from tests.space import Space\n"
        "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
        "Space(Path(sys.argv[1]), Path(sys.argv[2])).build('ios/m.coreml', jobs=2)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(space.project), str(space.store)],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )
    marker = str(space.store / "work")

    def workers() -> list[str]:
        listed = subprocess.run(
            ["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True
        )
        return [line for line in listed.stdout.splitlines() if marker in line]

    for _ in range(100):
        if workers():
            break
        time.sleep(0.1)
    assert workers()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=20)
    time.sleep(0.2)
    assert workers() == []
