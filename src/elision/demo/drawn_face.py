"""A drawn face: what belongs to its owner, and what it says."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SIZE = 96
"""Pixels a side."""


@dataclass(frozen=True)
class Speaker:
    """A person: what belongs to a face and a voice and says nothing of an emotion.

    Args:
        skin, hair, shirt, background: RGB.
        x, y: the face's centre, shares of the picture.
        scale: of the face.
        pitch: base frequency, Hz.
        volume: share of full scale.
    """

    skin: tuple[int, int, int]
    hair: tuple[int, int, int]
    shirt: tuple[int, int, int]
    background: tuple[int, int, int]
    x: float
    y: float
    scale: float
    pitch: float
    volume: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Speaker":
        """Draw a person at random: looks, place in the picture and voice."""
        light, dark = rng.uniform(0.42, 0.95), rng.uniform(0.15, 0.75)
        skin = tuple(int(c * light) for c in (250, 205, 172))
        hair = tuple(int(c * dark) for c in rng.uniform((150, 100, 50), (225, 165, 120)))
        shirt, background = (tuple(int(c) for c in rng.integers(low, 225, 3)) for low in (40, 90))
        x, y = rng.uniform(0.48, 0.52), rng.uniform(0.47, 0.51)
        size, pitch, volume = rng.uniform(0.93, 1.07), rng.uniform(115, 210), rng.uniform(0.16, 0.24)
        return cls(skin, hair, shirt, background, x, y, size, pitch, volume)


def draw_face(speaker: Speaker, face: np.ndarray, moved: np.ndarray, talking: float, closed: bool) -> np.ndarray:
    """One picture, drawn four times as large and reduced.

    Args:
        speaker: whose face.
        face: brows up, brows slant, corners of the mouth up, mouth open; about -1 to 1, shape (4,).
        moved: of the whole face, shares of the picture, shape (2,).
        talking: how far a syllable opens the mouth, in [0, 1].
        closed: the eyes.

    Returns:
        Float, 0 to 255, shape (96, 96, 3).
    """
    from PIL import Image, ImageDraw

    big = 4 * SIZE
    image = Image.new("RGB", (big, big), speaker.background)
    canvas = ImageDraw.Draw(image)
    unit = big * 0.36 * speaker.scale
    cx, cy = (speaker.x + moved[0]) * big, (speaker.y + moved[1]) * big

    def box(x: float, y: float, width: float, height: float) -> list[float]:
        x, y = cx + x * unit, cy + y * unit
        return [x - width * unit, y - height * unit, x + width * unit, y + height * unit]

    def line(points: list[tuple[float, float]], colour: tuple[int, ...], width: float) -> None:
        dots = [(cx + x * unit, cy + y * unit) for x, y in points]
        canvas.line(dots, fill=colour, width=round(width * unit), joint="curve")
        for x, y in (dots[0], dots[-1]):
            r = width * unit / 2
            canvas.ellipse([x - r, y - r, x + r, y + r], fill=colour)

    shade = tuple(int(c * 0.8) for c in speaker.skin)
    canvas.ellipse(box(0, 2.3, 1.45, 1.05), fill=speaker.shirt)
    canvas.rectangle(box(0, 1.15, 0.32, 0.4), fill=shade)
    canvas.ellipse(box(0, -0.22, 1.0, 1.18), fill=speaker.hair)
    for side in (-1, 1):
        canvas.ellipse(box(0.93 * side, 0.05, 0.14, 0.22), fill=shade)
    canvas.ellipse(box(0, 0.08, 0.9, 1.12), fill=speaker.skin)
    canvas.pieslice(box(0, -0.3, 0.92, 0.86), 200, 340, fill=speaker.hair)
    _eyes(canvas, box, line, speaker, face, closed)
    line([(-0.03, 0.1), (-0.09, 0.34), (0.07, 0.36)], shade, 0.06)
    _mouth(canvas, cx, cy, unit, face, talking)
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX), dtype=np.float64)


def _eyes(canvas, box: Callable, line: Callable, speaker: Speaker, face: np.ndarray, closed: bool) -> None:
    up, slant = 0.13 * face[0], 0.13 * face[1]
    brow = tuple(int(c * 0.6) for c in speaker.hair)
    opened = 0.02 if closed else float(np.clip(0.13 + 0.05 * face[0], 0.05, 0.24))
    for side in (-1, 1):
        canvas.ellipse(box(0.38 * side, -0.06, 0.19, opened), fill=(250, 250, 248))
        if not closed:
            canvas.ellipse(box(0.38 * side, -0.06, 0.09, min(0.1, opened)), fill=(40, 32, 28))
        inner, middle, outer = (0.16, -0.36 - up - slant), (0.4, -0.43 - up), (0.62, -0.35 - up + slant)
        line([(side * x, y) for x, y in (inner, middle, outer)], brow, 0.1)


def _mouth(canvas, cx: float, cy: float, unit: float, face: np.ndarray, talking: float) -> None:
    """Lips between two parabolas through the corners; open further as a syllable sounds."""
    corners = 0.13 * float(np.clip(face[2], -1.6, 1.6))
    gap = float(np.clip(0.1 + 0.12 * face[3], 0.0, 0.4)) + 0.09 * talking
    half = 0.36 + 0.05 * float(np.clip(face[2], -1, 1)) - 0.06 * float(np.clip(face[3], -1, 1))
    x = np.linspace(-1, 1, 25)
    bend = corners * (1 - 2 * x**2)  # the middle goes down as the corners go up
    upper, lower = 0.66 + bend - gap * (1 - x**2) / 2, 0.66 + bend + gap * (1 - x**2) / 2 + 0.015

    def at(y: np.ndarray) -> list[tuple[float, float]]:
        return [(cx + half * a * unit, cy + b * unit) for a, b in zip(x, y, strict=True)]

    canvas.polygon(at(upper) + at(lower)[::-1], fill=(84, 26, 30))
    for edge in (upper, lower):
        canvas.line(at(edge), fill=(176, 68, 72), width=round(0.075 * unit), joint="curve")
