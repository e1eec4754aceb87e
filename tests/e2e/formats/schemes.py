"""Recipes that ask for all that the formats declare of quantization."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from buildsys.backends.base import Format, Scheme
from buildsys.planner.catalog import Catalog, load_built_in
from buildsys.quantization import FLOAT_SCHEMES

CARRIED = ("ort", "onnx_web")
"""Packages of quantized ONNX files: what a profile may say is tried on those."""
NOT_HERE = ("tensorrt", "torch_tensorrt")
"""What needs a machine that others do not have."""
OPTIONS: dict[str, dict[str, Any]] = {
    # The first that computes with 8-bit activations and has 4-bit weights.
    "coreml": {"minimum_deployment_target": "iOS18"},
}
BLOCK = {"coreml": 16}
"""Weights in a block: a divisor of the input channels that there are; 32 where nothing is said."""
Profile = dict[str, Any]


def formats() -> list[Format]:
    """The formats that take a profile and can be looked into on any machine."""
    catalog = Catalog.load(load_built_in())
    found = [catalog.formats[name] for name in catalog.deployable_formats()]
    return [each for each in found if each.schemes and each.name not in NOT_HERE]


def profiles(declared: Format, scheme: Scheme, dataset: str, *, all_values: bool) -> list[Profile]:
    """Profiles in which each value that a scheme declares stands at least once.

    Values go in step with each other, not each with each: there are as many profiles as the longest
    list has values.
    """
    fields: dict[str, tuple[Any, ...]] = {}
    if scheme.name not in (*FLOAT_SCHEMES, "mixed"):
        fields = {
            "bits": scheme.bits,
            "per_channel": scheme.per_channel,
            "symmetric": scheme.symmetric,
            "activations": scheme.activations,
            "method": scheme.methods,
        }
        fields = {name: values for name, values in fields.items() if values}
    count = max(map(len, fields.values()), default=1) if all_values else 1
    found = []
    for number in range(count):
        profile: Profile = {"scheme": scheme.name}
        profile |= {name: values[number % len(values)] for name, values in fields.items()}
        if scheme.calibrated:
            calibration: Profile = {"dataset": dataset, "count": 32}
            if all_values:
                calibration["method"] = profile.pop("method")
            profile.pop("method", None)
            profile["calibration"] = calibration
        found.append(_possible(profile))
    if all_values and "block_size" in scheme.reads and fields:
        found.append({"scheme": scheme.name, "bits": 4, "block_size": BLOCK.get(declared.name, 32)})
    return found


def _possible(profile: Profile) -> Profile:
    """Without what no library has together, and says so."""
    if profile.get("activations") == "int16":
        profile["symmetric"] = True
    return profile


def asked(dataset: str, *, all_values: bool) -> Iterator[tuple[str, str, Profile]]:
    """Format, name and profile of all that a recipe asks for; what `mixed` mixes in comes before."""
    for declared in formats():
        for scheme in declared.schemes:
            if scheme.name == "mixed":
                continue
            whole = all_values and declared.name not in CARRIED
            for number, profile in enumerate(profiles(declared, scheme, dataset, all_values=whole)):
                yield declared.name, f"{scheme.name}{number}-{declared.name}", profile


def recipe(
    text: str, dataset: str, *, all_values: bool, without: Collection[str] = ()
) -> dict[str, Any]:
    """A committed recipe, with other profiles and targets.

    Args:
        text: The recipe as it is committed, read.
        dataset: What ranges are taken from.
        all_values: Whether each value of each field stands somewhere, or each scheme once.
        without: Formats whose schemes are left out.
    """
    import yaml

    tree: dict[str, Any] = yaml.safe_load(text)
    tree["quantization"] = {}
    tree["acceptance"] = {
        "eight": {"signal_error": 0.2, "metric_drop": 0.03},
        "four": {"signal_error": 0.7, "metric_drop": 0.1},
    }
    entries: list[dict[str, Any]] = []
    for declared in formats():
        entries.append({"format": declared.name, "accept": "eight"})
    for name, label, profile in asked(dataset, all_values=all_values):
        if name in without:
            continue
        tree["quantization"][label] = profile
        bound = "four" if profile.get("bits") == 4 else "eight"
        entries.append({"format": name, "quantization": label, "accept": bound})
    for declared in formats():
        for scheme in declared.schemes:
            if scheme.name == "mixed" and declared.name not in without:
                label = f"mixed-{declared.name}"
                mixed_in = f"{scheme.mixes[0]}0-{declared.name}"
                tree["quantization"][label] = {
                    "scheme": "mixed",
                    "default": "float",
                    "layers": {"*": mixed_in},
                }
                entries.append({"format": declared.name, "quantization": label, "accept": "eight"})
    for entry in entries:
        if entry["format"] in OPTIONS:
            entry["options"] = OPTIONS[entry["format"]]
    tree["targets"] = {"server": entries}
    return tree
