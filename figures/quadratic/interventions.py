"""Figure 1: how nominal term, weight decay and preconditioning move the eigenvalues of A."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from figures.engine.figure import Data, Figure
from figures.engine.store import rounded
from figures.engine.style import BLUE, GREY, ORANGE, plt, unit_circle, use_style
from nqm import update_matrix

CONFIG: dict[str, Any] = {
    "seed": 3478,
    "dimension": 6,
    "hessian_eigenvalues": [0.3, 2.0],
    "preconditioner_mean": 0.42,
    "preconditioner_spread": 0.42,
    "nominal_step": 0.5,
    "weight_decay": 0.5,
    "preconditioning": 1.0,
    "strengths": 101,
}
# For each panel: whether nominal step, weight decay and preconditioning grow with the strength.
PANELS = {
    "nominal term": (1, 0, 0),
    "weight decay": (0, 1, 0),
    "preconditioning": (0, 0, 1),
    "all three": (1, 1, 1),
}
INSIDE = 1 + 1e-9


def problem() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return H, with logarithmically spaced eigenvalues in a random basis, and a random P."""
    rng, n = np.random.default_rng(CONFIG["seed"]), CONFIG["dimension"]
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    low, high = CONFIG["hessian_eigenvalues"]
    H = (Q * np.geomspace(low, high, n)) @ Q.T
    noise = rng.standard_normal((n, n))
    P = CONFIG["preconditioner_mean"] * np.eye(n) + CONFIG["preconditioner_spread"] * noise
    return (H + H.T) / 2, P


def intervened(panel: str, strength: float) -> NDArray[np.float64]:
    """A = I - H^(-s/2) (alpha I + (1 - w) P) H: (6) at s = 0, (12) at s = 1."""
    H, P = problem()
    names = ("nominal_step", "weight_decay", "preconditioning")
    pairs = zip(PANELS[panel], names, strict=True)
    alpha, w, s = (strength * on * CONFIG[name] for on, name in pairs)
    h, vectors = np.linalg.eigh(H)
    power = (vectors * h ** (-s / 2)) @ vectors.T
    M = power @ (alpha * np.eye(len(H)) + (1 - w) * P)
    return update_matrix(H, M, 0.0)


def compute(panel: str) -> Any:
    """Compute the eigenvalues over the strength, each traced from one strength to the next."""
    paths = [np.sort_complex(np.linalg.eigvals(intervened(panel, 0.0)))]
    for strength in np.linspace(0, 1, CONFIG["strengths"])[1:]:
        found = np.linalg.eigvals(intervened(panel, float(strength)))
        distance = np.abs(paths[-1][:, None] - found)
        paths.append(found[linear_sum_assignment(distance)[1]])
    values = np.array(paths)
    return rounded(
        {
            "real": values.real.T,
            "imaginary": values.imag.T,
            "radius": [np.abs(v).max() for v in (values[0], values[-1])],
            "outside": [int(np.sum(np.abs(v) > INSIDE)) for v in (values[0], values[-1])],
        },
        4,
    )


def draw(data: Data) -> Any:
    """Draw a panel for each intervention, with arrows from circles to crosses."""
    use_style()
    figure, axes = plt.subplots(2, 2, figsize=(6.6, 4.5), sharex=True, sharey=True)
    left = min(np.min(panel["real"]) for panel in data.values()) - 0.2
    right = max(np.max(panel["real"]) for panel in data.values()) + 0.25
    height = 0.2 + max(1.0, *(np.abs(panel["imaginary"]).max() for panel in data.values()))
    for letter, place, (name, panel) in zip("abcd", axes.flat, data.items(), strict=True):
        unit_circle(place)
        _paths(place, np.array(panel["real"]), np.array(panel["imaginary"]))
        before, after = panel["outside"]
        place.set_title(f"({letter}) {name}: {before} outside → {after}")
        place.set(xlim=(left, right), ylim=(-height, height))
    for place in axes[1]:
        place.set_xlabel("real part")
    for place in axes[:, 0]:
        place.set_ylabel("imaginary part")
    _words(axes[0, 0])
    figure.tight_layout(w_pad=1.5, h_pad=1.5)
    return figure


def _paths(axes: Any, x: NDArray[Any], y: NDArray[Any]) -> None:
    for real, imaginary in zip(x, y, strict=True):
        axes.plot(real, imaginary, color=GREY, lw=0.9, zorder=2)
        _arrow(axes, real, imaginary)
    axes.scatter(x[:, 0], y[:, 0], s=34, facecolors="white", edgecolors=ORANGE, lw=1.6, zorder=4)
    axes.scatter(x[:, -1], y[:, -1], s=34, marker="x", color=BLUE, lw=1.9, zorder=5)


def _arrow(axes: Any, x: NDArray[Any], y: NDArray[Any]) -> None:
    """Draw an arrowhead near the middle of the path if the path is long enough."""
    along = np.r_[0, np.cumsum(np.hypot(np.diff(x), np.diff(y)))]
    if along[-1] < 0.22:
        return
    middle = int(np.searchsorted(along, 0.6 * along[-1]))
    back = int(np.searchsorted(along, 0.6 * along[-1] - 0.03))
    axes.annotate(
        "", (x[middle], y[middle]), xytext=(x[min(back, middle - 1)], y[min(back, middle - 1)]),
        arrowprops={"arrowstyle": "-|>", "color": GREY, "lw": 0, "mutation_scale": 11}, zorder=3,
    )  # fmt: skip


def _words(axes: Any) -> None:
    for height, text, colour in ((0.98, "○ before", ORANGE), (0.86, "× after", BLUE)):
        axes.text(0.02, height, text, color=colour, transform=axes.transAxes, va="top")
    axes.annotate(
        "unit circle:\nstable inside", (-0.75, -0.66), xytext=(-2.5, -1.05), color=GREY, fontsize=8,
        arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.7},
    )  # fmt: skip


def caption(data: Data) -> str:
    """Describe the picture, the paper's figure, and the differences."""
    nominal, decay, precondition, together = data.values()
    real, imaginary = (np.array(nominal[key]) for key in ("real", "imaginary"))
    height, spread = np.abs(imaginary).max(axis=0), np.ptp(np.array(precondition["real"]), axis=0)
    return f"""
**Seen.** In this example no intervention suffices alone, but all three together stabilize it. The
eigenvalues of A = I - H^(-s/2) (α I + (1 - w) P) H, with N = {CONFIG["dimension"]}, move from the
orange circles to the blue crosses as an intervention grows from nothing to full strength: the
nominal step to α = {CONFIG["nominal_step"]}, weight decay to w = {CONFIG["weight_decay"]}, and
preconditioning to s = {CONFIG["preconditioning"]:g}, which is (12). At the start
{nominal["outside"][0]} eigenvalues lie outside the unit circle, and the spectral radius is
{nominal["radius"][0]:.2f}. Alone, the nominal term leaves {nominal["outside"][1]} outside, weight
decay {decay["outside"][1]}, preconditioning {precondition["outside"][1]}; at the same strengths all
three together leave {together["outside"][1]}, with radius {together["radius"][1]:.2f}.

**Paper.** Figure 1 sketches the same four panels without values for H, P or the strengths. The
panels here are computed: H has eigenvalues from {CONFIG["hessian_eigenvalues"][0]} to
{CONFIG["hessian_eigenvalues"][1]:g}, and P is random with a seed that was chosen so that no
intervention suffices alone.

**Differs.** (a) The nominal term lowers the mean of the real parts by exactly α tr H / N, here
{real[:, 0].mean() - real[:, -1].mean():.2f}. It moves eigenvalues closer to the real line only
because H is not a multiple of I; if H = I, it shifts all of them by α and changes no imaginary
part. Here the largest imaginary part goes from {height[0]:.2f} to {height[-1]:.2f}. With this P and
only the nominal term, no α is stable: a large nominal step pushes eigenvalues out on the left. (b)
Weight decay moves every eigenvalue towards 1 along a straight line, so a real eigenvalue above 1
stays above 1 until P vanishes. (c) Preconditioning changes the width of the real parts from
{spread[0]:.2f} to {spread[-1]:.2f}; since det P < 0, one eigenvalue is above 1 for every s.
"""


FIGURE = Figure(
    name="fig1",
    title="Figure 1: what three interventions do to the eigenvalues",
    seen="Four panels of eigenvalues and the unit circle: each intervention alone leaves some "
    "outside, all three together leave none",
    config=CONFIG,
    parts=tuple(PANELS),
    compute=compute,
    draw=draw,
    caption=caption,
)
