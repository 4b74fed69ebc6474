"""A user's own films: from files to a table of findings, heat maps and an ONNX file."""
