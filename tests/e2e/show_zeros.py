"""The part of each matrix of a package that is zero, by coremltools alone: `show_zeros.py PACKAGE`."""

# mypy: disable-error-code="misc, import-not-found"

from __future__ import annotations

import json
import sys

import coremltools as ct

model = ct.models.MLModel(sys.argv[1], skip_model_load=True)
dense = ct.optimize.coreml.decompress_weights(model)._mil_program.functions["main"]
values = [op.val.val for op in dense.operations if op.op_type == "const"]
found = {v.size: float((v == 0).mean()) for v in values if getattr(v, "ndim", 0) == 2}
print(json.dumps(found))
