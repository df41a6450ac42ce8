"""Triton kernels, each with a PyTorch path that runs where there is no GPU."""
