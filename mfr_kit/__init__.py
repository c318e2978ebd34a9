"""MFR Kit: align, mask, distil, export, measure and submit masked-face recognisers."""

__version__ = "0.1.0"
