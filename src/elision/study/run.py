"""A run: one method on one partition of one data set; what decides its result, and a stable name for that."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from elision.data.formats import DETECTED, TableFormat
from elision.data.missing import NONE
from elision.data.partition import Removal
from elision.errors import InputError
from elision.files import sha256_of_json
from elision.methods import Claims
from elision.registries import METHODS

UPPER_BOUND = "upper-bound"
"""No method: the reference that a comparison can show beside them."""
LABEL_ONLY, SELF_TRAINING, LABEL_SPREADING = "label-only", "self-training", "label-spreading"
RIVALS: dict[str, Claims] = {
    LABEL_ONLY: Claims("Throws the samples without a label away: mle on the others.", "The same model", unweighted=""),
    SELF_TRAINING: Claims(
        "Trains a logistic regression, takes what it is sure of for labels, and trains again; gaps take the mean.",
        "Yarowsky, ACL 1995; scikit-learn's SelfTrainingClassifier",
    ),
    LABEL_SPREADING: Claims(
        "Spreads the labels over a graph of the seven nearest neighbours; gaps take the mean.",
        "Zhou et al., NIPS 2003; scikit-learn's LabelSpreading",
    ),
}
"""What a comparison shows beside the methods where labels are missing."""
CLAIMS: dict[str, Claims] = (
    {name: method.claims for name, method in METHODS.items()}
    | {
        UPPER_BOUND: replace(
            METHODS["mle"].claims,
            summary="Not a method: mle on the training data before anything was removed from it. The distance to it is "
            "what the missing data costs.",
            source="The same samples, complete",
        )
    }
    | RIVALS
)
"""What a comparison's lines say of themselves: the methods, the reference, and the rivals."""
END_TO_END = "end-to-end"
"""The extractor of runs whose encoders are trained with them, and the way in which they are trained."""
SPLITS = {False: "by video", True: "by speaker"}
"""Whether the split keeps groups together -> what that is called where the samples are videos, the groups speakers."""
BY_GROUP = {"video": (False,), "speaker": (True,), "both": (False, True)}
"""What a split is called -> whether it keeps groups together."""


@dataclass(frozen=True)
class Training:
    """Decide how a method is trained; None is the default of the loop that trains it.

    Args:
        encoders: of each modality; a name in `ENCODERS`, or in `NETWORKS` for the way "end-to-end"; "auto" averages
            several, in the way "estimator".
        n_features: k.
        max_epochs: passes over the training samples.
        batch_size: samples, or segments of videos, per step.
        learning_rate: at its peak.
        options: further ones of the training loop, (name, value).
        way: who trains it, a name in `elision.study.execution.WAYS`.
    """

    encoders: str = "auto"
    n_features: int = 32
    max_epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    options: tuple[tuple[str, Any], ...] = ()
    way: str = "estimator"


@dataclass(frozen=True)
class Run:
    """Everything that decides a result, and where things lie, which does not.

    Args:
        source: a name in `DATASETS`, or the address of a table, a store or a file of features; not part of the run's
            identity.
        data: the data set's name.
        fingerprint: of the data set's content.
        by_group: split by whole groups.
        method: a name in `METHODS`, or "upper-bound".
        fusion: a name in `FUSIONS`.
        objective: "auto" (the method's own, and what the estimator averages with it), "all" (that it has, averaged),
            "joint" or "conditional".
        training: how.
        missing: the modality to remove from training samples, "any", "none", or "labels".
        rate: share of the training samples to remove it from, in [0, 1].
        seed: of the split, of what goes missing, and of the model.
        mechanism: which samples lose it, a name in `MECHANISMS`: "mcar" (at random), "mar" (depending on what remains
            observed), "mnar" (depending on what goes missing), "mnar-label" (depending on the class).
        table: the table of the paper that it belongs to; "" is none.
        extractor: whose features it is trained on there, or "end-to-end".
        visual: what the data calls the modality that the run calls "visual", of which and "audio" alone it learns;
            "" takes all modalities by their own names.
        folder: for checkpoints; not part of the run's identity.
        form: how a table is read; not part of the run's identity, which has the fingerprint of what was read.
    """

    source: str
    data: str
    fingerprint: str
    by_group: bool
    method: str
    fusion: str
    objective: str
    training: Training
    missing: str
    rate: float
    seed: int
    mechanism: str = "mcar"
    table: str = ""
    extractor: str = ""
    visual: str = ""
    folder: str = ""
    form: TableFormat = DETECTED

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", float(self.rate))  # 1 and 1.0 are one run
        if not 0 <= self.rate <= 1:
            raise InputError(f"rate is {self.rate}: expected a share between 0 and 1")

    @property
    def key(self) -> str:
        """Return a name that is the same on every machine: a hash of all that decides the result."""
        identity = {name: value for name, value in asdict(self).items() if name not in ("source", "folder", "form")}
        return sha256_of_json(identity)[:16]

    @property
    def removal(self) -> Removal:
        """Return what is taken away from the training samples: nothing for the upper bound."""
        return Removal() if self.method == UPPER_BOUND else Removal(self.missing, self.rate, self.mechanism)

    @property
    def setting(self) -> str:
        """Return the title without split and seed, such as ``table1 mle, addition, visual missing 95%``."""
        lost = "as it is" if self.missing == NONE else f"{self.missing} missing {self.rate:.0%}"
        method = self.method + (" (joint)" if self.objective == "joint" else "")
        return f"{self.table} {method}, {self.block}, {lost}".strip()

    @property
    def title(self) -> str:
        """Return what progress calls it, and what ``--only`` looks into."""
        split = f", {SPLITS[self.by_group]}" if self.table else ""
        return f"{self.setting}{split}, seed {self.seed}"

    @property
    def block(self) -> str:
        """Return the block of columns that it stands in: its extractor if there is one, its fusion otherwise."""
        return self.fusion if self.extractor in ("", END_TO_END) else self.extractor

    @property
    def kind(self) -> tuple[str, ...]:
        """Return what tells how long it takes, the most telling part first."""
        return self.table, self.method, self.block
