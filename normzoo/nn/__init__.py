"""The layers and the network: tensors in, tensors out."""
