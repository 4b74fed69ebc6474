"""The flow: one package per stage, each with its nodes and their wiring, nothing clever inside."""
