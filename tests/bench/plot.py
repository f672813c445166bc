"""A line plot as SVG: x logarithmic, one line an arm, with intervals."""

import html
import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 420, 70, 130, 40, 55
COLOURS = ("#1b6ca8", "#c1440e", "#2e7d32", "#6a1b9a", "#555555", "#b8860b")


def nice_step(span):
    """A step of 1, 2 or 5 times a power of ten that parts `span` into some five."""
    raw = span / 5
    power = 10 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)


class Plot:
    """The frame, its axes, and what is drawn in it. `xs` are the places on the x axis, all above 0."""

    def __init__(self, title, x_words, y_words, xs, top):
        self.xs, self.step = xs, nice_step(top)
        self.top = math.ceil(top / self.step) * self.step
        self.parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
                      'font-family="sans-serif" font-size="13">',
                      f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
        self.text(WIDTH / 2, 22, title, size=15)
        self.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_words)
        self.text(18, (TOP + HEIGHT - BOTTOM) / 2, y_words, turn=True)
        self.axes()

    def x(self, value):
        low, high = math.log(self.xs[0]), math.log(self.xs[-1])
        return LEFT + (math.log(value) - low) / ((high - low) or 1) * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        return HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)

    def text(self, x, y, words, anchor="middle", size=13, turn=False):
        turned = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turn else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{turned}>'
                          f"{html.escape(words)}</text>")

    def line(self, x1, y1, x2, y2, colour="#cccccc"):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>')

    def axes(self):
        for number in range(round(self.top / self.step) + 1):
            value = number * self.step
            self.line(LEFT, self.y(value), WIDTH - RIGHT, self.y(value))
            self.text(LEFT - 8, self.y(value) + 4, f"{value:g}", anchor="end")
        for value in self.xs:
            self.line(self.x(value), HEIGHT - BOTTOM, self.x(value), HEIGHT - BOTTOM + 5, "#333333")
            self.text(self.x(value), HEIGHT - BOTTOM + 20, f"{value:,}")

    def draw(self, number, name, points):
        """points: [(x, median, [low, high])]"""
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y, _ in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y, (low, high) in points:
            self.line(self.x(x), self.y(low), self.x(x), self.y(high), colour)
            self.parts.append(f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="3.5" fill="{colour}"/>')
        legend = TOP + 12 + 20 * number
        self.line(WIDTH - RIGHT + 12, legend, WIDTH - RIGHT + 36, legend, colour)
        self.text(WIDTH - RIGHT + 42, legend + 4, name, anchor="start")

    def svg(self):
        return "\n".join([*self.parts, "</svg>"]) + "\n"


def growth(found):
    """The plot of growth.run()'s answer; None where nothing is to be drawn."""
    lines = {name: [(x, figure["median"], figure["interval"]) for x, figure in zip(found["steps"], figures) if figure]
             for name, figures in found["arms"].items()}
    highest = max((high for points in lines.values() for _, _, (_, high) in points), default=0)
    if not highest:
        return None
    all_of_it = [figure for figures in found["arms"].values() for figure in figures if figure]
    bars = "95 % intervals" if all(figure["confident"] for figure in all_of_it) else "least and greatest"
    plot = Plot(f"CPU a session by sessions open at once, with {bars}", "sessions open at once", "CPU a session, us",
                found["steps"], highest)
    for number, (name, points) in enumerate(lines.items()):
        if points:
            plot.draw(number, name, points)
    return plot.svg()
