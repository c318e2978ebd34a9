"""`kit.py export-onnx`: a run's student as an ONNX file the servers read."""

from mfr_kit.cli import _next
from mfr_kit.cli._command import command
from mfr_kit.paths import check_output
from mfr_kit.submission.options import ExportOptions


def add_to(app) -> None:
    app.command("export-onnx", rich_help_panel="Submit")(
        command(ExportOptions, export_onnx, then=_then)
    )


def export_onnx(options: ExportOptions) -> None:
    """Write a run's student as one float32 ONNX file with a free batch, and compare it with
    torch.
    """
    from mfr_kit.submission import edge, export, targets
    from mfr_kit.submission.sources import open_source

    elsewhere = options.runs_on not in ("gpu", "cpu")
    if elsewhere:
        targets.require(options.runs_on)
    if options.edge:
        path = options.out or options.run / "model.onnx"
        check_output(path.with_suffix(f".{options.edge}.onnx"), "file", f"--edge {options.edge}")
        against = _against(options)
        if against is not None:
            edge.open_people(against, options.run)
    faces = open_source(options.faces).read(0, 256) if options.faces else None
    done = export.export_run(
        options.run,
        options.out,
        options.opset,
        faces,
        for_cpu=options.runs_on == "cpu",
        device=options.device,
        report=options.report,
    )
    for name, difference in done.parity.items():
        print(
            f"parity with torch, {name}: cosine difference {difference:.1e} (at most "
            f"{export.TOLERANCE:g})"
        )
    counts = done.counts
    print(
        f"graph: {counts['nodes_before']} -> {counts['nodes_after']} nodes, "
        f"{counts['batch_norms_folded']} batch norms folded here"
    )
    if counts["batch_norms_kept"]:
        print(
            f"       {counts['batch_norms_kept']} batch norms stay: they stand in front of "
            "padded convolutions"
        )
    print("embedding kept: the backbone's, before any projector")
    shape = f"(N, 3, 112, 112) in [-1, 1] -> (N, {done.embedding_size})"
    print(f"wrote {done.path}: {done.size_bytes / 2**20:.2f} MiB, {shape}, opset {options.opset}")
    if done.card:
        print(f"wrote {done.card}: the thresholds of {options.report}, which the file carries too")
    if elsewhere:
        made = targets.convert(options.run, done.path, options.runs_on)
        names = " and ".join(str(path) for path in made.paths)
        print(
            f"wrote {names}: cosine difference to torch {made.parity:.1e} (at most "
            f"{export.TOLERANCE:g}) where {options.runs_on} runs it"
        )
    if options.edge:
        _edge(options, options.edge, done.path, done.size_bytes)


def _against(options: ExportOptions):
    from mfr_kit.submission.edge import Against

    if options.calibrate is None and options.val is None:
        return None
    return Against(options.calibrate, options.val, options.val_people)


def _edge(options: ExportOptions, kind: str, model, size_bytes: int) -> None:
    from mfr_kit.submission import edge_cost
    from mfr_kit.submission.edge import export_edge

    against = _against(options)
    made = export_edge(options.run, model, kind, options.faces, against, options.runs_on == "cpu")
    calibrated = f", calibrated on {made.calibrated} faces" if made.calibrated else ""
    print(
        f"wrote {made.path}: {made.size_bytes / 2**20:.2f} MiB, "
        f"{made.size_bytes / size_bytes:.0%} of the float32 file{calibrated}"
    )
    print(
        f"cosine to the float32 file, {made.measured} other faces: mean {made.cosine_mean:.5f}, "
        f"lowest {made.cosine_lowest:.5f}"
    )
    for row in made.tar:
        change = 100 * (row.edge - row.float32)
        print(
            f"{row.protocol}: TAR at FAR {row.far:g} {100 * row.float32:.2f} % -> "
            f"{100 * row.edge:.2f} % ({change:+.2f} points)"
        )
    if against is not None:
        print("\n".join(edge_cost.describe(made.protocols, kind)))
    elif options.faces and options.faces.is_dir() and not made.tar:
        print("TAR: the face set is too small for a claim at any FAR")
    print(f"The edge file is for devices: challenge servers take {model.name}")


def _then(options: ExportOptions) -> _next.Words:
    folder = options.run if options.run.is_dir() else options.run.parent
    return _next.check(options.out or folder / "model.onnx", folder)
