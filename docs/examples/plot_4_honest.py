"""
How honest are the probabilities, and how large must a set be?
==============================================================

Half of what a model says with 60 per cent should not be wrong half the time; and where less is shown it should be less
sure. Prediction sets turn that into a promise: a set of classes that holds the truth nine times in ten.
"""

# %%
# The left and right halves of digits. A third of the samples trains, a third calibrates the sets, a third is new.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from elision import MultimodalClassifier, plots
from elision.evaluation import confidence_bins

digits = load_digits()
X = {
    "left": digits.images[:, :, :4].reshape(-1, 32),
    "right": digits.images[:, :, 4:].reshape(-1, 32),
}
rng = np.random.default_rng(0)
lacks = rng.integers(
    3, size=len(digits.target)
)  # 0: complete, 1: no left half, 2: no right half
X = {
    m: np.where((lacks == i)[:, None], np.nan, values)
    for i, (m, values) in enumerate(X.items(), 1)
}


def part(i):
    """Return every third sample."""
    return {m: values[i::3] for m, values in X.items()}, digits.target[i::3]


model = (
    MultimodalClassifier(encoders="kernel", random_state=0)
    .fit(*part(0))
    .calibrate_sets(*part(1))
)
model.reliability(*part(2)).round(3)

# %%
# Confidence against accuracy: on the diagonal the probabilities are honest.

new, truth = part(2)
plots.reliability_diagram(confidence_bins(model.predict_log_proba(new), truth))
plt.show()

# %%
# The less is shown, the larger the sets; they hold the truth as often as asked.

sets = model.predict_set(new, coverage=0.9)
sets["holds the truth"] = [
    t in held for t, held in zip(truth, sets["classes"], strict=True)
]
sets["shown"] = [
    " + ".join(np.array(model.modalities_)[row]) for row in model.shown(new)
]
sets.groupby("shown")[["size", "holds the truth"]].mean().round(2)
