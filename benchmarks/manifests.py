"""Make manifests of the real data that the benchmarks measure on.

    python -m benchmarks.manifests ../shared/data data

writes ``ravdess.csv`` (six emotions; 181 audio statistics, 35 face action units; group = actor), ``mfeat.csv`` (2,000
numerals, six views) and ``words_digit.csv``, ``words_letter.csv`` (1,000 spoken words, 6,144 and 960 columns). None of
these data sets is ours to ship; ``data`` is not committed.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd


def ravdess(source: Path) -> pd.DataFrame:
    labels = pd.read_csv(source / "labels.csv")
    audio = np.load(source / "audio_stats181.npy")
    face = pd.read_csv(source / "face_au.csv").iloc[:, 1:]  # rows as in labels.csv
    table = pd.DataFrame({"id": labels["clip"], "label": labels["emotion"], "group": labels["actor"].astype(str)})
    features = pd.concat([_columns("audio", audio), face.add_prefix("face.")], axis=1)
    return pd.concat([table, features], axis=1)[~labels["emotion"].isin(["neutral", "calm"])]


def mixed_ravdess(source: Path) -> pd.DataFrame:
    """RAVDESS as a table of mixed columns under names of its own; sex, statement and repetition are categories."""
    table = ravdess(source).rename(columns={"id": "clip", "label": "emotion", "group": "actor"})
    told = pd.read_csv(source / "labels.csv").set_index("clip")[["sex", "statement", "repetition", "intensity"]]
    return table.join(told, on="clip")


def mfeat(source: Path, views: tuple[str, ...] = ("fac", "fou", "kar", "mor", "pix", "zer")) -> pd.DataFrame:
    arrays = np.load(source / "mfeat.npz")
    table = pd.DataFrame({"label": arrays["label"].astype(str)})
    return pd.concat([table, *(_columns(view, arrays[view]) for view in views)], axis=1)


def words(path: Path) -> pd.DataFrame:
    file = np.load(path)
    table = pd.DataFrame({"label": file["label"].astype(str)})
    views = (_columns(m, file[m].reshape(len(table), -1)) for m in ("mouth", "sound"))
    return pd.concat([table, *views], axis=1)


def _columns(modality: str, values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"{modality}.{i}" for i in range(values.shape[1])])


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    target.mkdir(parents=True, exist_ok=True)
    tables = {
        "ravdess": ravdess(source / "ravdess"),
        "mfeat": mfeat(source / "mfeat"),
        "mfeat3": mfeat(source / "mfeat", ("fou", "zer", "mor")),
        "words_digit": words(source / "words" / "words_digit.npz"),
        "words_letter": words(source / "words" / "words_letter.npz"),
    }
    for name, table in tables.items():
        table.to_csv(target / f"{name}.csv", index=False)
        print(f"{target / name}.csv: {len(table)} samples, {table['label'].nunique()} classes")


if __name__ == "__main__":
    main()
