"""`kit.py card`: what an ONNX file says of itself."""

from mfr_kit.cli._command import command
from mfr_kit.submission.options import CardOptions


def add_to(app) -> None:
    app.command("card", rich_help_panel="Submit")(command(CardOptions, card))


def card(options: CardOptions) -> None:
    """Print what an ONNX file says of itself: thresholds at each false-accept rate, what it
    descends from, how its input is made, and its limits.
    """
    from mfr_kit.submission import card as cards

    print(cards.text_of(options.model).decode().partition("\n")[2], end="")
