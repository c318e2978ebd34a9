"""Formats of verification pairs, one a file: `recognises(path)`, `open_pairs(path, images)`;
those also written, `write_pairs`.
"""
