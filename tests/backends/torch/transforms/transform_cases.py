"""What transforms do with small models: all cases in one process of the toolchain `torch`.

    python transform_cases.py BACKENDS PROGRAM FOLDER

Writes `FOLDER/told.json`: by case what came of it, or the error.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

BACKENDS, HOST, FOLDER = (Path(argument) for argument in sys.argv[1:4])
CODE = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.a = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.b = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return x + self.b(torch.relu(self.norm(self.a(x))))


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.block = Block(width)
        self.head = nn.Linear(width * 16, 3)

    def forward(self, x):
        return self.head(torch.flatten(torch.relu(self.block(self.stem(x))), 1))


class Attentive(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(4, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.wide = nn.Linear(8, 16)
        self.narrow = nn.Linear(16, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        y = self.embed(x.flatten(1).reshape(-1, 4, 4))
        y = y + self.attention(y, y, y, need_weights=False)[0]
        return self.head(self.narrow(torch.relu(self.wide(y))).mean(1))


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(16, 8)
        self.b = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        y = torch.relu(self.a(x.flatten(1))).reshape(-1, 2, 4).flatten(1)  # Counts on eight.
        return self.head(torch.relu(self.b(y)))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(16, 16)
        self.b = nn.Linear(16, 16)
        self.b.weight = self.a.weight
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(torch.relu(self.b(torch.relu(self.a(x.flatten(1))))))


def build(kind="Net", **args):
    return {"Net": Net, "Attentive": Attentive, "Counting": Counting, "Tied": Tied}[kind](**args)


def fit(model, data, run):
    assert model.training and set(data) == {"x", "labels"}
    epochs = run.args.get("epochs", 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    begin = 0
    state = run.resume()
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        begin = state["epoch"]
    for epoch in range(begin, epochs):
        for rows in torch.randperm(len(data["x"])).split(8):
            loss = nn.functional.cross_entropy(model(data["x"][rows]), data["labels"][rows])
            if run.teacher is not None:
                assert not run.teacher.training
                wanted = run.teacher(data["x"][rows])
                assert not wanted.requires_grad
                loss = nn.functional.mse_loss(model(data["x"][rows]), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1}
        run.save(state)
        run.progress(epoch + 1, epochs, loss=float(loss))
        if epoch + 1 == run.args.get("stop_after"):
            raise KeyboardInterrupt


def worse(model, data, run):
    with torch.no_grad():
        if run.step >= run.args["from"]:
            model.head.weight.zero_()
            model.head.bias.copy_(torch.tensor([-9.0, -9.0, 9.0]))


def fails(model, data, run):
    return inner(data)


def inner(data):
    raise ValueError("no such thing")


def other(model, data, run):
    model.head = nn.Linear(model.head.in_features, 4)
    model.extra = nn.Linear(2, 2)


def breaks(model, data, run):
    with torch.no_grad():
        model.head.weight[0, 0] = float("nan")


def gives(model, data, run):
    return model
"""


def main() -> None:
    spec = importlib.util.spec_from_file_location("program", HOST)
    assert spec is not None
    assert spec.loader is not None
    host = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(host)
    host.expose(str(BACKENDS))
    project = FOLDER / "project"
    project.mkdir()
    (project / "code_of_cases.py").write_text(CODE)
    sys.path.insert(0, str(project))
    told: dict[str, Any] = {}
    for name, case in cases(project).items():
        told[name] = case()
    (FOLDER / "told.json").write_text(json.dumps(told))


def cases(project: Path) -> dict[str, Any]:
    import torch

    # As the worker host exposes them; no type checker finds them there.
    arrays, requests, resuming = (
        importlib.import_module(f"modelbuild_backends.kit.protocol.{name}")
        for name in ("arrays", "request", "resuming")
    )
    model, transform = (
        importlib.import_module(f"modelbuild_backends.torch.{name}")
        for name in ("original.model", "transforms.steps")
    )

    rng = np.random.default_rng(0)
    x = rng.standard_normal((48, 1, 4, 4)).astype(np.float32)
    labels = (x.reshape(48, -1)[:, :3]).argmax(1)
    labels[:30] = 0
    arrays.save(FOLDER / "data.npz", {"x": x, arrays.LABELS: labels})
    arrays.save(FOLDER / "broken.npz", {"x": x * np.float32("nan"), arrays.LABELS: labels})
    number = iter(range(1000))

    def request(
        kind: str, settings: dict[str, Any], before: dict[str, Path] | None = None, **more: Any
    ) -> Any:
        folder = FOLDER / f"step-{next(number)}"
        folder.mkdir()
        files = {"weights": "weights.safetensors", "structure": "structure.json"}
        outputs = {n: folder / f for n, f in {**files, "report": "report.json"}.items()}
        inputs = {"data": FOLDER / more.get("data", "data.npz"), **(before or {})}
        if settings.get("floor") is not None:
            inputs["evaluation"] = FOLDER / "data.npz"
        options: dict[str, Any] = {
            "ports": [
                {
                    "name": "x", "shape": ["N", 1, 4, 4], "dtype": "float32", "range": None,
                    "layout": None, "dims": {"N": {"min": 1, "max": 8, "example": 1}},
                }
            ],
            "outputs": ["y"],
            "source": {
                "kind": "factory", "factory": "code_of_cases:build",
                "args": more.get("args", {"width": 8}),
            },
            "settings": settings,
            "metric": {"name": more.get("metric", "top1"), "python": None},
        }  # fmt: skip
        if kind == "distill":
            options["teacher"] = dict(options, source=dict(options["source"], args={"width": 12}))
        asked = requests.Request(inputs, outputs, options, folder, project)
        asked.resume = resuming.Resume(more.get("resume"))
        return asked

    def train(function: str = "fit", **args: Any) -> dict[str, Any]:
        return {"python": f"code_of_cases:{function}", "seed": 1, "args": args}

    def prune(**more: Any) -> dict[str, Any]:
        plain = {"method": "structured", "amount": 0.3, "norm": "l2", "scope": "global", "steps": 1}
        plain["multiple"] = 1
        return {**plain, "keep": [], "floor": None, "train": None, **more}

    def qat(**more: Any) -> dict[str, Any]:
        plain = {"bits": 4, "per_channel": True, "grid": "narrow", "activations": "int8"}
        return {**plain, "keep_float": [], "train": train(), **more}

    def run(kind: str, settings: dict[str, Any], *before: Any, **more: Any) -> Any:
        asked = request(kind, settings, *before, **more)
        getattr(transform, kind)(asked)
        return asked

    def left(asked: Any) -> dict[str, Path]:
        return {n: asked.outputs[n] for n in ("weights", "structure")}

    def made(asked: Any) -> Any:
        again = request("finetune", {}, left(asked))
        again.options["source"] = asked.options["source"]
        return model.load(again)

    def summary(asked: Any, **more: Any) -> dict[str, Any]:
        eager = made(asked)
        sizes = {n: list(t.shape) for n, t in eager.module.state_dict().items()}
        return {
            "notes": asked.notes,
            "sizes": sizes,
            "structure": json.loads(asked.outputs["structure"].read_text()),
            "report": json.loads(asked.outputs["report"].read_text()),
            "output": list(eager.run({"x": x})["y"].shape),
            **more,
        }

    def error(kind: str, settings: dict[str, Any], **more: Any) -> Any:
        def case() -> Any:
            try:
                run(kind, settings, **more)
            except requests.StepError as found:
                return {"message": found.message, "hint": found.hint, "field": found.field}
            return "no error"

        return case

    def finetuned() -> Any:
        one, two = (run("finetune", {"train": train()}) for _ in range(2))
        other = run("finetune", {"train": {**train(), "seed": 2}})
        same = one.outputs["weights"].read_bytes()
        return summary(
            one,
            same=same == two.outputs["weights"].read_bytes(),
            other_seed=same == other.outputs["weights"].read_bytes(),
        )

    def pruned() -> Any:
        first = run("prune", prune(train=train(), steps=2, scope="layer", norm="l1"))
        # A transform after it begins with what it has left.
        second = run("finetune", {"train": train()}, left(first))
        return summary(first, after=summary(second))

    def held() -> Any:
        first = run(
            "prune", prune(method="unstructured", amount=0.75, scope="layer", train=train())
        )
        second = run("finetune", {"train": train()}, left(first))
        weights = [
            part.weight
            for part in made(second).module.modules()
            if isinstance(part, torch.nn.Conv2d | torch.nn.Linear)
        ]
        zeros = sum(int((w == 0).sum()) for w in weights)
        moved = not torch.equal(made(first).module.head.weight, made(second).module.head.weight)
        return summary(first, zeros=zeros, count=sum(w.numel() for w in weights), moved=moved)

    def rounded() -> Any:
        found = {}
        for grid, half in (("narrow", 7.0), ("full", 7.5)):
            asked = run("qat", qat(grid=grid, keep_float=["stem"]))
            weights = {
                name: part.weight
                for name, part in made(asked).module.named_modules()
                if isinstance(part, torch.nn.Conv2d | torch.nn.Linear)
            }
            off = {}
            for name, weight in weights.items():
                rows = weight.reshape(len(weight), -1)
                scale = rows.abs().amax(1, keepdim=True) / half
                level = rows / scale
                # How far weights are from their levels, but for what the scale is taken from.
                apart = (level - level.round()).abs()
                apart[rows.abs() == rows.abs().amax(1, keepdim=True)] = 0
                off[name] = float(apart.max())
            found[grid] = {"off": off, "notes": asked.notes}
        return found

    def taken_up() -> Any:
        whole = run("finetune", {"train": train(epochs=4)})
        kept = FOLDER / "kept"
        with suppress(KeyboardInterrupt):
            run("finetune", {"train": train(epochs=4, stop_after=2)}, resume=kept)
        again = run("finetune", {"train": train(epochs=4)}, resume=kept)
        return {
            "same": whole.outputs["weights"].read_bytes() == again.outputs["weights"].read_bytes(),
            "notes": again.notes,
        }

    def steps_taken_up() -> Any:
        settings = prune(train=train(), steps=3)
        whole = run("prune", settings)
        kept = FOLDER / "kept-steps"
        broken = prune(train=train("fit", stop_after=1), steps=3)
        # The first steps are done by the good function, the third one is interrupted.
        asked = request("prune", settings, resume=kept)
        fitted, calls = transform.training.train, []

        def interrupted(*given: Any) -> None:
            calls.append(1)
            if len(calls) == 2:
                asked.options["settings"]["train"] = broken["train"]
            fitted(*given)

        transform.training.train = interrupted
        try:
            transform.prune(asked)
        except KeyboardInterrupt:
            pass
        finally:
            transform.training.train = fitted
        settings = prune(train=train(), steps=3)
        again = run("prune", settings, resume=kept)
        return {
            "same": whole.outputs["weights"].read_bytes() == again.outputs["weights"].read_bytes(),
            "notes": again.notes,
        }

    def stops() -> Any:
        worse = train("worse", **{"from": 2})
        return summary(run("prune", prune(steps=3, floor=0.1, train=worse), metric="f1"))

    data = {"train": train()}
    return {
        "finetune": finetuned,
        "prune": pruned,
        "attention": lambda: summary(run("prune", prune(), args={"kind": "Attentive"})),
        "multiple": lambda: summary(run("prune", prune(amount=0.4, scope="layer", multiple=4))),
        "counting": lambda: summary(run("prune", prune(), args={"kind": "Counting"})),
        "held": held,
        "everywhere": lambda: summary(run("prune", prune(method="unstructured", amount=0.5))),
        "qat": rounded,
        "qat tied": lambda: summary(run("qat", qat(), args={"kind": "Tied"})),
        "distill": lambda: summary(run("distill", {"train": train()})),
        "taken up": taken_up,
        "steps taken up": steps_taken_up,
        "floor": stops,
        "no step": error("prune", prune(floor=0.1, train=train("worse", **{"from": 1}))),
        "raises": error("finetune", {"train": train("fails")}),
        "other": error("finetune", {"train": train("other")}),
        "breaks": error("finetune", {"train": train("breaks")}),
        "gives": error("finetune", {"train": train("gives")}),
        "data": error("finetune", data, data="broken.npz"),
        "keep": error("prune", prune(keep=["blok.*"])),
        "all kept": error("prune", prune(keep=["*"])),
        "keep_float": error("qat", qat(keep_float=["hed"])),
        "no function": error("finetune", {"train": train("fitt")}),
    }


if __name__ == "__main__":
    main()
