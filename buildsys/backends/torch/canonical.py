"""Files of torch with equal bytes for equal models, and without the build machine's paths."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

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
    raw.seek(0)
    reader = torch._C.PyTorchFileReader(raw)
    buffer = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(buffer)
    # Newer operators raise the version of the format; the writer's own is the lowest there is.
    for version in VERSIONS:
        if reader.has_record(version):
            writer.set_min_version(int(reader.get_record(version)))
    for name in sorted(reader.get_all_records()):
        # The writer adds the version, the byte order and its digest of the records by itself.
        own = name in (*VERSIONS, "byteorder") or name.startswith(".data/")
        if not own and not name.endswith(".debug_pkl"):
            record = reader.get_record(name)
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    path.write_bytes(buffer.getvalue())


def save_exported(program: torch.export.ExportedProgram, path: Path) -> None:
    """Writes an ExportedProgram without the provenance of its nodes."""
    _drop_detach(program)
    for part in program.graph_module.modules():
        if isinstance(part, torch.fx.GraphModule):
            for node in part.graph.nodes:
                for key in PROVENANCE:
                    node.meta.pop(key, None)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    path.write_bytes(buffer.getvalue())


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
