"""
What missing data costs, and what each method makes of it
=========================================================

Tumours as scikit-learn's breast cancer data describes them: means, spreads and extremes of cell nuclei, three
modalities. Each goes missing in a growing share of the training samples; the test samples are complete.

One split and one seed, to show how it is done: which method is better takes more, and ``elision compare`` does it.
"""

# %%
# The data, and a function that takes modalities away.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from elision import MultimodalClassifier

bunch = load_breast_cancer()
X = {
    "mean": bunch.data[:, :10],
    "spread": bunch.data[:, 10:20],
    "worst": bunch.data[:, 20:],
}
y = bunch.target_names[bunch.target]
train, test = train_test_split(
    np.arange(len(y)), test_size=0.5, stratify=y, random_state=0
)


def incomplete(share):
    """Return the training samples, each lacking each modality with probability ``share``."""
    rng = np.random.default_rng(0)
    return {
        m: np.where(rng.random((len(train), 1)) < share, np.nan, values[train])
        for m, values in X.items()
    }


# %%
# ``lower-bound`` learns from complete samples only. At 80 per cent there are hardly any left.

shares = [0.0, 0.4, 0.8]
complete = {m: values[test] for m, values in X.items()}
results = {}
for method in ("mle", "zero-padding", "lower-bound"):
    results[method] = []
    for share in shares:
        try:
            model = MultimodalClassifier(method, encoders="kernel", random_state=0).fit(
                incomplete(share), y[train]
            )
        except Exception as error:
            print(f"{method}, {share:.0%} missing: {error}")
            results[method].append((np.nan, np.nan))
            continue
        probabilities = model.predict_proba(complete)
        nll = log_loss(y[test], probabilities, labels=model.classes_)
        results[method].append((model.score(complete, y[test]), nll))

# %%
# Accuracy asks who is right, the negative log-likelihood how honest the probabilities are as well.

figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for (method, values), colour in zip(
    results.items(), ["#0b6e99", "#d1495b", "#8a8f98"], strict=True
):
    for drawn, column in zip(axes, zip(*values, strict=True), strict=True):
        drawn.plot(shares, column, marker="o", color=colour, label=method)
axes[0].set(xlabel="share of each modality missing", ylabel="accuracy")
axes[1].set(xlabel="share of each modality missing", ylabel="NLL, nats")
axes[1].legend(frameon=False)
plt.show()
