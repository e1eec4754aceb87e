"""Captures functions with their operators decomposed: `python decomposing_cases.py FOLDER_OF_BUILDSYS`.

Prints a JSON object: for each case and way of capturing, which operators were found lacking, which still are,
and whether the capture gives what PyTorch gives, at the captured size and at another.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

sys.path.insert(0, sys.argv[1])
warnings.simplefilter("ignore")

import torch  # noqa: E402
from torch.nn import functional  # noqa: E402

from buildsys.backends.torch.capture.decomposition import Decomposed, lacking  # noqa: E402

TABLE = torch.arange(12.0).view(4, 3)
CASES: dict[str, Callable[[torch.Tensor], Any]] = {
    "diff": lambda x: torch.diff(x, prepend=x[:, :1]),
    "diff twice": lambda x: x.diff(2),
    "diff of truths": lambda x: torch.diff(x > 0.5),
    "cumsum of truths": lambda x: torch.cumsum(x > 0.5, 1),
    "cumsum": lambda x: (x > 0.5).cumsum(dim=-1),
    "new_ones": lambda x: x.new_ones(x.shape[0], x.shape[1]) * x,
    "new_ones of a type": lambda x: x.new_ones((x.shape[0], 2), dtype=torch.long),
    "new_ones without axes": lambda x: x.new_ones((), dtype=torch.bool) & (x > 0.5),
    "new_zeros": lambda x: x.new_zeros(x.size()) + x,
    "new_full": lambda x: x.new_full(x.shape, 2.0) * x,
    "bag": lambda x: functional.embedding_bag((x * 3).long(), TABLE, mode="sum"),
    "bag of means": lambda x: functional.embedding_bag((x * 3).long(), TABLE),
    "bag of greatest": lambda x: functional.embedding_bag((x * 3).long(), TABLE, mode="max"),
    "bag with weights": lambda x: functional.embedding_bag(
        (x * 3).long(), TABLE, mode="sum", per_sample_weights=x
    ),
    "bag with padding": lambda x: functional.embedding_bag((x * 3).long(), TABLE, padding_idx=1),
    "celu": lambda x: functional.celu(x - 1),
    "channel_shuffle": lambda x: functional.channel_shuffle(x.view(-1, 4, 1, 1), 2),
    "lerp": lambda x: torch.lerp(x, x * 2, 0.3),
    "logsigmoid": lambda x: functional.logsigmoid(x * 9 - 4),
    "hypot": lambda x: torch.hypot(x, x),
    "logaddexp": lambda x: torch.logaddexp(x, -x),
    "movedim": lambda x: torch.movedim(x, 0, 1),
    "moveaxis": lambda x: x[None].moveaxis((0, 1), (-1, 0)),
    "one_hot": lambda x: functional.one_hot((x * 3).long(), 4),
    "one_hot of what is cut off": lambda x: functional.one_hot((x * 3 - 1).long().clamp(min=0), 4),
    "repeat_interleave": lambda x: x.repeat_interleave(2),
    "repeat_interleave of an axis": lambda x: torch.repeat_interleave(x, 3, dim=-1),
    "repeat_interleave as often as there are columns": lambda x: x.repeat_interleave(
        x.shape[1], dim=0
    ),
    "var_mean": lambda x: torch.var_mean(x, 1, keepdim=True),
    "std_mean": lambda x: torch.std_mean(x, dim=0, correction=0),
    "trunc": lambda x: torch.trunc(x * 5 - 2),
    "frac": lambda x: torch.frac(x * 5 - 2),
    "erfc": torch.erfc,
    "exp2": torch.exp2,
    "broadcast_to": lambda x: torch.broadcast_to(x[0], x.shape),
    "view_as": lambda x: x.view_as(x),
    "take_along_dim": lambda x: torch.take_along_dim(x, x.argsort(1), 1),
    "addcdiv": lambda x: torch.addcdiv(x, x, x + 1, value=0.5),
    "addmv": lambda x: torch.addmv(x[:, 0], x, x[0]),
    "aminmax": lambda x: torch.aminmax(x, dim=1),
    "column_stack": lambda x: torch.column_stack([x, x]),
    "count_nonzero": lambda x: torch.count_nonzero(x > 0.5, dim=1),
    "dist": lambda x: torch.dist(x, x + 1),
    "flips": lambda x: torch.fliplr(torch.flipud(x)),
    "float_power": lambda x: torch.float_power(x, 2),
    "hardshrink": functional.hardshrink,
    "isfinite": lambda x: torch.isfinite(x) | torch.isinf(x),
    "logit": lambda x: torch.logit(x, 1e-6),
    "nansum": lambda x: torch.nansum(x, 1),
    "pairwise_distance": lambda x: functional.pairwise_distance(x, x + 1),
    "rot90": torch.rot90,
    "sgn": lambda x: torch.sgn(x - 0.5),
    "sinc": torch.sinc,
    "softshrink": functional.softshrink,
    "tensor_split": lambda x: torch.tensor_split(x, 2, 1),
    "trapz": lambda x: torch.trapz(x, dim=1),
    "vstack": lambda x: torch.vstack([x, x]),
    "xlogy": lambda x: torch.xlogy(x, x),
}
RESIZED: dict[str, dict[str, Any]] = {
    "to a size": {"size": (9, 4)},
    "with its corners": {"size": (9, 4), "align_corners": True},
    "twice": {"scale_factor": 2.0},
    "by two factors": {"scale_factor": (1.7, 2.3)},
    "by factors found anew": {"scale_factor": (1.7, 2.3), "recompute_scale_factor": True},
    "to one": {"size": (1, 1), "align_corners": True},
}


class Case(torch.nn.Module):  # type: ignore[misc]
    """A function as a module."""

    def __init__(self, function: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        """Calls it."""
        return self.function(x)


def captured(case: Case, x: torch.Tensor, how: str, vary: bool, without: Any) -> Any:
    """The case, traced or exported."""
    with torch.no_grad(), Decomposed(without):
        if how == "trace":
            return torch.jit.trace(case, x, check_trace=False)
        shapes = {"x": {0: torch.export.Dim("N", min=2, max=8)}} if vary else None
        return torch.export.export(case, (x,), dynamic_shapes=shapes)


def found(function: Callable[[torch.Tensor], Any], x: torch.Tensor, others: Any) -> dict[str, Any]:
    """What became of a case by each way."""
    told: dict[str, Any] = {}
    case = Case(function)
    for how in ("trace", "export"):
        vary = bool(others)
        try:
            plain = captured(case, x, how, vary, ())
        except Exception:  # A size that PyTorch's own function fixes.
            vary = False
            plain = captured(case, x, how, vary, ())
        without = lacking(plain)
        made = captured(case, x, how, vary, without)
        run = made if how == "trace" else made.module()
        agree = all(_alike(run(each), function(each)) for each in (x, *(others if vary else ())))
        told[how] = {"lacking": without, "left": lacking(made), "agrees": agree}
    return told


def _alike(got: Any, want: Any) -> bool:
    one = got if isinstance(got, tuple | list) else (got,)
    other = want if isinstance(want, tuple | list) else (want,)
    return all(
        a.shape == b.shape
        and a.dtype == b.dtype
        and torch.allclose(a.double(), b.double(), atol=1e-5)
        for a, b in zip(one, other, strict=True)
    )


def main() -> None:
    """Runs all cases."""
    torch.manual_seed(0)
    x, other, image = torch.rand(3, 4), torch.rand(5, 4), torch.rand(2, 3, 5, 7)
    told = {name: found(function, x, (other,)) for name, function in CASES.items()}
    for name, how in RESIZED.items():

        def resized(x: torch.Tensor, how: dict[str, Any] = how) -> torch.Tensor:
            return functional.interpolate(x, mode="bicubic", **how)

        told[f"bicubic {name}"] = found(resized, image, ())
    print(json.dumps(told))


if __name__ == "__main__":
    main()
