"""Apple's own tests of operators, out of coremltools' wheel, run with the evaluator in Core ML's place."""
