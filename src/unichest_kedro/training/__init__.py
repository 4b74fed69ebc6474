"""Training: batches, the one loop of both stages, resumable state, Conquer and Divide."""
