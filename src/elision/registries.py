"""The parts that are chosen by name. An entry is imported when it is used: names alone cost no torch.

A new part takes one line here. The command's help, the checks of a choice, the contract tests and the tables of the
documentation and the reports come from these mappings.
"""

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from elision.data.dataset import Dataset
    from elision.data.layouts.found import Layout
    from elision.data.missing import Mechanism
    from elision.encoders import Encoder
    from elision.fusion import Fusion
    from elision.media.image import Crop
    from elision.methods.base import Method
    from elision.parallel import Engine

Part = TypeVar("Part")


class Registry(MutableMapping[str, Part], Generic[Part]):
    """A mapping from names to parts, each given as itself or as the ``module:attribute`` that holds it.

    Example:
        >>> Registry({"root": "math:sqrt"})["root"](9)
        3.0
    """

    def __init__(self, entries: Mapping[str, Part | str]) -> None:
        self._entries: dict[str, Any] = dict(entries)

    def __getitem__(self, name: str) -> Part:
        entry = self._entries[name]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = self._entries[name] = getattr(import_module(module), attribute)
        return entry

    def __setitem__(self, name: str, part: Part | str) -> None:
        self._entries[name] = part

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def where(self, name: str) -> str:
        """Return the ``module:attribute`` of a part."""
        entry = self._entries[name]
        return entry if isinstance(entry, str) else f"{entry.__module__}:{entry.__qualname__}"

    def doc(self, name: str) -> str:
        """Return the docstring of a part, read from its file where it is not imported yet."""
        entry = self._entries[name]
        if not isinstance(entry, str):
            return inspect.getdoc(entry) or ""
        module, _, attribute = entry.partition(":")
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"no module named {module!r}, where {name!r} should be", name=module)
        body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
        parts = [node for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == attribute]
        return (ast.get_docstring(parts[0]) or "") if parts else ""

    def __repr__(self) -> str:
        return f"Registry({', '.join(self._entries)})"


METHODS: Registry["type[Method]"] = Registry(
    {
        "mle": "elision.methods.mle:MaximumLikelihood",
        "lower-bound": "elision.methods.lower_bound:LowerBound",
        "zero-padding": "elision.methods.zero_padding:ZeroPadding",
        "hgr": "elision.methods.hgr:HGR",
        "ae1": "elision.methods.autoencoder:AE1",
        "ae2": "elision.methods.autoencoder:AE2",
        "mean-imputation": "elision.methods.mean_imputation:MeanImputation",
        "modality-dropout": "elision.methods.modality_dropout:ModalityDropout",
        "late-fusion": "elision.methods.late_fusion:LateFusion",
    }
)
"""name -> class."""

FUSIONS: Registry["type[Fusion]"] = Registry(
    {
        "addition": "elision.fusion:Addition",
        "concatenation": "elision.fusion:Concatenation",
        "outer-product": "elision.fusion:OuterProduct",
    }
)
"""name -> class."""

ENCODERS: Registry["Callable[..., Encoder]"] = Registry(
    {"kernel": "elision.encoders:kernel", "mlp": "elision.encoders:mlp", "linear": "elision.encoders:linear"}
)
"""Encoders of numbers: name -> a function of (shape of a row, number of observed training rows, k)."""

NETWORKS: Registry[Callable[..., Any]] = Registry(
    {
        "resnet18": "elision.vision:residual",
        "resnet34": "elision.vision:residual",
        "resnet50": "elision.vision:residual",
        "vgg16": "elision.vision:vgg",
        "small-cnn": "elision.vision:small",
        "mlp": "elision.vision:perceptron",
    }
)
"""Encoders of frames, spectrograms and numbers that are trained end to end: name -> a function of (name, shape of a
row, channels, weights) that gives the backbone, a module whose ``n_outputs`` says how many numbers it gives a row."""

DATASETS: Registry["Callable[[], Dataset]"] = Registry({"digits": "elision.data.digits:digits"})
"""Data sets that Elision carries: name -> a function that returns a `Dataset`."""

LAYOUTS: Registry["Layout"] = Registry(
    {
        "ravdess": "elision.data.layouts.ravdess:ravdess",
        "enterface05": "elision.data.layouts.enterface05:enterface05",
        "folders": "elision.data.layouts.folders:folders",
        "manifest": "elision.data.layouts.listed:listed",
    }
)
"""How recordings lie in a folder or are listed in a table: name -> a function of (source, options). Its docstring is
its part of `elision prepare --help`: which names it reads, where the data comes from."""

MECHANISMS: Registry["Mechanism"] = Registry(
    {
        "mcar": "elision.data.missing:at_random",
        "mar": "elision.data.missing:on_the_others",
        "mnar": "elision.data.missing:on_itself",
        "mnar-label": "elision.data.missing:on_the_label",
    }
)
"""Which training samples lose a modality: name -> a function that says how readily each sample loses it."""

CROPS: Registry["Crop"] = Registry({"face": "elision.media.faces:face"})
"""What is cut out of pictures: name -> a function of a picture that returns a box, or None for all of it."""

ENGINES: Registry["Engine"] = Registry(
    {"local": "elision.parallel.processes:locally", "ray": "elision.parallel.cluster:on_ray"}
)
"""How tasks are carried out: name -> a function of (tasks, function, placing, tell)."""
