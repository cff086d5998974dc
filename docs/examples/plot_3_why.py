"""
Why this answer?
================

What each modality of a sample adds to the log-probability of each class. These are Shapley values of real posteriors:
each subset of the modalities has one, so that nothing is imputed to explain.
"""

# %%
# Wines of three growers, in four modalities, each of which half the wines lack.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine

from elision import MultimodalClassifier, plots

wine = load_wine(as_frame=True)
y = np.array(["Barolo", "Grignolino", "Barbera"])[wine.target]
modalities = {
    "basics": slice(0, 5),
    "phenols": slice(5, 9),
    "look": slice(9, 12),
    "proline": [12],
}
table = wine.data.to_numpy(copy=True)
rng = np.random.default_rng(0)
for columns in modalities.values():
    gone = rng.random(len(table)) < 0.5
    table[np.ix_(gone, np.arange(13)[columns])] = np.nan
model = MultimodalClassifier(
    modalities=modalities, encoders="kernel", random_state=0
).fit(table[::2], y[::2])

# %%
# One wine: what speaks for the grower it is given to.

new, truth = table[1::2], y[1::2]
sample = int(np.flatnonzero(~np.isnan(new).any(axis=1))[0])
plots.waterfall(model.contributions(new), sample=sample)
plt.show()

# %%
# All of them: what each modality is worth, alone, as the last one, and as its share of the whole.

plots.importance_bars(model.importance(new, truth))
plt.show()
