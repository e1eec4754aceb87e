from __future__ import annotations

import pytest

from buildsys.toolchains.locks.lockfile import Pin, overrides, parse, render, tidy, without

LOCK = """\
# a comment
foo-bar==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
win==2.0 ; sys_platform == 'win32' \\
    --hash=sha256:cc
torch==2.13.0
"""


def test_parse_reads_names_markers_and_hashes() -> None:
    assert parse(LOCK) == (
        Pin("foo-bar", "foo-bar==1.0", ("sha256:aa", "sha256:bb")),
        Pin("win", "win==2.0 ; sys_platform == 'win32'", ("sha256:cc",)),
        Pin("torch", "torch==2.13.0"),
    )


def test_render_gives_back_what_was_parsed() -> None:
    assert render(parse(LOCK), "a comment") == LOCK


def test_names_are_normalised() -> None:
    assert parse("Foo.Bar_Baz==1")[0].name == "foo-bar-baz"


@pytest.mark.parametrize("line", ["foo", "foo>=1", "-e .", "foo @ https://example.org/foo.whl"])
def test_only_exact_pins_are_a_lock(line: str) -> None:
    with pytest.raises(ValueError, match="not an exact pin"):
        parse(line)


def test_tidy_merges_the_builds_of_torch_and_takes_their_hashes() -> None:
    resolved = (
        "torch==2.13.0 ; sys_platform == 'darwin' \\\n    --hash=sha256:aa\n"
        "torch==2.13.0+cpu ; sys_platform == 'linux' \\\n    --hash=sha256:bb\n"
    )
    assert tidy(resolved, "3.11") == (Pin("torch", "torch==2.13.0"),)


def test_tidy_drops_forks_for_later_pythons() -> None:
    resolved = (
        "networkx==3.6 ; python_full_version < '3.12' \\\n    --hash=sha256:aa\n"
        "networkx==3.7 ; python_full_version >= '3.12' \\\n    --hash=sha256:bb\n"
    )
    assert tidy(resolved, "3.11") == (Pin("networkx", "networkx==3.6", ("sha256:aa",)),)
    assert len(tidy(resolved, "3.12")) == 2


def test_directives() -> None:
    text = "# a\n#: without foo Bar_baz\n#: override numpy==1 ; sys_platform == 'linux'\nfoo==1\n"
    assert without(text) == ("foo", "bar-baz")
    assert overrides(text) == ("numpy==1 ; sys_platform == 'linux'",)
