"""Lists of a recipe are added to in its text, and nothing else of it is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildsys.recipe import Recipe, load
from buildsys.recipe.text.editing import CannotEditError, append

HEAD = """\
version: 1
project: p
models:
  m:
    source: {factory: "model:build"}
    inputs: {x: {shape: [4]}}
    outputs: {y: {}}
targets:
  ios:
    - {format: coreml, quantization: half}
"""
KEYS = ("quantization", "half", "keep_float")


def written(folder: Path, text: str, name: str = "deploy.yaml") -> Recipe:
    (folder / "model.py").write_text("")
    (folder / name).write_bytes(text.encode())
    return load(folder / "deploy.yaml", environ={"GLOB": "here"})


EDITS = {
    "a flow mapping": (
        "quantization: {half: {scheme: float16}} # why\n",
        "quantization: {half: {scheme: float16, keep_float: [mask, attention.*]}} # why\n",
    ),
    "a block mapping, before what belongs to the next": (
        """\
quantization:
  half:
    # what
    scheme: float16   # half

  # eight
  other: {scheme: dynamic}
""",
        """\
quantization:
  half:
    # what
    scheme: float16   # half
    keep_float: [mask, attention.*]

  # eight
  other: {scheme: dynamic}
""",
    ),
    "a flow list in quotes": (
        "quantization:\n  half: {scheme: float16, keep_float: [ 'head.*', ] }\n",
        "quantization:\n  half: {scheme: float16, keep_float: [ 'head.*', 'mask', 'attention.*', ] }\n",
    ),
    "a list that is empty": (
        "quantization:\n  half: {keep_float: [], scheme: float16}\n",
        "quantization:\n  half: {keep_float: [mask, attention.*], scheme: float16}\n",
    ),
    "a flow list over lines": (
        """\
quantization:
  half:
    keep_float: [
      head,  # one
      tail  # two
    ]
    scheme: float16
""",
        """\
quantization:
  half:
    keep_float: [
      head,  # one
      tail, mask, attention.*  # two
    ]
    scheme: float16
""",
    ),
    "a block list with comments": (
        """\
quantization:
  half:
    keep_float:
    - "head.*"  # one
    # none
    - tail  # two
    scheme: float16
""",
        """\
quantization:
  half:
    keep_float:
    - "head.*"  # one
    # none
    - tail  # two
    - "mask"
    - "attention.*"
    scheme: float16
""",
    ),
    "a variable beside it": (
        "quantization:\n  half: {scheme: float16, keep_float: [$GLOB, '${GLOB}']}\n",
        "quantization:\n  half: {scheme: float16, keep_float: [$GLOB, '${GLOB}', mask, attention.*]}\n",
    ),
    "a file without a last line break": (
        "quantization:\n  half:\n    scheme: float16",
        "quantization:\n  half:\n    scheme: float16\n    keep_float: [mask, attention.*]",
    ),
    "an own mapping beside one that merges": (
        """\
x-base: &base {symmetric: true}
quantization:
  other: {<<: *base, scheme: dynamic}
  half: {scheme: float16}
""",
        """\
x-base: &base {symmetric: true}
quantization:
  other: {<<: *base, scheme: dynamic}
  half: {scheme: float16, keep_float: [mask, attention.*]}
""",
    ),
}


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_only_what_is_added_is_new(tmp_path: Path, name: str, ends: str) -> None:
    before, after = (HEAD + text for text in EDITS[name])
    recipe = written(tmp_path, "\ufeff" + before.replace("\n", ends))
    edit = append(recipe, KEYS, ["mask", "attention.*"])
    assert edit.before == before.replace("\n", ends)
    edit.write()
    file = tmp_path / "deploy.yaml"
    assert file.read_bytes() == ("\ufeff" + after.replace("\n", ends)).encode()
    kept = load(file, environ={"GLOB": "here"}).spec.quantization["half"].keep_float
    assert kept[-2:] == ("mask", "attention.*")


REFUSED = {
    "an alias": (
        "x-half: &half {scheme: float16}\nquantization: {half: *half}\n",
        "`half` is an alias",
    ),
    "an anchor": (
        "quantization: {half: &half {scheme: float16}, other: *half}\n",
        "`half` has an anchor",
    ),
    "an aliased list": (
        "x-kept: &kept [head]\nquantization: {half: {scheme: float16, keep_float: *kept}}\n",
        "`keep_float` is an alias",
    ),
    "a merged list": (
        "x-base: &base {keep_float: [head]}\nquantization: {half: {<<: *base, scheme: float16}}\n",
        "an anchor or a merge key",
    ),
    "nothing of its own": (
        "x-base: &base {scheme: float16}\nquantization: {half: {<<: *base}}\n",
        "brought in from elsewhere",
    ),
    "there already": (
        "quantization: {half: {scheme: float16, keep_float: [mask]}}\n",
        "holds that already",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_edited_safely_is_left_with_the_line_to_write(
    tmp_path: Path, name: str
) -> None:
    text, why = REFUSED[name]
    recipe = written(tmp_path, HEAD + text)
    with pytest.raises(CannotEditError, match=why) as caught:
        append(recipe, KEYS, ["mask"])
    line = f"keep_float: [{'head, ' if '[head]' in text else ''}mask]"
    assert caught.value.hint == f"write `{line}` under `quantization.half` yourself"
    assert caught.value.position is not None
    assert (tmp_path / "deploy.yaml").read_text() == HEAD + text


def test_a_fragment_is_edited_where_the_list_is_in_it(tmp_path: Path) -> None:
    fragment = tmp_path / "profiles.yaml"
    fragment.write_text("quantization:\n  half: {scheme: float16}\n")
    recipe = written(tmp_path, HEAD + "include: [profiles.yaml]\n")
    edit = append(recipe, KEYS, ["*mask", "a$b", "null", "1e3"])
    assert edit.diff(tmp_path) == (
        "--- profiles.yaml\n+++ profiles.yaml\n@@ -1,2 +1,2 @@\n quantization:\n"
        "-  half: {scheme: float16}\n"
        '+  half: {scheme: float16, keep_float: ["*mask", "a$$b", "null", "1e3"]}\n'
    )
    tried = load(recipe.path, environ={}, texts={fragment: edit.after})
    assert tried.spec.quantization["half"].keep_float == ("*mask", "a$b", "null", "1e3")
    assert load(recipe.path, environ={}).spec.quantization["half"].keep_float == ()


def test_a_file_that_was_edited_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    recipe = written(tmp_path, HEAD + "quantization: {half: {scheme: float16}}\n")
    edit = append(recipe, KEYS, ["mask"])
    recipe.path.write_text("another")
    with pytest.raises(CannotEditError, match="edited meanwhile"):
        edit.write()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    assert recipe.path.read_text() == "another"


def test_a_link_and_a_mode_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real = tmp_path / "real" / "recipe.yaml"
    real.write_text(HEAD + "quantization: {half: {scheme: float16}}\n")
    real.chmod(0o640)
    (tmp_path / "deploy.yaml").symlink_to(real)
    (tmp_path / "model.py").touch()
    append(load(tmp_path / "deploy.yaml", environ={}), KEYS, ["mask"]).write()
    assert (tmp_path / "deploy.yaml").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert "keep_float: [mask]" in real.read_text()
