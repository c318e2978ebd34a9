"""What a student is trained by, one method a file; `--method NAME` picks it.
docs/extend/add_a_loss.md says what a file must have.

torch is imported inside functions here, so that listing the methods' options for `kit.py distill
--help` stays fast.
"""
