"""
Which measurement next?
=======================

Handwritten digits in four quadrants. A model that was trained on digits of which half the quadrants are gone is asked,
for every digit anew, which quadrant to look at next. Nothing of the quadrant is known when it is asked.
"""

# %%
# The quadrants, with gaps in the training half.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from elision import MultimodalClassifier, plots

digits = load_digits()
rows = {"upper": slice(0, 4), "lower": slice(4, 8)}
columns = {"left": slice(0, 4), "right": slice(4, 8)}
X = {
    f"{r} {c}": digits.images[:, rows[r], columns[c]].reshape(-1, 16)
    for r in rows
    for c in columns
}
rng = np.random.default_rng(0)
gaps = {
    m: np.where(rng.random((600, 1)) < 0.5, np.nan, values[:600])
    for m, values in X.items()
}
model = MultimodalClassifier(encoders="kernel", random_state=0).fit(
    gaps, digits.target[:600]
)

# %%
# For three new digits whose upper left is known:

new = {m: values[600:900] for m, values in X.items()}
model.value_of({"upper left": new["upper left"][:3]}).round(3)

# %%
# As quadrants are added one by one: each digit's own order, one fixed order for all, and a random one. The fixed order
# asks everyone for the same; what each order needs to come close to everything is read off the horizontal axis.

curves = model.acquisition_curves(new, digits.target[600:900])
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
plots.acquisition_lines(curves, "accuracy", axes[0])
plots.acquisition_lines(curves, "nll", axes[1])
plt.show()
