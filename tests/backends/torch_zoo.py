"""Small models that the tests of several backends capture, as source text of a `model.py`."""

from __future__ import annotations

from pathlib import Path

HEAD = """import torch
from torch import nn
import torch.nn.functional as F
"""

MODELS = {
    "cnn": """
class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(width * 36, 3)
    def forward(self, x):
        # a comment
        return self.head(self.drop(torch.relu(self.norm(self.conv(x)))).flatten(1))
def build(width=4):
    return Net(width)
""",
    "lstm": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(9, 8, batch_first=True)
        self.head = nn.Linear(8, 4)
    def forward(self, x):
        y, _ = self.lstm(x)
        return self.head(y[:, -1])
def build():
    return Net()
""",
    "dict": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)
    def forward(self, x):
        y = self.fc(x)
        return {"scores": y.softmax(-1), "boxes": torch.stack([y, y + 1], 1)}
def build():
    return Net()
""",
    "nested": """
from typing import NamedTuple
class Out(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)
    def forward(self, x):
        y = self.fc(x)
        return [Out(y, y * 2), [y.argmax(1)], None]
def build():
    return Net()
""",
    "branch": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)
    def forward(self, x):
        y = self.fc(x)
        if x.sum() > 0:
            y = y * 10
        return y
def build():
    return Net()
""",
    "attention": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    def forward(self, tokens, mask):
        return self.layer(F.one_hot(tokens, 8).float() * mask.unsqueeze(-1))
def build():
    return Net()
""",
    "exotic": """
class Inner(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()
    def forward(self, x):
        return self.inner(x)
def build():
    return Net()
""",
}


def write(folder: Path, name: str = "cnn", *, text: str | None = None, top: str = "") -> Path:
    """Makes a project whose `model.py` is a model of the zoo, or `text`; `top` goes above it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(top + HEAD + (text if text is not None else MODELS[name]))
    return folder
