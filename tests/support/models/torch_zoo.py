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
    "windows": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.joint = nn.Linear(6, 18)
        self.bias = nn.Parameter(torch.randn(4, 4))
    def forward(self, x):
        q, k, v = self.joint(x).view(-1, 3, 4, 3, 2, 3).permute(3, 0, 4, 1, 2, 5).unbind(0)
        plain = F.scaled_dot_product_attention(q, k, v)
        return (plain + F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias)).flatten(1)
def build():
    torch.manual_seed(0)
    return Net()
""",
    "clipped": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(6, 4) for _ in range(3))
        for number in range(3):
            self.register_buffer(f"low{number}", torch.tensor(-0.5 - number / 4))
            self.register_buffer(f"high{number}", torch.tensor(0.25 + number / 4))
    def forward(self, x):
        x = x * 2
        clipped = [torch.clamp(x, getattr(self, f"low{n}"), getattr(self, f"high{n}")) for n in range(3)]
        return sum(part(each) for part, each in zip(self.parts, clipped))
def build():
    return Net()
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
    # Of seven tokens often none may be attended to.
    "padded": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(6)
        self.embed = nn.Embedding(8, 16)
        self.head = nn.Linear(16, 3)
    def forward(self, tokens):
        x = self.embed(tokens).view(*tokens.shape, 2, 8).transpose(1, 2)
        y = F.scaled_dot_product_attention(x, 2 * x, x + 1, (tokens > 6)[:, None, None])
        return self.head(y.transpose(1, 2).flatten(2).sum(1))
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
    "bert": """
import math
class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
    def split(self, x):
        return x.view(x.size(0), -1, self.heads, self.size).permute(0, 2, 1, 3)
    def forward(self, x, mask):
        query, key, value = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(self.size) + mask
        mixed = torch.matmul(scores.softmax(-1), value).permute(0, 2, 1, 3).contiguous()
        return self.out(mixed.view(mixed.size(0), -1, self.heads * self.size))
class Net(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.word, self.place, self.kind = (nn.Embedding(n, width) for n in (32, 16, 2))
        self.register_buffer("places", torch.arange(16).unsqueeze(0))
        self.attention = Attention(width, 2)
        self.wide, self.narrow = nn.Linear(width, 32), nn.Linear(32, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-12) for _ in range(3))
        self.head = nn.Linear(width, 3)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.7)
    def forward(self, tokens, mask, kinds):
        places = self.place(self.places[:, :tokens.size(1)])
        x = self.norms[0](self.word(tokens) + self.kind(kinds) + places)
        hidden = (1.0 - mask[:, None, None, :].to(x.dtype)) * -10000.0
        x = self.norms[1](self.attention(x, hidden) + x)
        x = self.norms[2](self.narrow(F.gelu(self.wide(x))) + x)
        return self.head(x)
def build():
    return Net()
""",
    "reserved": """
class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.meta = nn.Linear(6, 6)
    def forward(self, x):
        return self.meta(x)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.meta = nn.Linear(6, 6)
        self.graph = Inner()
        self.code = nn.Parameter(torch.ones(6, 6))
        self.register_buffer("recompile", torch.full((6,), 0.5))
        self.shape_env = torch.full((6,), 0.25)
    def forward(self, x):
        return self.graph(self.meta(x) @ self.code + self.recompile) * self.shape_env
def build():
    torch.manual_seed(3)
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
