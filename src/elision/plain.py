"""Dataclasses as the plain values of JSON, and back by the types that they declare."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


def plain(value: Any) -> Any:
    """Return a dataclass as a mapping: what `json.dumps` calls for a value that it does not know."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"an object of type {type(value).__name__} is not JSON")


def revived(kind: Any, value: Any) -> Any:
    """Return plain values as the type that was written: a dataclass, or whatever its fields are declared to be.

    Raises:
        TypeError: the values are not of that type; the message says which.

    Example:
        >>> revived(tuple[float, ...], [1, 0.5])
        (1.0, 0.5)
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _dataclass(kind, value)
    if origin in (Union, UnionType):
        return (
            None if value is None and NoneType in inner else revived(next(k for k in inner if k is not NoneType), value)
        )
    if origin is tuple and isinstance(value, list):
        kinds = [inner[0]] * len(value) if inner[-1] is ... else inner
        return tuple(revived(k, v) for k, v in zip(kinds, value, strict=True))
    if origin in (list, Sequence) and isinstance(value, list):
        return [revived(inner[0], v) for v in value]
    if origin in (dict, Mapping) and isinstance(value, dict):
        return {name: revived(inner[1], v) for name, v in value.items()}
    if kind is float and type(value) is int:
        return float(value)
    if kind in (str, int, float, bool, NoneType) and type(value) is kind:
        return value
    raise TypeError(f"{value!r:.60} is no {getattr(kind, '__name__', kind)}")


def _dataclass(kind: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.60} is no {kind.__name__}")
    hints, names = get_type_hints(kind), {f.name for f in fields(kind)}
    unknown = set(value) - names
    if unknown:
        raise TypeError(f"{kind.__name__} has no {min(unknown)!r}")
    return kind(**{name: revived(hints[name], v) for name, v in value.items()})
