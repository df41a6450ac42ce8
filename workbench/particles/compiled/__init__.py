"""The compiled path: numba kernels for the noise and for whole steps on the built-in landscapes."""
