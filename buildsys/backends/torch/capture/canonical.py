"""Files of torch with equal bytes for equal models, and without the build machine's paths."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from ...kit.export import modules

# Where a node came from: source paths, line numbers, class names. A moved line would change the
# file, and the paths of the machine that built it would ship to users.
PROVENANCE = (
    "stack_trace",
    "nn_module_stack",
    "source_fn_stack",
    "torch_fn",
    "from_node",
    "fwd_nn_module_stack",
    "custom",
)
VERSIONS = ("version", ".data/version")


def save_torchscript(module: Any, path: Path) -> None:
    """Writes a ScriptModule without its debug records, which hold source paths and lines.

    The archive's root folder is named after the file that torch writes to, hence the buffer.
    """
    raw = io.BytesIO()
    torch.jit.save(module, raw)
    path.write_bytes(_without_debug(raw.getvalue()))


def save_lite(module: Any, path: Path) -> None:
    """Writes a ScriptModule for the lite interpreter, without its debug records."""
    with warnings.catch_warnings():
        # It names ExecuTorch, as our own note does.
        warnings.filterwarnings("ignore", message="Lite Interpreter is deprecated")
        raw = module._save_to_buffer_for_lite_interpreter()
    path.write_bytes(_without_debug(raw))


def _without_debug(raw: bytes) -> bytes:
    reader = torch._C.PyTorchFileReader(io.BytesIO(raw))
    records = [n for n in sorted(reader.get_all_records()) if not n.endswith(".debug_pkl")]
    return rewritten(reader, records)


def rewritten(
    reader: Any, records: Sequence[str], added: Mapping[str, bytes] = MappingProxyType({})
) -> bytes:
    """An archive of torch's with some records of another one, and with more of our own."""
    buffer = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(buffer)
    # Newer operators raise the version of the format; the writer's own is the lowest there is.
    for version in VERSIONS:
        if reader.has_record(version):
            writer.set_min_version(int(reader.get_record(version)))
    for name in records:
        # The writer adds the version, the byte order and its digest of the records by itself.
        own = name in (*VERSIONS, "byteorder") or name.startswith(".data/")
        if not own and name not in added:
            record = reader.get_record(name)
            writer.write_record(name, record, len(record))
    for name, record in added.items():
        writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    return buffer.getvalue()


def save_exported(program: torch.export.ExportedProgram, path: Path) -> None:
    """Writes an ExportedProgram without the provenance of its nodes, but for their modules' paths."""
    _drop_detach(program)
    for part in program.graph_module.modules():
        if isinstance(part, torch.fx.GraphModule):
            for node in part.graph.nodes:
                _keep_module_only(node)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    path.write_bytes(buffer.getvalue())


def _keep_module_only(node: Any) -> None:
    """Leaves of a node's provenance what errors name; see `kit.export.modules`."""
    stack = node.meta.get("nn_module_stack") or {}
    path = next(reversed([place for place, *_ in stack.values()]), "")
    for key in PROVENANCE:
        node.meta.pop(key, None)
    if path:
        node.meta["custom"] = {modules.KEY: path}


def _drop_detach(program: torch.export.ExportedProgram) -> None:
    """Takes out `detach_`, which each `torch.tensor(...)` within `forward` leaves behind.

    Without gradients it does nothing, and after loading it is refused on a view of a constant.
    """
    for part in program.graph_module.modules():
        if not isinstance(part, torch.fx.GraphModule):
            continue
        for node in list(part.graph.nodes):
            if node.target is torch.ops.aten.detach_.default:
                source = node.args[0]
                if part is program.graph_module:
                    program.graph_signature.replace_all_uses(node.name, source.name)
                node.replace_all_uses_with(source)
                part.graph.erase_node(node)
        part.recompile()
