"""Faults are what they say, a build catches them, and the table says what was found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.faults import document, locating, projects, usual
from benchmarks.faults.__main__ import looked_at
from benchmarks.faults.graph import Array, Graph, Node, Setting
from benchmarks.faults.inject import chosen, spots
from benchmarks.faults.kinds import KINDS
from benchmarks.faults.substitution import Substitute, relocated, substituted
from buildsys.backends.output import Output
from buildsys.engine.session import CACHE_VARIABLE, TOOLCHAINS_VARIABLE, cache_root, toolchains_root
from buildsys.planner.catalog import Catalog, load_built_in
from buildsys.planner.graph import Action, ActionGraph, Deployable, Evidence, FileInput, OutputRef
from buildsys.planner.workers import host_worker

RECORD: dict[str, Any] = json.loads(document.RESULTS.read_text())


class Small(Graph):
    """Two linear layers and what stands between them; changes are kept, nothing is written."""

    def __init__(self) -> None:
        super().__init__()
        generator = np.random.default_rng(0)
        self.constants = {
            name: generator.standard_normal(shape).astype(np.float32)
            for name, shape in (("w", (4, 4)), ("b", (4,)), ("v", (4, 2)), ("u", (16, 4)))
        } | {"mask": np.array([-1e4], np.float32), "sizes": np.array([1, 2])}
        self.nodes = [
            Node("first", "linear", ["x", "w", "b"], ["y"]),
            Node("hide", "mul", ["y", "mask"], ["m"]),
            Node("less", "sub", ["m", "x"], ["s"]),
            Node("last", "matmul", ["s", "v"], ["z"]),
            Node("again", "lstm", ["z", "u"], ["l"]),
        ]
        self.outputs = ["z", "l"]
        self.changed: dict[str, Array] = {}
        self.said: list[str] = []

    def put(self, name: str, array: Array) -> None:
        assert array.shape == self.constants[name].shape
        assert array.dtype == self.constants[name].dtype
        self.changed[name] = array

    def save(self, path: Path) -> None:
        raise AssertionError("nothing is written")

    def swap(self, node: Node, first: int, second: int) -> None:
        self.said.append(f"swap {node.name} {first} {second}")

    def swap_outputs(self, first: int, second: int) -> None:
        self.said.append(f"outputs {first} {second}")


def changes(kind: str) -> Iterator[tuple[str, Array, Array]]:
    """What each place of a kind changes: name, before and after."""
    for number in range(len(spots(Small(), KINDS[kind], 1))):
        graph = Small()
        spots(graph, KINDS[kind], 1)[number].apply()
        for name, after in graph.changed.items():
            yield name, graph.constants[name], after


def test_bits_are_flipped_where_the_kind_says() -> None:
    for part, low, high in (("low bit", 0, 4), ("middle bit", 8, 16), ("high bit", 20, 23)):
        found = list(changes(f"flipped {part}"))
        assert {name for name, _, _ in found} == {"w", "b", "v", "u"}  # No mask, no sizes.
        for _, before, after in found:
            bits = before.view(np.uint32) ^ after.view(np.uint32)
            (flipped,) = bits[bits != 0]
            assert low <= np.log2(flipped) < high
    for _, before, after in changes("flipped sign"):
        assert np.count_nonzero(before != after) == 1
        assert np.array_equal(np.abs(before), np.abs(after))


def test_stored_numbers_are_changed_as_the_kind_says() -> None:
    for _, before, after in changes("zeroed element"):
        assert np.count_nonzero(after == 0) == 1 == np.count_nonzero(before != after)
    for _, before, after in changes("zeroed row"):
        assert np.count_nonzero(~after.any(axis=1)) == 1
        assert np.count_nonzero((before != after).any(axis=1)) == 1
    assert all(not after.any() for _, _, after in changes("zeroed tensor"))
    for _, before, after in changes("transposed weight"):
        assert np.array_equal(after, before.T.reshape(before.shape))
    for _, before, after in changes("swapped channels"):
        assert sorted(before.reshape(-1)) == sorted(after.reshape(-1))
    ((name, before, after),) = changes("permuted gate")
    assert name == "u"
    moved = [(before[4 * g : 4 * g + 4] != after[4 * g : 4 * g + 4]).any() for g in range(4)]
    assert sum(moved) == 2
    ((name, _, after),) = changes("dropped bias")
    assert name == "b"
    assert not after.any()
    old = list(changes("stale weights, an epoch ago"))
    assert len(old) == 4
    for _, before, after in old:
        assert 1e-3 < np.abs(before - after).std() / before.std() < 3e-2
    ((name, _, after),) = changes("NaN from masks")
    assert (name, after.tolist()) == ("mask", [-np.inf])


def test_what_is_computed_is_changed_where_order_matters() -> None:
    found = []
    for number in range(len(spots(Small(), KINDS["swapped operand"], 1))):
        graph = Small()
        spots(graph, KINDS["swapped operand"], 1)[number].apply()
        found += graph.said
    assert found == ["swap less 0 1"]  # A matrix of weights fits on one side only.
    assert [spot.node for spot in spots(Small(), KINDS["outputs swapped"], 1)] == ["last"]


def test_a_bias_behind_a_cast_is_dropped_where_it_is_stored() -> None:
    graph = Small()
    graph.nodes[0] = Node("first", "linear", ["x", "w", "wide"], ["y"])
    graph.nodes.insert(0, Node("widen", "cast", ["b"], ["wide"]))
    (spot,) = spots(graph, KINDS["dropped bias"], 1)
    spot.apply()
    assert list(graph.changed) == ["b"]
    assert not graph.changed["b"].any()


class Normed(Small):
    """Its last operation has an epsilon."""

    given = 0.0010000000474974513

    def epsilon(self, node: Node) -> Setting[float] | None:
        change = lambda value: self.said.append(f"{value:g}")  # noqa: E731
        return Setting(self.given, change) if node.name == "last" else None


def test_what_stays_as_it_was_is_no_fault() -> None:
    graph = Small()
    graph.constants["mask"] = np.array([-np.inf], np.float32)
    assert spots(graph, KINDS["NaN from masks"], 1) == []
    for given, other in ((0.0010000000474974513, "1e-05"), (1e-5, "0.001"), (1e-6, "1e-05")):
        normed = Normed()
        normed.given = given
        (spot,) = spots(normed, KINDS["wrong eps"], 1)
        spot.apply()
        assert normed.said == [other]


def test_places_are_drawn_from_different_operations_and_always_the_same() -> None:
    found = spots(Small(), KINDS["flipped low bit"], 1)
    drawn = chosen(found, 3, KINDS["flipped low bit"], 1)
    assert drawn == chosen(found, 3, KINDS["flipped low bit"], 1)
    assert len({found[index].node for index in drawn}) == 3
    assert len(chosen(found, 9, KINDS["flipped low bit"], 1)) == len(found) == 4
    assert Small().near("hide") == ["hide", "m", "first", "y", "less", "s"]


def test_the_usual_checks_are_fair() -> None:
    one = {"y": np.ones((2, 3), np.float32)}
    assert usual.caught(one, one, "float32") == dict.fromkeys(usual.CHECKS, False)
    assert all(usual.caught({"y": one["y"] * np.nan}, one, "float32").values())
    assert all(usual.caught({"y": one["y"][:, :2]}, one, "float32").values())
    later = {"y": np.array([[1, 1, 1], [9, 9, 9]], np.float32)}
    assert not any(usual.caught(later, one, "float32").values())  # They see one sample.
    gain = {"y": one["y"] * np.float32(1.005)}
    assert usual.caught(gain, one, "float32") == {
        "allclose": True,
        "cosine": False,
        "max_abs": False,
    }


def action(name: str, **inputs: Any) -> Action:
    worker = host_worker("buildsys.verify.outputs.measurement:measure")
    outputs = (Output("artifact", "model.onnx"), Output("figures", "figures.json"))
    options = {"latency": {"warmup": 5, "runs": 50}}
    return Action(name, name.partition("#")[2], worker, None, inputs, options, outputs)


def graph() -> ActionGraph:
    made = ActionGraph()
    for one in (
        action("a#reference", file=FileInput(Path("x"))),
        action("a#convert", file=FileInput(Path("x"))),
        action("a#onnx.probe", artifact=OutputRef("a#convert", "artifact")),
        action(
            "a#measure",
            run=OutputRef("a#onnx.probe", "figures"),
            reference=OutputRef("a#reference", "figures"),
        ),
    ):
        one.number = len(made.actions)
        made.actions[one.id] = one
    return made


def test_only_what_looks_at_the_artifact_is_done_again() -> None:
    healthy = graph()
    healthy.deployables.append(
        Deployable(
            **dict.fromkeys(Deployable.__dataclass_fields__),  # type: ignore[arg-type]
        )
    )
    wanted = {
        "label": "t/m.onnx",
        "filename": "m.onnx",
        "artifact": OutputRef("a#convert", "artifact"),
        "io": OutputRef("a#convert", "figures"),
        "evidence": Evidence(OutputRef("a#measure", "figures"), None),
        "actions": tuple(healthy.actions),
    }
    for name, value in wanted.items():
        object.__setattr__(healthy.deployables[0], name, value)
    by = Substitute("t/m.onnx", "zeroed-0", Path("fault.onnx"))
    made = substituted(healthy, [by])
    new = [name for name in made.actions if name not in healthy.actions]
    place = "t/m.onnx/zeroed-0"
    assert new == [f"{place}#faults.adopt", f"{place}#onnx.probe", f"{place}#measure"]
    (deployable,) = made.deployables
    assert deployable.artifact == OutputRef(f"{place}#faults.adopt", "artifact")
    assert deployable.evidence.measurement == OutputRef(f"{place}#measure", "figures")
    assert deployable.io == OutputRef("a#convert", "figures")  # Its contract is the sound one's.
    measure = made.actions[f"{place}#measure"]
    assert measure.inputs["run"] == OutputRef(f"{place}#onnx.probe", "figures")
    assert measure.inputs["reference"] == OutputRef("a#reference", "figures")
    assert measure.options["latency"] == {"warmup": 0, "runs": 1}
    assert healthy.actions["a#measure"].inputs["run"] == OutputRef("a#onnx.probe", "figures")
    assert made.actions[f"{place}#faults.adopt"].inputs == {"file": FileInput(Path("fault.onnx"))}
    located = graph()
    located.wanted = (OutputRef("a#measure", "figures"),)
    assert relocated(located, [by]).wanted == (OutputRef(f"{place}#measure", "figures"),)


def test_a_place_is_told_by_names() -> None:
    fault = {"kind": "x", "node": "n", "own": ["y"], "near": ["n", "y", "m", "z"], "tensor": "w"}

    def located(name: str, *outputs: str) -> str | None:
        operation = {"name": name, "outputs": list(outputs)}
        return locating.place(fault, {"found": True, "kind": "op", "operation": operation})

    assert located("n") == located("other", "y") == "at"
    assert located("m") == located("other", "z") == "beside"
    assert located("far", "away") == "elsewhere"
    assert locating.place(fault, {"found": False}) is None
    order = {"found": True, "kind": "output-order", "operation": None}
    assert locating.place(fault, order) == "nowhere"
    assert locating.place({**fault, "kind": "outputs swapped"}, order) == "at"
    wrong: dict[str, Any] = {"altered": [{"name": "w", "readers": []}], "missing": []}
    assert locating.named(fault, wrong) == "at"
    wrong["altered"] = [{"name": "v", "readers": ["Conv m"]}]
    assert locating.named(fault, wrong) == "beside"
    numbered = {**fault, "node": "7:same", "own": ["7:same", "8:y"], "tensor": "12:w", "near": []}
    assert locating.named(numbered, {"altered": [{"name": "w", "readers": []}]}) == "at"
    for name in ("y", "same#7"):
        operation: dict[str, Any] = {"name": name, "outputs": []}
        told = {"found": True, "kind": "op", "operation": operation}
        assert locating.place(numbered, told) == "at"
    assert locating.named(fault, {"altered": [], "missing": []}) is None


def fault(kind: str, status: str, **more: Any) -> dict[str, Any]:
    record = {"kind": kind, "node": "n", "tensor": None, "description": "d", "status": status}
    return {**record, "gates": [], "usual": [], "signal_error": 1e-6, "named": None, **more}


def test_the_table_says_what_was_found() -> None:
    sound = {"1": {"status": "verified", "usual": ["max_abs"]}}
    faults = [
        fault("wrong eps", "rejected", gates=["signal_error"], usual=["allclose"], locate="beside"),
        fault("flipped low bit", "rejected", gates=["weights"], named="at", locate=None),
        fault("flipped low bit", "verified"),
        fault("swapped operand", "failed", cause="it does not load"),
        fault("wrong activation", "verified", effect=False),
        fault("flipped sign", "rejected", effect=False, gates=["weights"], named="at"),
    ]
    record = document.updated({}, "cnn", {"onnx": {"healthy": sound, "faults": faults}})
    shown = document.document(record)
    faults.pop()
    assert "4 faults in artifacts of 1 models. 1 more were refused" in shown
    record = document.updated({}, "cnn", {"onnx": {"healthy": sound, "faults": faults}})
    shown = document.document(record)
    assert "3 faults in artifacts of 1 models. 1 more were refused" in shown
    assert shown.endswith(
        "Not counted, since they change no bit of any output, for all samples "
        "and edges:\n\n- cnn.onnx, wrong activation at `n`: d.\n"
    )
    assert (
        "| float32 | 3 | **66.7 %** | 33.3 % | 0.0 % | 33.3 % | 33.3 % | 0.0 % | 0.0 % |" in shown
    )
    assert "| flipped low bit | the lowest third of a mantissa | **1/2** | 0/2 |" in shown
    assert "| onnx | 1 | 0 | 0 | 0 | 1 |" in shown
    assert "| onnx | the first, else the second | 2 | 1 | 1 | 0 | 0 | 100.0 % |" in shown
    assert "- cnn.onnx, flipped low bit at `n`: d. `signal_error` 1.0e-06." in shown
    assert document.missing(record) == [
        "2 of 3 faults in float32 artifacts are caught: below 100.0%"
    ]
    worse = {"onnx": {"healthy": {"1": {"status": "rejected"}}, "faults": []}}
    both = document.updated(record, "lstm", worse)
    assert list(both["models"]) == ["cnn", "lstm"]
    assert both["models"]["cnn"] == record["models"]["cnn"]
    assert "lstm.onnx without a fault is rejected" in document.missing(both)
    far = document.updated(
        {},
        "cnn",
        {
            "onnx": {
                "healthy": {},
                "faults": [fault("wrong eps", "rejected", gates=["finite"], locate="elsewhere")],
            }
        },
    )
    assert document.missing(far) == ["0 of 1 faults are located within one operation: below 80%"]


def test_the_projects_are_valid_recipes(tmp_path: Path) -> None:
    import buildsys

    for name in (*projects.ZOO, *projects.TRAINED):
        recipe = buildsys.load(projects.write(tmp_path / name, name, projects.ENTRIES))
        assert list(recipe.spec.models) == [name]
        labels = {f"server/{name}.{column}" for column in projects.ENTRIES}
        from buildsys.planner.entries import entries

        assert {entry.label for entry in entries(recipe)} <= labels


def test_the_document_is_made_of_the_results() -> None:
    assert document.DOCUMENT.read_text() == document.document(RECORD)


def test_as_much_is_caught_and_located_as_must_be() -> None:
    recorded = list(RECORD["models"])
    assert set(recorded) >= {*projects.ZOO, *projects.TRAINED}
    assert recorded == [name for name in document.MODELS if name in recorded]
    shares = {}
    for precision in document.PRECISIONS:
        found = [
            fault
            for model, column, fault in document.rows(RECORD)
            if projects.precision(column) == precision and model not in projects.WHEELS
        ]
        shares[precision] = sum(map(document.caught, found)) / len(found)
    escaped = {
        (model, column, fault["kind"])
        for model, column, fault in document.rows(RECORD)
        if model in projects.WHEELS and not document.caught(fault)
    }
    assert escaped == set()
    # What is missed stands in the document by name.
    assert shares["float32"] == shares["8 bits"] == 1.0
    assert shares["float16"] >= document.LEAST["float16"]
    assert all(judged["status"] in document.SOUND for _, _, judged in document.healthy(RECORD))
    places = [document.place(fault) for _, _, fault in document.rows(RECORD)]
    asked = [place for place in places if place is not None]
    assert sum(place in document.WITHIN for place in asked) / len(asked) >= document.LEAST_LOCATED


@pytest.mark.toolchain
def test_a_build_catches_every_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOOLCHAINS_VARIABLE, str(toolchains_root(cache_root())))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "store"))
    monkeypatch.setattr("benchmarks.faults.__main__.SEEDS", (projects.SEED,))
    catalog = Catalog.load(load_built_in())
    columns = ["onnx", "coreml"]
    found = looked_at("siamese", columns, tmp_path / "a", catalog, spots=1, jobs=2, locate=False)
    record = document.updated({}, "siamese", found)
    assert set(record["models"]["siamese"]) == {"onnx", "coreml"}
    for _, column, judged in document.rows(record):
        assert document.caught(judged), f"{column}: {judged}"
    assert {f["kind"] for _, c, f in document.rows(record) if c == "onnx"} >= {
        kind.name for kind in KINDS.values() if kind.name not in UNFIT
    }
    assert document.missing(record) == []
    # To locate takes longest: one kind, in what was built already.
    kinds = ["swapped operand"]
    one = looked_at("siamese", ["onnx"], tmp_path / "b", catalog, 1, 2, kinds=kinds)
    (located,) = one["onnx"]["faults"]
    assert ([located["kind"]], located["named"]) == (kinds, None)
    assert document.place(located) in document.WITHIN


UNFIT = ("permuted gate", "off-by-one slice", "saturated scale", "NaN from masks")
"""Kinds that the model has no place for."""
