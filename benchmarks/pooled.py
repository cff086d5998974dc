"""RAVDESS again, as a user has it: training and validation samples are all there is to learn from.

    python -m benchmarks.pooled data/ravdess.csv --out results/pooled

`benchmarks.accuracy` keeps the validation part for early stopping and choices, and trains nothing on it. Here every
line may learn from it as well: `MultimodalClassifier()` with its defaults, which holds a part out by itself and trains
once more on everything; late fusion of SVCs with C chosen on the validation part, then fitted to both parts; and with
scikit-learn's default C. The validation samples are complete, so fewer than 80 or 95 % lack a modality.
"""

import time

import numpy as np

from benchmarks.accuracy import RIVALS, main
from benchmarks.rivals.late_svc import LateSVC
from elision import MultimodalClassifier
from elision.evaluation import evaluate
from elision.inputs import Samples
from elision.study.on_arrays import Parts, judged, partition
from elision.study.results import Result
from elision.study.run import Run


def work(run: Run) -> Result:
    """Fit to both parts, assess on the test part."""
    parts = partition(run)
    arrays = {m: np.concatenate([a, parts.validation.arrays[m]]) for m, a in parts.train.arrays.items()}
    both = Samples(arrays, np.concatenate([parts.train.codes, parts.validation.codes]))
    started = time.perf_counter()
    if run.method in RIVALS:
        candidates = {}
        for c in RIVALS[run.method]:
            candidates[c] = LateSVC(c, run.seed)
            candidates[c].fit(parts)
        validation = parts.validation
        losses = {
            c: evaluate(m.predict_log_proba(validation.arrays), validation.codes).nll for c, m in candidates.items()
        }
        model = LateSVC(min(losses, key=losses.get), run.seed)
        model.fit(Parts(both, validation, parts.test, parts.classes))
    else:
        model = MultimodalClassifier(fusion=run.fusion, random_state=run.seed).fit(both.arrays, both.codes)
    return judged(run, parts, model.predict_log_proba, time.perf_counter() - started)


if __name__ == "__main__":
    main([("mle", "addition", "auto", "auto"), *((name, "late", "-", "-") for name in RIVALS)], work)
