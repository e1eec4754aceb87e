"""Changes that mean nothing: no step runs after them, and no artifact is written anew."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.mutation import recipe
from tests.mutation.bench import Bench
from tests.mutation.cases import NAMED

Text = Callable[[str], str]
Edit = Callable[[Path], None]
ORDERED = ("inputs", "outputs", "layers")
"""Mappings whose order is that of a model's arguments and results."""


def turned(value: Any, key: str = "") -> Any:
    """The same with the names of every mapping the other way round."""
    if isinstance(value, list):
        return [turned(each) for each in value]
    if not isinstance(value, dict):
        return value
    names = value if key in ORDERED else reversed(value)
    return {name: turned(value[name], name) for name in names}


def dumped(**how: Any) -> Text:
    """The recipe as YAML in another style."""
    return lambda _: str(yaml.safe_dump(recipe.tree(), sort_keys=False, **how))


def replaced(before: str, after: str) -> Text:
    """The text with one piece put otherwise, which must be there."""

    def change(text: str) -> str:
        assert before in text
        return text.replace(before, after)

    return change


def aliased(text: str) -> str:
    """Inputs that several models have in common, written once."""
    inputs = "inputs: {image: {shape: [N, 1, 8, 8]}}"
    assert text.count(inputs) > 2
    first, *rest = text.split(inputs)
    return f"{first}inputs: &image {inputs.removeprefix('inputs: ')}" + "inputs: *image".join(
        ["", rest[0], *rest[1:]]
    ).removeprefix("inputs: *image")


def merged(text: str) -> str:
    """A profile that is another one with more: by a merge key, from a free place for anchors."""
    before = "train: {source: data/train.npz, inputs: {image: x}, limit: 256}"
    after = "train: {<<: *rows, source: data/train.npz}"
    assert before in text
    return "x-rows: &rows {inputs: {image: x}, limit: 256}\n" + text.replace(before, after)


def blank(text: str) -> str:
    """Empty lines, and spaces at the ends of lines."""
    return "\n\n" + re.sub(r"\n", "   \n\n", text)


def commented(text: str) -> str:
    """A comment before every line and after every other one."""
    lines = text.splitlines()
    return "\n".join(f"# Line {n}\n{line}" for n, line in enumerate(lines)) + "\n# The end"


TEXTS: dict[str, Text] = {
    "order of keys": lambda _: json.dumps(turned(recipe.tree()), ensure_ascii=False),
    "comments": commented,
    "white space": blank,
    "indentation": dumped(indent=5),
    "block style": dumped(default_flow_style=False, allow_unicode=True),
    "flow style": dumped(default_flow_style=True, allow_unicode=True),
    "folded lines": dumped(width=20),
    "double quotes": replaced("project: full", 'project: "full"'),
    "single quotes": replaced("limit: 16\n", "'limit': 16\n"),
    "plain style": replaced('"loading:load"', "'loading:load'"),
    "escapes": replaced("größer", "gr\\u00f6\\xDFer"),
    "JSON": lambda _: json.dumps(recipe.tree(), indent=3),
    "aliases": aliased,
    "merge key": merged,
    "1e-2": replaced("scale: 0.01", "scale: 1e-2"),
    "1.0E-02": replaced("scale: 0.01", "scale: 1.0E-02"),
    "0.0100": replaced("scale: 0.01", "scale: 0.0100"),
    "+16": replaced("limit: 16", "limit: +16"),
    "line ends": lambda text: text.replace("\n", "\r\n"),
    "byte order mark": lambda text: "\ufeff" + text,
    "no line end": lambda text: text.rstrip("\n"),
    "document markers": lambda text: f"%YAML 1.2\n---\n{text}...\n",
    "x- keys": lambda text: f"x-notes: {{anything: [1, 2]}}\n{text}\nx-more: text\n",
    "variable": replaced("project: full", "project: ${FULL_NAME:-full}"),
    "variable in a number": replaced("limit: 16", "limit: ${FULL_LIMIT:-16}"),
    "variable within a text": replaced("data/val.npz", '"${FULL_DATA:-data}/val.npz"'),
    "literal": replaced("${FULL_RELEASE:-1.2.0}", "1.2.0"),
    "path": replaced("data/val.npz", "./data/../data/val.npz"),
}


def splits(folder: Path) -> None:
    """Puts sections into files that are included."""
    tree = recipe.tree()
    parts = {name: tree.pop(name) for name in ("models", "quantization", "targets")}
    (folder / "common" / "parts.yaml").write_text(yaml.safe_dump(parts, sort_keys=False))
    tree["include"].append("common/parts.yaml")
    (folder / "deploy.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))


def joins(folder: Path) -> None:
    """Puts what is included into the recipe."""
    tree = recipe.tree()
    del tree["include"]
    # In the place that it had: names of the recipe itself come first.
    tree["acceptance"] |= yaml.safe_load(recipe.FRAGMENT)["acceptance"]
    (folder / "deploy.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))


def inputs(folder: Path) -> list[Path]:
    """The files of the project that are not artifacts."""
    return [folder / name for name in ("deploy.yaml", *recipe.FILES)]


def touches(folder: Path) -> None:
    """Gives every file another time."""
    for path in inputs(folder):
        os.utime(path)


def ages(folder: Path) -> None:
    """Gives every file a time of long ago, as an archive does."""
    for path in inputs(folder):
        os.utime(path, (86_400, 86_400))


def rewrites(folder: Path) -> None:
    """Writes every file again, with the same bytes, in an inode of its own."""
    for path in inputs(folder):
        fresh = path.with_name("fresh")
        fresh.write_bytes(path.read_bytes())
        fresh.rename(path)


def modes(folder: Path) -> None:
    """Gives every file another mode."""
    for path in inputs(folder):
        path.chmod(0o755)


def links(folder: Path) -> None:
    """Puts the weights and the data elsewhere, and links to them in their place."""
    for name in ("weights.safetensors", "data/val.npz", "data/photos/cat/1.png"):
        other = folder.parent / name.replace("/", "-")
        other.write_bytes((folder / name).read_bytes())
        (folder / name).unlink()
        (folder / name).symlink_to(other)


def strangers(folder: Path) -> None:
    """Puts files there that nothing reads; `text` is listed, and tools leave names of their own there."""
    names = ("README.md", ".git/HEAD", "data/notes.txt", "text/.DS_Store", "notebook.ipynb")
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("unread")


def byte_code(folder: Path) -> None:
    """Puts byte code of other sources there."""
    for name in ("", "text/"):
        (folder / name / "__pycache__").mkdir()
        (folder / name / "__pycache__" / "model.cpython-311.pyc").write_bytes(b"stale")


EDITS: tuple[Edit, ...] = (
    *(splits, joins, touches, ages, rewrites, modes, links, strangers, byte_code),
)


def unchanged(bench: Bench, before: object, **how: Any) -> None:
    """Builds; says that nothing ran and that no artifact was touched."""
    build = bench.build(**how)
    assert build.exit == 0
    assert bench.runner.ran == []
    assert bench.stamps() == before
    bench.built = False  # Nothing has to be put back.


@pytest.mark.parametrize("name", TEXTS)
def test_another_spelling_of_the_recipe_means_nothing(bench: Bench, name: str) -> None:
    text = TEXTS[name](recipe.RECIPE)
    assert text != recipe.RECIPE
    bench.write(text)
    unchanged(bench, bench.stamps())


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_files_that_say_the_same_mean_nothing(bench: Bench, edit: Edit) -> None:
    before = bench.stamps()
    edit(bench.folder)
    unchanged(bench, before)


@pytest.mark.parametrize("jobs", [1, 8])
def test_how_many_run_at_a_time_means_nothing(bench: Bench, jobs: int) -> None:
    unchanged(bench, bench.stamps(), jobs=jobs)


def test_a_value_from_the_environment_means_what_it_says(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FULL_RELEASE", "1.2.0")
    unchanged(bench, bench.stamps())
    monkeypatch.setenv("FULL_RELEASE", "1.2.1")
    assert bench.seen().rules == set(NAMED.split())


@pytest.mark.parametrize(
    "variables",
    [
        {"LANG": "de_DE.UTF-8", "LC_ALL": "C"},
        {"TZ": "Pacific/Auckland"},
        {"HOME": "/nowhere", "USER": "nobody"},
        {"PATH": "/nowhere", "TERM": "dumb", "NO_COLOR": "1"},
        {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "3"},
    ],
    ids=lambda variables: " ".join(variables),
)
def test_other_variables_mean_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    time.tzset()
    try:
        unchanged(bench, bench.stamps())
    finally:
        monkeypatch.undo()
        time.tzset()


def test_another_working_folder_means_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bench.stamps()
    for folder in (bench.folder, bench.folder / "text", bench.folder.parent):
        monkeypatch.chdir(folder)
        path = Path(os.path.relpath(bench.folder / "deploy.yaml"))
        unchanged(bench, before, path=path)


def test_another_umask_means_nothing(bench: Bench) -> None:
    before = bench.stamps()
    mask = os.umask(0o077)
    try:
        unchanged(bench, before)
    finally:
        os.umask(mask)


def test_another_folder_means_nothing(bench: Bench, elsewhere: Path) -> None:
    shutil.copytree(bench.folder, elsewhere / "moved", ignore=shutil.ignore_patterns("artifacts"))
    build = bench.build(path=elsewhere / "moved" / "deploy.yaml")
    assert bench.runner.ran == []
    assert bench.shown(build) == bench.report


def test_a_folder_under_another_name_means_nothing(bench: Bench, elsewhere: Path) -> None:
    before = bench.stamps()
    (elsewhere / "link").symlink_to(bench.folder)
    unchanged(bench, before, path=elsewhere / "link" / "deploy.yaml")


def test_another_name_of_the_recipe_means_nothing(bench: Bench, elsewhere: Path) -> None:
    shutil.copy(bench.folder / "deploy.yaml", bench.folder / "other.yaml")
    build = bench.build(path=bench.folder / "other.yaml", out=elsewhere / "artifacts")
    assert bench.runner.ran == []
    assert bench.shown(build) == bench.report


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_another_process_of_another_hash_seed_means_nothing(bench: Bench, seed: str) -> None:
    """Sets and names are ordered otherwise there; the locale's encoding is another one, too."""
    before = bench.stamps()
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.mutation.bench import Bench\n"
        "bench = Bench.again(Path(sys.argv[1]))\n"
        "build = bench.build()\n"
        "print(build.exit, bench.runner.ran)\n"
    )
    variables = {
        "PYTHONHASHSEED": seed,
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", program, str(bench.folder.parent)],
        env=os.environ | variables,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0 []\n"
    assert bench.stamps() == before


def test_the_tree_that_changes_are_made_in_says_what_the_recipe_says(bench: Bench) -> None:
    tree = deepcopy(recipe.tree())
    bench.write(tree)
    unchanged(bench, bench.stamps())
