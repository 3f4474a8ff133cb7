"""A plot of a few points as SVG, with a logarithmic horizontal axis."""

import math
from collections.abc import Sequence
from typing import TypeAlias
from xml.sax.saxutils import escape

Point: TypeAlias = tuple[int, float]

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 20, 50
INK, LINE = "#767676", "#2f81f7"


def plot(x_name: str, y_name: str, points: Sequence[Point]) -> str:
    """Return an SVG document with the points, a line through them, and the value beside each."""
    low, high = math.log10(points[0][0]), math.log10(points[-1][0])
    top = max(y for _, y in points) * 1.15

    def place(x: float, y: float) -> tuple[float, float]:
        along = (math.log10(x) - low) / ((high - low) or 1)
        return LEFT + along * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)

    places = [place(*point) for point in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    font = f'font-family="sans-serif" font-size="12" fill="{INK}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {font}>',
        f'<path d="M{LEFT},{TOP} V{HEIGHT - BOTTOM} H{WIDTH - RIGHT}" fill="none" stroke="{INK}"/>',
        f'<polyline points="{line}" fill="none" stroke="{LINE}" stroke-width="2"/>',
    ]
    for (x, y), (across, down) in zip(points, places, strict=True):
        parts += [
            f'<circle cx="{across:.1f}" cy="{down:.1f}" r="3.5" fill="{LINE}"/>',
            f'<text x="{across:.1f}" y="{down - 9:.1f}" text-anchor="middle">{y:.3g}</text>',
            f'<text x="{across:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:,}</text>',
        ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts += [
        f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x_name)}</text>',
        f'<text x="{-HEIGHT / 2}" y="18" transform="rotate(-90)" text-anchor="middle">{escape(y_name)}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
