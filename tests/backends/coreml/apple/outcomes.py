"""What became of Apple's tests: which agree, which are refused, and why the others differ.

`python -m tests.backends.coreml.apple.outcomes RECORDS...` prints the table of docs/coreml-operators.md.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import sweeps

RANDOM = "its output is random"
ENOUGH = 0.99
"""Of what is evaluated without random numbers, this share has to agree; each other case is explained."""


@dataclass(frozen=True)
class Explanation:
    """Why tests of a kind do not agree.

    Attributes:
        test: What their names hold, as a regular expression.
        said: What the evaluator or the test says, as one.
        why: In words.
    """

    test: str
    said: str
    why: str


EXPLANATIONS = (
    Explanation(
        r"invalid_indices",
        r"is outside \[",
        "Indices outside of the data: the tests expect Core ML to fail or to give anything; the evaluator "
        "refuses.",
    ),
    Explanation(
        r"LocalResponseNorm::test_builder_to_backend_smoke",
        r"Not equal to tolerance",
        "The expected numbers are of the neural network backend, which takes [1, 3, 2] for one channel; "
        "documented is the second axis, and ranks 4 and 5 agree.",
    ),
    Explanation(
        r"CropResize::test_builder_to_backend_smoke",
        r"UNALIGN_CORNERS",
        "The one example of this mode has a box outside of the image, which is documented nowhere: refused.",
    ),
    Explanation(
        r"CropResize::test_builder_to_backend_ios1[67]",
        r"Not equal to tolerance",
        "7.9 is expected as 7.899, which only float16's tolerance takes; Apple runs the test in float16.",
    ),
    Explanation(
        r"LSTMWithPackedSequence",
        r"`lstm` .* it gives \[\d+, \d+\] where \[\d+, \d+\] is declared",
        "coremltools makes initial states for as many sequences as there are steps (10 for a batch of 3) "
        "and declares the batch's: sizes that contradict those declared are refused.",
    ),
    Explanation(
        r"Norms::test_norm.*'fp16'.*order=-2",
        r"Not equal to tolerance",
        "Inverse squares of small numbers are beyond what float16 holds (65,504), so that the norm is 0; "
        "Apple's tolerance of 0.5 takes that.",
    ),
    Explanation(
        r"TestStack::test_stack_dynamic_range_dim",
        r"DID NOT RAISE",
        "Core ML refuses to stack inputs whose default sizes differ, even if the sizes are equal at run "
        "time. The evaluator accepts equal sizes.",
    ),
    Explanation(
        r"TestResample",
        r"^AssertionError: assert \d+ == \d+",
        "The test counts the casts that the converter writes for float16; no output is compared.",
    ),
    Explanation(
        r"TestFill::test_builder_to_backend_symbolic",
        r"any number of axes",
        "The number of axes of the output depends on an input's values: refused.",
    ),
    Explanation(
        r"TestGroupNorm::test_groupnorm_rank2_input.*'fp16'.*group_features=\(1, 1\)",
        r"Not equal to tolerance",
        "A group has one value, so that its norm is 0, which the evaluator gives; expected is the rounding "
        "error of torch (1e-6), and Apple's tolerance is relative to it.",
    ),
    Explanation(
        r"TestGroupNorm::test_groupnorm_rank2_input.*'fp16'.*group_features=\(16, 32\)",
        r"Not equal to tolerance",
        "A group has two values. Where these are nearly equal, float16 keeps few digits of their difference, "
        "and the norm is off by 0.02; Apple's tolerance is 0.004. The data are random, and most runs pass.",
    ),
    Explanation(
        r"TestGather::test_gather_nd_int16_indices",
        r"^AssertionError: assert False",
        "The output agrees. The test then expects a type of the converted program that another pass changed.",
    ),
    Explanation(
        r"TestIndexPut::test_index_put_negative_indices_case_2",
        r"the index 65535 is outside",
        "A fault of coremltools: it casts the index -1 to an unsigned integer (65535) before it adds the "
        "size. The evaluator refuses the file; Apple marks the other cases of this test as failing.",
    ),
    Explanation(
        r"",
        r"a neural network, which is not evaluated",
        "A neural network (the older form of models): not evaluated.",
    ),
)


def kind(record: dict[str, Any]) -> str:
    """`not run`, `random`, `agrees`, `refused` or `differs`, as does a test in which Python dies."""
    if record["outcome"] == "died":
        return "differs"
    if not record["predictions"]:
        return "not run"
    if RANDOM in record["refused"]:
        return "random"
    # A test may expect what it runs into.
    if record["outcome"] == "passed":
        return "agrees"
    return "refused" if record["refused"] else "differs"


def why(record: dict[str, Any]) -> str | None:
    """Why a test does not agree; `None` where nobody knows."""
    said = f"{record['refused']}\n{record['error']}" if record["refused"] else record["error"]
    for each in EXPLANATIONS:
        if re.search(each.test, record["test"]) and re.search(each.said, said):
            return each.why
    return None


def skipped(record: dict[str, Any]) -> str:
    """Why no output of a test was looked at, without what differs from case to case."""
    said = record["error"].partition("\n")[0] or "it looks at the converted program alone"
    for name, sentence in (
        ("XFail", "Apple expects it to fail"),
        ("TensorFlow", "it needs TensorFlow, which the toolchain does not have"),
        ("torchvision", "it needs torchvision, which the toolchain does not have"),
        ("torchaudio", "it needs torchaudio, which the toolchain does not have"),
        ("breaking at opset", "the operator has another form in this version of iOS"),
        ("rdar://", "Apple skips it for a fault of Core ML's"),
    ):
        if name in said:
            return sentence
    if record["outcome"] == "skipped":
        return "Apple skips it"
    if record["outcome"] == "failed":
        return (
            f"coremltools or the test fails under this version of torch ({said.partition(':')[0]})"
        )
    return "it looks at the converted program alone"


def strays(records: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Tests that do not agree, and that nothing explains."""
    return {
        each["test"]: each["refused"] or each["error"] or each["outcome"]
        for each in records
        if kind(each) in ("refused", "differs") and why(each) is None
    }


def share(records: Sequence[dict[str, Any]]) -> float:
    """Which part of what is evaluated without random numbers agrees."""
    found = Counter(map(kind, records))
    told = found["agrees"] + found["refused"] + found["differs"]
    return found["agrees"] / max(1, told)


def table(records: Sequence[dict[str, Any]]) -> str:
    """The table, as Markdown."""
    found = Counter(map(kind, records))
    told = found["agrees"] + found["refused"] + found["differs"]
    lines = [
        f"- {len(records):,} tests; {told:,} of them evaluate a program without random numbers.",
        f"- {found['agrees']:,} of {told:,} agree ({share(records):.2%}), {found['refused']} are refused, "
        f"{found['differs']} differ; each of these is explained below.",
        f"- {found['random']:,} programs have random numbers: refused.",
        "",
        "| tests | why they do not agree |",
        "|---|---|",
    ]
    causes = Counter(
        why(each) or f"not explained: `{each['test']}`"
        for each in records
        if kind(each) in ("refused", "differs")
    )
    lines += [f"| {count} | {cause} |" for cause, count in causes.most_common()]
    lines += ["", "| tests | why no output was compared |", "|---|---|"]
    reasons = Counter(skipped(each) for each in records if kind(each) == "not run")
    lines += [f"| {count} | {reason} |" for reason, count in reasons.most_common()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table([each for file in sys.argv[1:] for each in sweeps.read(Path(file))]), end="")
