"""Runs artifacts: batches, outputs, inputs at the edges, time and memory."""
