"""The command line, up to where converters would start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import networkx as nx
import pytest
import yaml

from tests.e2e.here import Here
from tests.e2e.project import Project, Result

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def started(tmp_path: Path) -> Project:
    """A copy of `digits` that was never built."""
    return Project.copy_of("digits", tmp_path)


@pytest.fixture
def raw(
    started: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    """The same, where the command needs no process of its own."""
    return Here(started, monkeypatch, capsys)


def test_version(started: Project) -> None:
    assert started.run("--version").stdout == "modelbuild, version 0.1.0\n"


def test_help_lists_commands_and_statuses(started: Project) -> None:
    text = started.run("--help").stdout
    for word in ("build", "bundle", "plan", "schema", "toolchain", "6 `plan --check`"):
        assert word in text


def test_a_first_plan_calls_everything_new(raw: Project) -> None:
    result = raw.run("plan", "ios")
    assert result.code == 0
    assert result.stdout.splitlines() == [
        "+ ios/classifier.coreml-fp16   new",
        "+ ios/classifier.onnx          new",
        "",
        "note: sizes are fixed: N = 1 (`flexible: true` keeps them open)",
        "  ios/classifier.coreml-fp16",
        "",
        "At least 17, at most 18 actions will run; 0 are up to date.",
    ]


def test_plan_check_says_that_there_is_work(started: Project) -> None:
    assert started.run("plan", "--check").code == 6


def test_plan_as_json(raw: Project) -> None:
    plan = raw.plan("ios/classifier.onnx")
    assert plan["version"] == 1
    assert plan["summary"] == {"hit": 0, "run": 11, "maybe": 0, "blocked": 0}
    by_rule = {action["rule"]: action for action in plan["actions"]}
    assert set(by_rule) == {
        "torch.export",
        "onnx.export",
        "data.sample",
        "torch.reference",
        "torch.floor",
        "torch.weights",
        "onnx.run",
        "onnx.weights",
        "verify.weights",
        "verify.measure",
    }
    export = by_rule["onnx.export"]
    assert export["toolchain"] == "onnx-export"
    assert export["deployable"] == "ios/classifier.onnx"
    assert export["state"] == "run"
    assert export["why"] == []


def test_plan_writes_nothing_beside_the_recipe(raw: Project) -> None:
    before = sorted(raw.folder.rglob("*"))
    raw.run("plan")
    assert sorted(raw.folder.rglob("*")) == before


def test_the_recipe_is_found_upwards(raw: Project) -> None:
    raw.folder /= "data"
    assert raw.run("plan", "ios").code == 0


@pytest.mark.parametrize(
    ("form", "first"), [("dot", "digraph modelbuild {"), ("mermaid", "flowchart LR")]
)
def test_the_graph(raw: Project, form: str, first: str) -> None:
    lines = raw.run("plan", "--graph", form, "ios/classifier.onnx").stdout.splitlines()
    assert lines[0] == first
    assert sum(" -> " in line or " -->|" in line for line in lines) == 16


def test_the_graph_for_programs(raw: Project) -> None:
    record = json.loads(raw.run("plan", "--json", "ios/classifier.onnx").stdout)
    graph = nx.node_link_graph(
        json.loads(raw.run("plan", "--graph", "json", "ios/classifier.onnx").stdout), edges="edges"
    )
    assert [(name, *node.values()) for name, node in graph.nodes(data=True)] == [
        (each["id"], each["rule"], each["toolchain"], each["state"], ["ios/classifier.onnx"])
        for each in record["actions"]
    ]
    text = raw.run("plan", "--graph", "graphml", "ios/classifier.onnx").stdout
    assert set(nx.parse_graphml(text).edges) == set(graph.edges)


def test_the_graph_is_json_in_one_form_only(raw: Project) -> None:
    result = raw.run("plan", "--graph", "dot", "--json")
    assert (result.code, result.stdout) == (2, "")
    assert "`--graph` and `--json` exclude each other" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "imported"),
    [(["--help"], False), (["plan", "--help"], False), (["plan", "--graph", "dot"], True)],
)
def test_networkx_is_imported_for_graphs_only(
    raw: Project, arguments: list[str], imported: bool
) -> None:
    code = (
        "import sys\nfrom buildsys.cli.main import run\n"
        f"code = run({[*arguments]})\nprint(code, 'networkx' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=raw.folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == f"0 {imported}\n"


def test_the_schema_fits_the_recipes(raw: Project) -> None:
    schema = json.loads(raw.run("schema").stdout)
    for recipe in ("digits", "activity"):
        record = yaml.safe_load((REPOSITORY / "recipes" / recipe / "deploy.yaml").read_text())
        jsonschema.Draft7Validator(schema).validate(record)


def test_toolchains_are_listed(raw: Project) -> None:
    record = json.loads(raw.run("toolchain", "list", "--json").stdout)
    names = [toolchain["name"] for toolchain in record["toolchains"]]
    assert {
        "torch",
        "onnx",
        "onnx-export",
        "coreml",
        "tflite",
        "tflite-direct",
        "tflite-onnx",
    } <= set(names)


def test_an_unknown_toolchain(raw: Project) -> None:
    result = raw.run("toolchain", "install", "cormel")
    assert result.code == 2
    assert "did you mean `coreml`?" in result.stderr


def test_a_toolchain_override_of_an_unknown_name(raw: Project) -> None:
    recipe = raw.folder / "deploy.yaml"
    recipe.write_text(recipe.read_text() + "\ntoolchains:\n  onxx: {lock: model.py}\n")
    result = raw.run("plan")
    assert result.code == 2
    assert "unknown toolchain `onxx`" in result.stderr


def plain(result: Result) -> str:
    return result.stdout + result.stderr


def test_no_colour_in_a_pipe_and_none_with_no_color(started: Project, raw: Project) -> None:
    assert "\x1b[" not in plain(started.run("plan"))
    assert "\x1b[" in plain(raw.run("plan", "--color", "always"))
    assert "\x1b[" not in plain(raw.run("plan", "--color", "always", environment={"NO_COLOR": "1"}))


def test_a_reader_that_goes_away_is_no_bug(started: Project) -> None:
    done = subprocess.run(
        f"{sys.executable} -m buildsys.cli schema | head -1",
        shell=True,
        cwd=started.folder,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MODELBUILD_CACHE": str(started.store)},
    )
    assert done.stderr == ""
    assert done.stdout == "{\n"


def test_a_bug_is_told_as_one() -> None:
    code = (
        "import sys, buildsys.cli.main as m, buildsys.cli.schema as s\n"
        "def broken(*a, **k): raise ZeroDivisionError('oops')\n"
        "s.command.callback = broken\n"
        "sys.exit(m.run(['schema']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert done.returncode == 70
    assert "this is a bug of modelbuild 0.1.0" in done.stderr


def test_bundle_verify_refuses_what_is_no_bundle(raw: Project) -> None:
    (raw.folder / "x.tar.zst").write_bytes(b"nothing of the kind")
    result = raw.run("bundle", "verify", "x.tar.zst")
    assert result.code == 1
    assert "cannot read x.tar.zst" in result.stderr


def test_a_bundle_needs_a_version_and_a_target(raw: Project) -> None:
    assert raw.run("bundle", "create", "andriod").code == 4
    raw.edit("deploy.yaml", "release: 1.0.0\n", "")
    result = raw.run("bundle", "create", "android")
    assert (result.code, "give `--release`" in result.stderr) == (1, True)
    shutil.rmtree(raw.folder)
