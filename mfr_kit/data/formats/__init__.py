"""Training-set formats, one a file: `recognises(path)`, `open_set(path)`, `write_set(path,
source)`; found by folder.
"""
