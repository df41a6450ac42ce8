"""Entropy models of images: what a generalised Gaussian saves where some regions matter more than others."""

from workbench.compression.block_symbols import BlockSymbols, quality, quantise, reconstruct
from workbench.compression.contests import EntropyContest, compare_entropy_models
from workbench.compression.noise_gaps import NoiseGap, noise_gap
from workbench.compression.roi_pictures import RoiPicture, roi_pictures

__all__ = [
    "BlockSymbols",
    "EntropyContest",
    "NoiseGap",
    "RoiPicture",
    "compare_entropy_models",
    "noise_gap",
    "quality",
    "quantise",
    "reconstruct",
    "roi_pictures",
]
