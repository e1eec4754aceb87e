"""What a recipe, a file's name, a log or an archive holds never acts on the terminal."""

from __future__ import annotations

import io
import json
import os

import pytest

from buildsys.report.screen import screen
from buildsys.terminal import UNSAFE, escaped, is_plain, json_text
from tests.cli.inside import Inside

EVIL = "\x1b[2J\x9b1m\u202egnp.exe\u2066\u200f\x07"
PLAIN = r"\x1b[2J\x9b1m\u202egnp.exe\u2066\u200f\x07"


def test_each_character_that_acts_is_escaped() -> None:
    acting = [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
    for code in (*acting, 0x200E, 0x200F, 0x2028, 0xFEFF, 0xE0041, 0xDC80):
        if chr(code) not in "\n\t":
            assert escaped(chr(code)).startswith("\\")
        assert not is_plain(chr(code))
    assert escaped("größer ≤ 模型\n\t") == "größer ≤ 模型\n\t"


def test_json_says_the_same_in_other_words() -> None:
    record = {EVIL: [EVIL, "é"], "tag": "\U000e0041"}
    for indent in (None, 1):
        text = json_text(record, indent)
        assert UNSAFE.search(text) is None
        assert json.loads(text) == record
        assert "é" in text


def test_a_console_shows_names_as_they_are_and_styles_as_styles() -> None:
    stream = io.StringIO()
    console = screen(
        file=stream, force_terminal=True, highlight=False, color_system="standard", width=200
    )
    console.print(f"[red]{EVIL}[/nothing]", style="bold")
    assert f"[red]{PLAIN}[/nothing]".replace(r"\x07", "") in stream.getvalue()
    assert stream.getvalue().startswith("\x1b[1m[red]")


@pytest.fixture
def hostile(modelbuild: Inside) -> Inside:
    """A project with such characters in each text that a recipe takes freely."""
    space = modelbuild.space
    name = "we\x1b[2Jights\u202e.safetensors"
    os.rename(space.project / "weights.safetensors", space.project / name)
    space.edit("deploy.yaml", "weights.safetensors", r'"we\e[2Jights\u202e.safetensors"')
    space.edit("model.py", "def build", f"# {EVIL}\ndef build".replace("\x07", ""))
    return modelbuild


COMMANDS = (
    ("plan",),
    ("plan", "--json"),
    *(("plan", "--graph", form) for form in ("dot", "mermaid", "graphml", "json")),
    ("build",),
    ("build", "--json"),
    ("why", "android/m.tflite"),
    ("report", "-v"),
    ("report", "--json"),
    ("build", EVIL),
    ("plan", "-f", EVIL),
    ("bundle", "verify", EVIL),
    ("report", "--against", EVIL),
    (EVIL,),
)


def test_no_command_lets_it_through(hostile: Inside) -> None:
    for command in COMMANDS:
        said = hostile(*command)
        assert said.code in (0, 1, 2, 4), said.err
        assert UNSAFE.search(said.out + said.err) is None, command
    hostile.space.weights([[1.1, 2.3], [3.1, -4.7], [0.3, 0.5]])
    shown = hostile("plan", "-v")
    assert UNSAFE.search(shown.out) is None


def test_nor_does_a_step_that_fails(modelbuild: Inside) -> None:
    modelbuild.space.write(
        "model.py", f"def build(scale):\n    print({EVIL!r})\n    raise RuntimeError({EVIL!r})\n"
    )
    said = modelbuild("build", "-v")
    assert said.code == 1
    assert UNSAFE.search(said.out + said.err) is None
    assert r"\x1b[2J\x9b1m\u202egnp.exe" in said.out + said.err


def test_nor_does_a_recipe_that_is_wrong(modelbuild: Inside) -> None:
    modelbuild.space.edit("deploy.yaml", "accept: close", r'accept: "\e[2J\u202e\x9b"')
    said = modelbuild("plan")
    assert said.code == 2
    assert UNSAFE.search(said.err) is None
    assert r"\x1b[2J\u202e\x9b" in said.err
