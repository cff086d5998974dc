"""`elision export`."""

from pathlib import Path

from elision.cli.app import Many
from elision.cli.tables import Quiet, Screen
from elision.errors import check_choice


def export(
    run: Path, format: str = "onnx", modalities: Many = None, out: Path | None = None, quiet: Quiet = False
) -> None:
    """Write the posterior of a trained run for other programs, for samples that show a fixed set of modalities.

    The file is checked against the model by onnxruntime and kept only if no probability differs by more than 1e-5. Its
    inputs are the modalities, any number of rows at once, its output is the probabilities; the names of the classes
    stand in its metadata. It needs an extra: pip install 'elision[onnx]'.

    Parameters
    ----------
    run
        Folder of a run, or of a saved model.
    format
        onnx.
    modalities
        Those that samples will show; the others are averaged out. Default: all.
    out
        The file. Default: MODALITIES.onnx in the run's folder, the modalities joined by +.
    """
    from elision.serving.export import export_onnx

    check_choice("format", format, ("onnx",))
    path = out or run / f"{'+'.join(modalities or ['all'])}.onnx"
    difference = export_onnx(run, path, modalities)
    Screen(False, quiet).say(f"{path}: differs from the model by at most {difference:.1e}")
