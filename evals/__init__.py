"""The harness: labelled messages and versioned prompts in, evidence and a verdict out."""
