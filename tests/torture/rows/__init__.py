"""The rows of the campaign, a file each; `tests/torture/campaign.py` says what a row is."""
