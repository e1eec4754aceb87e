"""`why`: the chain of actions as a tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildsys.engine.staleness.explain import FIRST, NEW, SAME, Explanation, Link, Reason
from buildsys.engine.staleness.walk import State
from buildsys.recipe import Position
from buildsys.report.screens.chain import print_explanation
from tests.report.screens.capture import lines

LABEL = "ios/net.onnx"
PLACE = Position(Path("/p/deploy.yaml"), 4, 7)


def shown(explanation: Explanation, *, width: int = 100, terminal: bool = False) -> list[str]:
    return lines(lambda c: print_explanation(c, explanation), width=width, terminal=terminal)


def link(action: str, state: State = State.RUN, **more: object) -> Link:
    return Link(action, action.partition("#")[2], state, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "chain", "blocked", "said"),
    [
        ("blocked", (), "needs a GPU", "is blocked: needs a GPU"),
        (
            "up to date",
            (link("a#capture", State.HIT, text=FIRST),),
            None,
            "is up to date. It was built once: 1 action.",
        ),
        (
            "stale",
            (link("a#capture", text=NEW), link("a#export", text=NEW)),
            None,
            "would be built for the first time: 2 actions.",
        ),
    ],
)
def test_what_a_line_can_say_needs_no_tree(
    state: str, chain: tuple[Link, ...], blocked: str | None, said: str
) -> None:
    assert shown(Explanation(LABEL, state, chain, blocked=blocked)) == [f"{LABEL} {said}"]


def test_each_action_stands_once_below_what_it_is_a_cause_of() -> None:
    options = Reason("options.opset changed", find=lambda: PLACE)
    chain = (
        link("n#judge", State.MAYBE, because=("n#run", "n#export"), inputs=("outputs",)),
        link("n#run", because=("n#export",), inputs=("artifact",)),
        link("n#export", changes=(options,)),
    )
    assert shown(Explanation(LABEL, "stale", chain)) == [
        f"{LABEL} would be rebuilt:",
        "  judge        if its input `outputs` comes out different",
        "  ├ run        because its input `artifact` will be rebuilt",
        "  │ └ export   options.opset changed   deploy.yaml:4:7",
    ]


def test_equal_rules_are_told_apart_and_many_inputs_counted() -> None:
    chain = (
        link("n#run", State.MAYBE, because=("m#run",), inputs=("a", "b", "c", "d", "e")),
        link("m#run", text=SAME),
    )
    assert shown(Explanation(LABEL, "stale", chain, sure=False)) == [
        f"{LABEL} may be rebuilt:",
        "  run n     if its inputs `a`, `b`, `c` and 2 more come out different",
        "  └ run m   gave the same bytes as before",
    ]


def test_a_terminal_breaks_lines_at_words_and_a_log_does_not() -> None:
    words = "weights.safetensors changed (3f2a to 9c01)"
    explanation = Explanation(LABEL, "stale", (link("n#export", changes=(Reason(words),)),))
    assert shown(explanation, width=40)[1:] == [f"  export   {words}"]
    narrow = shown(explanation, width=40, terminal=True)[1:]
    assert narrow == ["  export   weights.safetensors changed", "           (3f2a to 9c01)"]
