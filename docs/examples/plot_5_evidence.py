"""
Do a sample's modalities go together?
=====================================

The evidence compares what a sample shows with what its modalities show on their own. It is low where two modalities
contradict each other: files of two people under one name, a cable in the wrong socket.
"""

# %%
# The two halves of digits; in half of the new samples the right half is another digit's.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from elision import MultimodalClassifier

digits = load_digits()
X = {
    "left": digits.images[:, :, :4].reshape(-1, 32),
    "right": digits.images[:, :, 4:].reshape(-1, 32),
}
train = {m: values[:800].copy() for m, values in X.items()}
train["right"][::2] = np.nan
model = MultimodalClassifier(encoders="kernel", objective="joint", random_state=0).fit(
    train, digits.target[:800]
)

rng = np.random.default_rng(0)
new = {m: values[800:].copy() for m, values in X.items()}
swapped = rng.random(len(new["right"])) < 0.5
new["right"][swapped] = rng.permutation(new["right"][swapped])

# %%
# The area under the curve says how well the evidence tells the two apart: .5 is chance. A swapped half may come from
# the same digit, and then nothing is wrong with it.

evidence = model.evidence(new)
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
bins = np.linspace(*np.quantile(evidence, [0.01, 1]), 40)
axes.hist(
    np.clip(evidence[~swapped], bins[0], None),
    bins,
    alpha=0.7,
    color="#0b6e99",
    label="as they are",
)
axes.hist(
    np.clip(evidence[swapped], bins[0], None),
    bins,
    alpha=0.7,
    color="#d1495b",
    label="right half of another",
)
axes.set(
    xlabel="evidence, nats",
    ylabel="samples",
    title=f"AUROC {roc_auc_score(~swapped, evidence):.2f}",
)
axes.legend(frameon=False)
plt.show()
