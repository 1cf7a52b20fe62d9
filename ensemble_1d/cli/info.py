"""`ensemble-1d info`: what a saved model takes, gives and is made of."""

import argparse
from dataclasses import asdict

from ensemble_1d.cli.console import Console
from ensemble_1d.cli.files import saved_model


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Tell all there is to know about a model.

    Args:
        arguments: Of the command line.
        console: Where to tell.
    """
    saved = saved_model(arguments.model)
    artifact, summary = saved.artifact, saved.predictor.summary()
    layout = f", layout {artifact.layout}" if artifact.layout else ""
    origin = f"{saved.n_bytes:,} bytes, format version {artifact.version}, written by {artifact.producer}{layout}"
    facts = asdict(summary)
    console.result(
        f"{arguments.model}: {origin}\n{summary}",
        {
            "command": "info",
            "model": arguments.model,
            "file_bytes": saved.n_bytes,
            "format_version": artifact.version,
            "producer": artifact.producer,
            "layout": artifact.layout,
            **facts,
        },
    )
