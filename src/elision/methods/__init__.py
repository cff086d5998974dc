"""Methods: each turns a batch in which some modalities are missing into log-probabilities of the label."""

from elision.methods.base import Claims, Ingredients, Method, Stage

__all__ = ["Claims", "Ingredients", "Method", "Stage"]
