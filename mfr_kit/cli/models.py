"""`kit.py models`."""

from mfr_kit.cli._command import command
from mfr_kit.models.options import ModelsOptions


def add_to(app) -> None:
    """Register the command."""
    app.command("models", rich_help_panel="Train")(command(ModelsOptions, models))


def models(options: ModelsOptions) -> None:
    """List the backbones a student can have, with what each costs."""
    from mfr_kit import registry
    from mfr_kit.models import publishers
    from mfr_kit.models.measure import cost_of
    from mfr_kit.models.weights import BACKBONES

    if options.checkpoints:
        print(publishers.to_markdown(), end="")
        return
    print(f"{'backbone':<22}{'D':>6}{'parameters':>14}{'GFLOP':>9}{'MiB':>9}")
    for name in registry.names(BACKBONES):
        cost = cost_of(name, options.embedding_size, options.width)
        print(
            f"{name:<22}{cost.embedding_size:>6}{cost.parameters:>14,}"
            f"{cost.flops / 1e9:>9.2f}{cost.size_mib:>9.1f}"
        )
