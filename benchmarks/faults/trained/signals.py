"""Inputs like those that the networks were trained on: voices, pictures, files; drawn from a seed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator], dict[str, Array]]

RATE = 16_000
"""Samples of sound a second."""
FORMANTS = ((730.0, 1090.0, 2440.0), (270.0, 2290.0, 3010.0), (300.0, 870.0, 2240.0))
"""In Hz, of three vowels: Peterson and Barney, 1952."""
TARGET_DBFS = -30.0
"""How loud Resemblyzer makes its sound."""
MELS, WINDOW, HOP, FRAMES = 40, 400, 160, 160
"""Resemblyzer's spectrograms: 40 bands, windows of 25 ms, one each 10 ms, 1.6 s."""
PADDING, ENDS = 256, 1024
"""What magika puts for bytes that are not there, and how many bytes of either end it reads."""


def voice(rng: np.random.Generator, seconds: float) -> Floats:
    """Something like a voice: vowels of a pitch that moves, syllables, breath; [samples], within ±1."""
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = rng.uniform(90, 260) * 2 ** (0.2 * np.sin(2 * np.pi * rng.uniform(0.5, 3) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    vowel = np.array(FORMANTS[int(rng.integers(len(FORMANTS)))]) * rng.uniform(0.9, 1.15)
    sound = np.zeros_like(time)
    for number in range(1, 30):
        heights = [np.exp(-(((number * pitch - f) / 150) ** 2)) for f in vowel]
        height = (0.05 + sum(heights)) / number * (number * pitch < RATE / 2)
        sound += height * np.sin(number * phase)
    loudness = np.clip(np.sin(2 * np.pi * rng.uniform(2, 5) * time + rng.uniform(0, 6)), 0, 1)
    sound = sound * loudness + 0.02 * rng.standard_normal(time.size)
    return np.asarray(0.5 * sound / np.abs(sound).max())


def frames(rng: np.random.Generator) -> dict[str, Array]:
    """The input of torchcrepe: 64 ms of sound without its mean, of variance 1."""
    sound = voice(rng, 1.0)
    start = int(rng.integers(sound.size - ENDS))
    frame = sound[start : start + ENDS]
    frame = frame - frame.mean()
    return {"frames": (frame / frame.std()).astype(np.float32)}


def mel_filters() -> Floats:
    """Triangles of equal area, evenly spaced in mels: Slaney's Auditory Toolbox, 1998; [bands, bins]."""
    step = np.log(6.4) / 27
    hertz = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    top = 15 + np.log(RATE / 2 / 1000) / step
    mels = np.linspace(0, top, MELS + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(step * (mels - 15)))
    low, middle, high = (edges[i : i + MELS, None] for i in range(3))
    triangles = np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle))
    return np.asarray(np.maximum(triangles, 0) * 2 / (high - low))


def spectrograms(rng: np.random.Generator) -> dict[str, Array]:
    """The input of Resemblyzer: the power of 1.6 s of a voice in 40 bands; [160, 40]."""
    sound = voice(rng, FRAMES * HOP / RATE)
    sound *= 10 ** (TARGET_DBFS / 20) / np.sqrt(np.mean(sound**2))
    padded = np.pad(sound, WINDOW // 2)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    cut = np.stack([padded[i * HOP : i * HOP + WINDOW] for i in range(FRAMES)])
    power = np.abs(np.fft.rfft(cut * window)) ** 2
    return {"mels": (power @ mel_filters().T).astype(np.float32)}


def chunks(rng: np.random.Generator) -> dict[str, Array]:
    """The input of silero-vad: 36 ms of sound, and the state of what came before."""
    sound = voice(rng, 1.0) if rng.integers(4) else 0.01 * rng.standard_normal(RATE)
    start = int(rng.integers(sound.size - 576))
    state = 0.3 * rng.standard_normal((2, 1, 128))
    chunk = sound[None, start : start + 576]
    floats = {"input": chunk.astype(np.float32), "state": state.astype(np.float32)}
    return floats | {"sr": np.array(RATE)}


def pictures(rng: np.random.Generator) -> dict[str, Array]:
    """The input of nudenet: a picture of patches of color, with light and noise; [3, 320, 320] in 0 to 1."""
    size = 320
    y, x = np.mgrid[:size, :size] / size
    light = rng.uniform(0.3, 0.7, 3)[:, None, None] + 0.3 * (x * rng.uniform(-1, 1) + y)
    for _ in range(12):
        center, radius = rng.uniform(0, 1, 2), rng.uniform(0.04, 0.3, 2)
        patch = ((x - center[0]) / radius[0]) ** 2 + ((y - center[1]) / radius[1]) ** 2 < 1
        light = np.where(patch, rng.uniform(0, 1, 3)[:, None, None] * (0.6 + 0.4 * y), light)
    noisy = light + 0.02 * rng.standard_normal((3, size, size))
    return {"images": np.clip(noisy, 0, 1).astype(np.float32)}


def files(rng: np.random.Generator) -> dict[str, Array]:
    """The input of magika: the first and the last KiB of a file of one of several kinds; [2048] bytes."""
    words = ["".join(map(chr, rng.integers(97, 123, n))) for n in rng.integers(2, 10, 300)]
    numbers = rng.integers(0, 10_000, 300)
    pairs = list(zip(words, numbers.tolist(), strict=True))
    kind = int(rng.integers(6))
    text = [
        json.dumps({w: {"id": n, "tags": words[:3]} for w, n in pairs}, indent=2),
        "import sys\n\n\n" + "".join(f"def {w}(x):\n    return x + {n}\n\n\n" for w, n in pairs),
        "name,value\n" + "".join(f"{w},{n}\n" for w, n in pairs),
        "<!DOCTYPE html>\n<html><body>\n" + "".join(f"<p class='{n}'>{w}</p>\n" for w, n in pairs),
    ]
    if kind < len(text):
        data = text[kind].encode()
    elif kind == len(text):
        data = b"\x1f\x8b\x08\x00\0\0\0\0\x00\x03" + zlib.compress(" ".join(words).encode())[2:]
    else:
        data = rng.integers(0, 256, 4096, np.uint8).tobytes()
    ends = np.full(2 * ENDS, PADDING, np.int32)
    first, last = data[:ENDS], data[-ENDS:]
    ends[: len(first)] = np.frombuffer(first, np.uint8)
    ends[2 * ENDS - len(last) :] = np.frombuffer(last, np.uint8)
    return {"bytes": ends}


def drawn(draw: Draw, count: int, seed: int) -> dict[str, Array]:
    """Several samples: input name to [count, ...]."""
    rng = np.random.default_rng(seed)
    rows = [draw(rng) for _ in range(count)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
