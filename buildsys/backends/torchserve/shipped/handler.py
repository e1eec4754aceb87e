"""What TorchServe calls: takes `{"inputs": {name: nested lists}}`, checked against the io contract."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

import torch
from ts.utils.util import PredictionException

from ...kit.serve.wire import Refused, decode, encode, parse


class Handler:
    """One model in one of TorchServe's worker processes."""

    def initialize(self, context: Any) -> None:
        """Loads the model from the unpacked archive."""
        folder = Path(context.system_properties["model_dir"])
        record = json.loads((folder / "io.json").read_text(encoding="utf-8"))
        self._model: dict[str, Any] = record["model"]
        self._inputs: list[dict[str, Any]] = record["inputs"]
        self._outputs: list[dict[str, Any]] = record["outputs"]
        self._nonfinite: bool = record["nonfinite"]
        torch.set_num_threads(record["threads"])
        self._module = torch.jit.load(folder / "model.pt", map_location="cpu").eval()

    def handle(self, requests: list[dict[str, Any]], context: Any) -> list[str]:
        """Answers requests one by one; TorchServe hands over a list of them."""
        return [self._answer(request.get("body", request.get("data"))) for request in requests]

    def _answer(self, body: Any) -> str:
        try:
            # TorchServe has parsed what is sent as application/json.
            parsed = parse(bytes(body)) if isinstance(body, bytes | bytearray) else body
            feed = decode(parsed, self._inputs, self._nonfinite)
        except Refused as error:
            raise PredictionException(str(error), HTTPStatus.UNPROCESSABLE_ENTITY.value) from error
        with torch.inference_mode():
            found = self._module(*(torch.from_numpy(feed[p["name"]]) for p in self._inputs))
        outputs = {
            port["name"]: encode(_plain(tensor).numpy())
            for port, tensor in zip(self._outputs, _leaves(found), strict=True)
        }
        return json.dumps({"outputs": outputs, "model": self._model}, allow_nan=False)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """What numpy can hold: it has no bfloat16, and a float32 holds its values."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor


def _leaves(found: Any) -> list[torch.Tensor]:
    """The tensors of nested outputs, in order."""
    if isinstance(found, torch.Tensor):
        return [found]
    nested = found.values() if isinstance(found, dict) else found
    return [leaf for each in nested for leaf in _leaves(each)]
