"""Which of the recipe's inputs goes to which parameter of `forward`."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from ...kit.protocol.request import Request, StepError

NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def bind(module: torch.nn.Module, request: Request) -> tuple[str, ...] | None:
    """Binds the recipe's inputs by name where they are parameters of `forward`, else by position.

    Returns:
        The parameter of each input, in the recipe's order, to be passed by keyword; `None` where
        the inputs are passed by position.

    Raises:
        StepError: `forward` takes another number of inputs, or only some of the names are its
            parameters and they stand at other positions.
    """
    names = tuple(port["name"] for port in request.options["ports"])
    signature = _signature(module)
    if signature is None:
        return None
    own = [name for name, p in signature.parameters.items() if p.kind in NAMED]
    listing = ", ".join(signature.parameters) or "nothing"
    if set(names) <= set(own):
        _check(signature, (), dict.fromkeys(names), listing)
        places = list(signature.parameters)[: len(names)]
        positional = all(
            signature.parameters[p].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for p in places
        )
        return None if positional and places == list(names) else names
    bound = _check(signature, names, {}, listing)
    taken = {p: n for p, n in bound.items() if isinstance(n, str)}
    for parameter, name in taken.items():
        if name in own and name != parameter:
            raise StepError(
                f"the recipe's inputs {', '.join(names)} do not go with the parameters of "
                f"`forward`, {listing}: by position, `{name}` would be fed to `{parameter}`",
                "use the parameters' names for all inputs, or for none",
                "inputs",
            )
    if len(names) > 1 and set(names).isdisjoint(own) and len(taken) == len(names):
        pairs = ", ".join(f"`{name}` to `{parameter}`" for parameter, name in taken.items())
        request.note(f"inputs are bound to the parameters of `forward` by position: {pairs}")
    return None


class ByName(torch.nn.Module):  # type: ignore[misc]  # On the host there is no torch to check by.
    """A model that takes the recipe's inputs in the recipe's order."""

    def __init__(self, model: torch.nn.Module, parameters: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.parameters_of_inputs = parameters
        self.eval()

    def forward(self, *inputs: torch.Tensor) -> Any:
        """Passes each input to its parameter."""
        return self.model(**dict(zip(self.parameters_of_inputs, inputs, strict=True)))


def _signature(module: torch.nn.Module) -> inspect.Signature | None:
    """The parameters of `forward`, or `None` where they cannot be known."""
    if isinstance(module, torch.jit.ScriptModule):
        return inspect.Signature(
            [
                inspect.Parameter(
                    argument.name,
                    inspect.Parameter.POSITIONAL_OR_KEYWORD,
                    default=None if argument.has_default_value() else inspect.Parameter.empty,
                )
                for argument in module.forward.schema.arguments[1:]
            ]
        )
    try:
        return inspect.signature(module.forward)
    except (TypeError, ValueError):
        return None


def _check(
    signature: inspect.Signature,
    positional: tuple[str, ...],
    named: dict[str, Any],
    listing: str,
) -> dict[str, Any]:
    try:
        return dict(signature.bind(*positional, **named).arguments)
    except TypeError as error:
        count = len(positional) + len(named)
        raise StepError(
            f"inputs do not fit the model: `forward` takes {listing}, the recipe declares "
            f"{count} input{'s' * (count != 1)}: {error}",
            "declare each of them under `inputs`; parameters with a default may be left out",
            "inputs",
        ) from error
