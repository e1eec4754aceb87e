"""What people read, at the width that they have."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from buildsys.report.console import _wrapped

REASON = "TensorRT needs an NVIDIA GPU, and no driver of one is here"


def test_reasons_break_at_words_on_a_terminal() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=60)
    lines = list(_wrapped([REASON, "and 1 more"], console, 20))
    assert lines == ["TensorRT needs an NVIDIA GPU, and no", "driver of one is here", "and 1 more"]


@pytest.mark.parametrize(("terminal", "indent"), [(False, 20), (True, 40)])
def test_lines_stay_whole_in_a_log_and_where_there_is_no_room(terminal: bool, indent: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=60)
    assert list(_wrapped([REASON], console, indent)) == [REASON]
