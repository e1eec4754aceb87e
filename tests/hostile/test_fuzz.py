"""2,300 seeded cases: each ends with a documented status, says why, and writes nothing.

`MODELBUILD_FUZZ=first:count` runs other cases of the same kind; a failure names its seed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from buildsys.cli.main import run
from buildsys.release.bundle import create
from buildsys.toolchains.locks.lockfile import parse
from tests.hostile.mutations import as_json, encoded, raw, text
from tests.profile import PROFILE
from tests.release.test_bundle import deflated, entry, inflated, joined, pack, resummed, unpack
from tests.report.test_shape import REPORT
from tests.space import Space

REPOSITORY = Path(__file__).parents[2]
FIRST, SHARE = {"quick": (0, 10), "ci": (0, 1), "nightly": (1_000_000, 0.05)}[PROFILE]
"""The first seed, and the part of the cases that is left out: one in ten runs, all of them, twenty times."""
DOCUMENTED = {0, 1, 2, 3, 4, 5, 6}
LOCK = """\
version: 1
choices:
  android/m.tflite-best:
    asked: sha256:0
    profile: half
    built: 2
    candidates:
      - {profile: half, bytes: 10, passed: true}
"""
SEARCH = """\
  best: {search: {schemes: [dyn, int8], minimize: size, subject_to: quantized}}
"""
CONFIG = """\
[cache]
max-size = "20GiB"
[build]
jobs = 4
memory = "8GiB"
timeout = 3600
retry = 1
[resources]
macos = 1
"""


def seeds(count: int) -> range:
    """The seeds of so many cases."""
    given = os.environ.get("MODELBUILD_FUZZ")
    if given:
        first, _, number = given.partition(":")
        return range(int(first), int(first) + int(number or 1))
    return range(FIRST, FIRST + int(count / SHARE))


@dataclass(frozen=True)
class Bench:
    """A folder in which commands run, and what must stay as it is."""

    folder: Path

    def run(self, *arguments: str) -> tuple[int, str]:
        """The exit status, and all that was printed."""
        out = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="replace", write_through=True)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            status = run(list(arguments))
        out.seek(0)
        return status, out.read()

    def files(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file of the folder, but for the store's own."""
        found = {}
        for root, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if name != "store"]
            for name in names:
                status = os.stat(os.path.join(root, name))
                found[os.path.join(root, name)] = (status.st_size, status.st_mtime_ns)
        return found


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELBUILD_CACHE", str(tmp_path / "store"))
    monkeypatch.setenv("MODELBUILD_TOOLCHAINS", str(tmp_path / "store" / "toolchains"))
    monkeypatch.setenv("MODELBUILD_CONFIG", os.devnull)
    yield Bench(tmp_path)
    shutil.rmtree(tmp_path, ignore_errors=True)


def attack(
    bench: Bench,
    numbers: range,
    case: Callable[[random.Random], list[str]],
    allowed: set[int] = DOCUMENTED,
) -> Counter[int]:
    """Runs cases; gives how often each exit status came.

    Args:
        bench: Where they run.
        numbers: Their seeds.
        case: Writes the hostile files, and gives the command's arguments.
        allowed: The exit statuses that are right.
    """
    seen: Counter[int] = Counter()
    for seed in numbers:
        arguments = case(random.Random(seed))
        before = bench.files()
        status, said = bench.run(*arguments)
        told = f"MODELBUILD_FUZZ={seed}: {' '.join(arguments)} ended with {status}\n{said[-3000:]}"
        assert status in allowed, told
        assert "Traceback" not in said, told
        assert status == 0 or said.strip(), told
        assert not set(said) & set("\x00\x1b\x85\u202e\x9b"), told
        assert bench.files() == before, told
        seen[status] += 1
    return seen


def recipes() -> list[Path]:
    return sorted(REPOSITORY.glob("recipes/*/deploy.yaml"))


def test_recipes(bench: Bench) -> None:
    """1,200 cases; every fourth is planned, the others stop at what a recipe's own rules find."""
    texts = [path.read_text() for path in recipes()]
    texts.append((REPOSITORY / "deploy.yaml.example").read_text())
    for path in recipes():
        shutil.copytree(path.parent, bench.folder, dirs_exist_ok=True)
    (bench.folder / "common.yaml").write_text("acceptance: {mine: {signal_error: 0.1}}\n")

    def case(chance: random.Random) -> list[str]:
        good = chance.choice(texts)
        if chance.random() < 0.1:
            good = "include: [common.yaml]\n" + good
        harmed = text(good, chance)
        (bench.folder / "deploy.yaml").write_bytes(encoded(harmed, chance))
        return ["plan"] if chance.random() < 0.25 else ["report"]

    seen = attack(bench, seeds(1_200), case, {0, 1, 2, 5})
    assert seen[2] > sum(seen.values()) / 3


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    space = Space(folder / "project", folder / "store")
    space.create()
    return create(space.build("android"), "android", folder / "out", "1.0").path


def test_bundles(bench: Bench, sound: Path) -> None:
    """400 cases; no altered archive passes."""
    path = bench.folder / sound.name
    whole, tar = sound.read_bytes(), inflated(sound)
    manifest = unpack(sound)["toy-1.0-android/manifest.json"].decode()

    def case(chance: random.Random) -> list[str]:
        how = chance.randrange(4)
        data = whole
        while data == whole:
            if how == 0:
                data = raw(whole, chance)
            elif how == 1:
                data = deflated(raw(tar, chance))
            elif how == 2:
                files = [entry(*each) for each in unpack(sound).items()]
                one, other = chance.randrange(4), chance.randrange(4)
                files.insert(
                    one, raw(files[other], chance) if chance.random() < 0.5 else files[other]
                )
                data = deflated(joined(files))
            else:
                harmed = encoded(text(manifest, chance), chance)
                if harmed.decode("utf-8", "replace") == manifest:
                    continue
                pack(path, resummed(unpack(sound), raw=harmed))
                data = path.read_bytes()
        path.write_bytes(data)
        return ["bundle", chance.choice(("verify", "inspect")), sound.name]

    # Another manifest with sums that fit is another bundle: the identity tells them apart.
    seen = attack(bench, seeds(400), case, {0, 1})
    assert seen[1] > sum(seen.values()) * 0.8


def test_reports(bench: Bench) -> None:
    """300 cases: the last build's `report.json`, and the one that it is compared with."""
    ignored = shutil.ignore_patterns("artifacts")
    shutil.copytree(
        REPOSITORY / "recipes" / "digits", bench.folder, ignore=ignored, dirs_exist_ok=True
    )
    path = bench.folder / "artifacts" / "report.json"
    path.parent.mkdir()
    good = json.dumps(REPORT)

    def case(chance: random.Random) -> list[str]:
        harmed = as_json(good, chance) if chance.random() < 0.8 else text(good, chance)
        today = chance.random() < 0.5
        path.write_text(good)
        where = path if today else bench.folder / "earlier.json"
        where.write_bytes(encoded(harmed, chance))
        if today and chance.random() < 0.5:
            return ["report", "-v"]
        (bench.folder / "other.json").write_text(good)
        return ["report", "--against", "other.json" if today else "earlier.json"]

    seen = attack(bench, seeds(300), case, {0, 1, 3})
    # Neither is everything refused, nor nothing.
    assert all(seen[status] > sum(seen.values()) / 10 for status in (0, 1))


def test_locks_and_settings(bench: Bench) -> None:
    """400 cases: `deploy.lock.yaml`, the lock of a toolchain, `config.toml`."""
    shutil.copytree(REPOSITORY / "recipes" / "digits", bench.folder, dirs_exist_ok=True)
    recipe = (bench.folder / "deploy.yaml").read_text()
    pins = (REPOSITORY / "buildsys" / "backends" / "onnx" / "lock.txt").read_text()
    searched = recipe.replace(
        "quantization:\n", "quantization:\n" + SEARCH.replace("half, int8", "fp16, int8")
    )
    searched = searched.replace("quantization: dyn", "quantization: best").replace(
        "accept: quantized, ", ""
    )
    asked = _asked(bench, searched)
    lock = (
        LOCK.replace("android/m", "android/classifier")
        .replace("sha256:0", asked)
        .replace("half", "dyn")
    )

    def case(chance: random.Random) -> list[str]:
        how = chance.randrange(3)
        if how == 0:
            (bench.folder / "deploy.yaml").write_text(searched)
            (bench.folder / "deploy.lock.yaml").write_bytes(encoded(text(lock, chance), chance))
            return ["plan", "android"] if chance.random() < 0.1 else ["report"]
        (bench.folder / "deploy.lock.yaml").unlink(missing_ok=True)
        (bench.folder / "deploy.yaml").write_text(recipe)
        if how == 1:
            (bench.folder / "deploy.yaml").write_text(
                recipe + "toolchains: {onnx: {lock: onnx.txt}}\n"
            )
            (bench.folder / "onnx.txt").write_bytes(encoded(text(pins, chance), chance))
            with contextlib.suppress(ValueError):  # What installing says as `ToolchainError`.
                parse((bench.folder / "onnx.txt").read_bytes().decode("utf-8", "ignore"))
            return ["plan", "android/classifier.onnx"] if chance.random() < 0.2 else ["report"]
        (bench.folder / "config.toml").write_bytes(encoded(text(CONFIG, chance), chance))
        os.environ["MODELBUILD_CONFIG"] = str(bench.folder / "config.toml")
        return ["cache", "status"]

    attack(bench, seeds(400), case, {0, 1, 2, 5})


def _asked(bench: Bench, recipe: str) -> str:
    """The digest of the recipe's question, so that its lock is an answer."""
    from buildsys.engine.session import open_recipe
    from buildsys.planner.catalog import Catalog
    from buildsys.planner.choices.choosing import unsettled

    (bench.folder / "deploy.yaml").write_text(recipe)
    catalog = Catalog.load()
    (question,) = unsettled(open_recipe(bench.folder / "deploy.yaml", catalog), catalog)
    return question.asked
