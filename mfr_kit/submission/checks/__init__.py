"""The rules of `kit.py check`, one family a file, each with `rows(subject) -> list[Row]`; found
by folder.
"""
