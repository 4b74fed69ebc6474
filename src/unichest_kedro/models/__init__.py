"""The network: image encoder, text encoder, mixture of query networks, losses, and the model folder."""
