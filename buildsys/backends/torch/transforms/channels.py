"""Whole channels taken away, with all that depends on them: structured pruning, by torch-pruning.

Which channels go together (residuals, groups, what a flatten spreads them to) is the library's to find
(G. Fang et al., arXiv:2301.12900). What it gets wrong, or a model that counts on a size, shows when the
model is run: a group of layers that cannot lose a channel is found by trying, kept, and said.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch

from ...kit.export.survey import capture_sizes
from ...kit.protocol import ports as ports_of
from ...kit.protocol.globs import fitting
from ...kit.protocol.request import Request, StepError
from ..original import binding
from .qat import CONVOLUTIONS, parents

TRIED = 0.5
"""Which part of a group's channels is taken away to try it, at most."""
TINY = 1e-9
UNTOUCHED = (torch.nn.MultiheadAttention, torch.nn.RNNBase, torch.nn.RNNCellBase)


class Channels:
    """What of a model can lose channels.

    Args:
        module: The model, in eval mode; its parameters have gradients.
        request: Whose `settings` say how.

    Raises:
        StepError: The environment has no torch-pruning, the model cannot be followed, a glob of
            `keep` fits nothing, or nothing can be pruned.
    """

    def __init__(self, module: torch.nn.Module, request: Request) -> None:
        self._library = _library()
        self._module = module
        self._settings = request.options["settings"]
        self._inputs = _inputs(module, request)
        self._first: list[str] = []
        self._kept = self._kept_layers(request)
        self._begun = self._sizes()

    def prune(self, share: float) -> None:
        """Takes channels away, so that a part of those that were there at first is gone.

        The library rounds up what goes, in each step and layer: it is given ratios that leave no fraction.

        Args:
            share: Which part.
        """
        parts = dict(self._module.named_modules())
        now, begun = self._sizes(), self._begun
        ratios = {}
        if self._settings["scope"] == "global":
            left = round(sum(begun.values()) * (1 - share))
            ratio = 1 - left / sum(now.values()) - TINY
        else:
            ratio = 0.0
            for path in self._first:
                each = self._settings["multiple"]
                left = max(1, round(begun[path] * (1 - share) / each)) * each
                ratios[parts[path]] = max(0.0, 1 - left / now[path] - TINY)
        # Of layers by themselves the ratios see to multiples.
        each = None if ratios else self._settings["multiple"]
        kept = [parts[path] for path in self._kept]
        self._run(self._module, kept, max(0.0, ratio), ratios, each)

    def _sizes(self) -> dict[str, int]:
        """How many channels there are, of the first layer of each group that can lose some."""
        parts = dict(self._module.named_modules())
        return {path: _channels(parts[path]) for path in self._first}

    def _run(
        self,
        module: torch.nn.Module,
        kept: list[torch.nn.Module],
        ratio: float,
        ratios: dict[torch.nn.Module, float] | None = None,
        multiple: int | None = None,
    ) -> None:
        tp = self._library
        settings = self._settings
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")  # Of parameters that it leaves alone: they are kept.
            pruner = tp.pruner.BasePruner(
                module,
                self._inputs,
                importance=tp.importance.GroupMagnitudeImportance(p=int(settings["norm"][1])),
                global_pruning=settings["scope"] == "global",
                pruning_ratio=ratio,
                pruning_ratio_dict=ratios or None,
                round_to=multiple,
                max_pruning_ratio=1.0,
                ignored_layers=kept,
                # Defaults of the library that all calls would share.
                in_channel_groups={},
                out_channel_groups={},
                num_heads={},
                root_module_types=[CONVOLUTIONS, torch.nn.Linear],
            )
            pruner.step()

    def _kept_layers(self, request: Request) -> list[str]:
        """Layers that keep their channels: those asked for, outputs, and what cannot do without."""
        names = {part: path for path, part in self._module.named_modules()}
        roots = [
            path
            for path, part in self._module.named_modules()
            if isinstance(part, CONVOLUTIONS | torch.nn.Linear)
        ]
        answers = {path: [path, *parents(path)] for path in roots}
        none = "fits no convolution or linear layer"
        kept = fitting(self._settings["keep"], answers, none, field="keep")
        inside = [
            (path, type(part).__name__)
            for path, part in self._module.named_modules()
            if isinstance(part, UNTOUCHED)
        ]
        for path, kind in inside:
            request.note(f"`{path}` ({kind}) keeps its size: its parts are of one piece")
        kept += [r for r in roots if any(r.startswith(path + ".") for path, _ in inside)]
        unable: list[str] = []
        for group in self._groups(names):
            if set(group) & set(kept):
                continue
            problem = self._tried(group, roots)
            if problem is None:
                self._first.append(group[0])
                continue
            kept += group
            if problem:
                unable += group
        if unable:
            shown = ", ".join(f"`{path}`" for path in unable[:6])
            more = f" and {len(unable) - 6} more" if len(unable) > 6 else ""
            keep = "keeps its" if len(unable) == 1 else "keep their"
            request.note(f"{shown}{more} {keep} channels: the model does not run without them")
        if not self._first:
            raise StepError(
                "no layer of the model can lose channels",
                "take `method: unstructured`, or let `keep` name fewer",
                "method",
            )
        return list(dict.fromkeys(kept))

    def _groups(self, names: dict[torch.nn.Module, str]) -> list[list[str]]:
        """Layers whose channels go together, by path."""
        tp = self._library
        try:
            with warnings.catch_warnings(), torch.enable_grad():
                warnings.simplefilter("ignore")
                graph = tp.DependencyGraph().build_dependency(
                    self._module, self._inputs, verbose=False
                )
                return [
                    list(
                        dict.fromkeys(
                            names[dep.target.module]
                            for dep, _ in group
                            if isinstance(dep.target.module, CONVOLUTIONS | torch.nn.Linear)
                            and graph.is_out_channel_pruning_fn(dep.handler)
                        )
                    )
                    for group in graph.get_all_groups(
                        root_module_types=[CONVOLUTIONS, torch.nn.Linear]
                    )
                ]
        except Exception as error:
            raise StepError(
                f"torch-pruning cannot follow the model: {type(error).__name__}: {error}",
                "take `method: unstructured`",
                "method",
            ) from error

    def _tried(self, group: list[str], roots: list[str]) -> str | None:
        """Why a group of layers cannot lose channels; empty for outputs and for layers of one."""
        trial = copy.deepcopy(self._module)
        parts = dict(trial.named_modules())
        others = [parts[path] for path in roots if path not in group]
        before = _shapes(self._call(self._module))
        sizes = {path: parts[path].weight.shape for path in group}
        try:
            self._run(trial, others, min(self._settings["amount"], TRIED))
            if all(parts[path].weight.shape == sizes[path] for path in group):
                return ""
            after = _shapes(self._call(trial))
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None if after == before else ""

    def _call(self, module: torch.nn.Module) -> Any:
        with torch.no_grad():
            if isinstance(self._inputs, dict):
                return module(**self._inputs)
            return module(*self._inputs)


def _channels(layer: torch.nn.Module) -> int:
    found: int = layer.out_channels if isinstance(layer, CONVOLUTIONS) else layer.out_features
    return found


def _shapes(found: Any) -> list[list[int]]:
    if isinstance(found, torch.Tensor):
        return [list(found.shape)]
    if isinstance(found, dict):
        return [shape for each in found.values() for shape in _shapes(each)]
    if isinstance(found, list | tuple):
        return [shape for each in found for shape in _shapes(each)]
    return []


def _inputs(module: torch.nn.Module, request: Request) -> Any:
    """What the model is run on, as it takes it."""
    ports = request.options["ports"]
    feed = ports_of.random_feed(ports, capture_sizes(ports, True), seed=0)
    tensors = [torch.from_numpy(feed[port["name"]].copy()) for port in ports]
    parameters = binding.bind(module, request)
    if parameters is None:
        return tuple(tensors)
    return dict(zip(parameters, tensors, strict=True))


def _library() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise StepError(
            "the model's environment has no `torch-pruning`, which structured pruning is made by",
            "add `torch-pruning==1.6.1` to its requirements, or choose `environment: builtin`",
            "method",
        ) from error
    return torch_pruning
