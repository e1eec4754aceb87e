"""PyTorch: captures models as TorchScript or ExportedProgram, and runs the originals."""
