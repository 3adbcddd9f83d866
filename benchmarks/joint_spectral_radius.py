"""How often the joint spectral radius is decided, how tight its bounds are, and that none is wrong.

Random sets of seven kinds, scaled so that the best short product lies within 3 % of one, where the
decision is hard. Each answer is checked against long random products. Run:
python -m benchmarks.joint_spectral_radius [SETS]
"""

import os
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
from collections import Counter

import numpy as np

from nqm import JointSpectralRadius, joint_spectral_radius

KINDS = ("gauss", "sparse", "nonnegative", "signs", "low rank", "near rotations", "quadratic")


def random_set(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Two to four matrices of two to six rows, not yet scaled."""
    m, n = int(rng.integers(2, 5)), int(rng.integers(2, 7))
    X = rng.standard_normal((m, n, n))
    if kind == "sparse":
        return X * (rng.random(X.shape) < 0.5)
    if kind == "nonnegative":
        return np.abs(X)
    if kind == "signs":
        return rng.integers(-1, 2, X.shape).astype(float)
    if kind == "low rank":
        return X[:, :, :1] * rng.standard_normal((m, 1, n)) + 0.1 * X
    if kind == "near rotations":
        return np.linalg.qr(X)[0] + 0.1 * rng.standard_normal(X.shape)
    if kind == "quadratic":
        H = np.diag(10 ** -rng.uniform(0, 2, n))
        return np.eye(n) - (rng.uniform(0.1, 1) * np.eye(n) + 0.3 * X) @ H
    return X


def shortest(A: np.ndarray, longest: int) -> float:
    """max over the words up to this length of rho^(1/length)."""
    best, products = 0.0, np.eye(A.shape[1])[None]
    for length in range(1, longest + 1):
        products = (A[None] @ products[:, None]).reshape(-1, *A.shape[1:])
        radii = np.max(np.abs(np.linalg.eigvals(products)), axis=-1)
        best = max(best, float(np.max(radii)) ** (1 / length))
    return best


def longest_growth(rng: np.random.Generator, A: np.ndarray, words: int, length: int) -> float:
    """The largest rho^(1/length) of random words, also of such as repeat a random short one."""
    m, n = len(A), A.shape[1]
    letters = rng.integers(0, m, (words, length))
    for row in letters[::2]:
        short = rng.integers(1, 9)
        row[:] = np.resize(row[:short], length)
    P, logarithm = np.broadcast_to(np.eye(n), (words, n, n)), np.zeros(words)
    best = 0.0
    for t in range(length):
        P = A[letters[:, t]] @ P
        size = np.maximum(np.linalg.norm(P, axis=(1, 2)), 1e-300)
        P, logarithm = P / size[:, None, None], logarithm + np.log(size)
        if (t + 1) % 24 == 0 or t + 1 == length:
            radii = np.max(np.abs(np.linalg.eigvals(P)), axis=1)
            grown = np.log(np.maximum(radii, 1e-300)) + logarithm
            best = max(best, float(np.max(np.exp(grown / (t + 1)), where=radii > 0, initial=0.0)))
    return best


def contradiction(rng: np.random.Generator, A: np.ndarray, found: JointSpectralRadius) -> str:
    """What the answer gets wrong, if anything."""
    seen = longest_growth(rng, A, 40, 120)
    if seen > found.upper * (1 + 1e-9):
        return f"a product grows by {seen} a step, above the bound {found.upper}"
    product_ = np.eye(A.shape[1])
    for i in found.word:
        product_ = A[i] @ product_
    radius = float(np.max(np.abs(np.linalg.eigvals(product_)))) ** (1 / len(found.word))
    if found.lower > radius * (1 + 1e-7):
        return f"the word has {radius}, below the bound {found.lower}"
    if found.status == "certified" and seen > 1 + 1e-9:
        return f"certified, though a product grows by {seen} a step"
    if found.status == "refuted" and radius < 1 - 1e-9:
        return f"refuted by a word that has {radius}"
    return ""


def sets(rng: np.random.Generator, count: int) -> list[tuple[str, np.ndarray]]:
    """Sets of every kind in turn, scaled to the edge."""
    made = []
    for kind, _ in zip((KINDS[i % len(KINDS)] for i in range(count)), range(count), strict=True):
        A = random_set(rng, kind)
        best = shortest(A, 5)
        scale = 1.0 if kind == "quadratic" or best < 1e-3 else rng.uniform(0.97, 1.03) / best
        made.append((kind, scale * A))
    return made


def main() -> None:
    """Print, for each kind, the answers, quantiles of the gap and the processor time."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 140
    rng = np.random.default_rng(0)
    rows: dict[str, list[tuple[str, float, str]]] = {kind: [] for kind in KINDS}
    spent, wrong = dict.fromkeys(KINDS, 0.0), 0
    for kind, A in sets(rng, count):
        start = time.process_time()
        found = joint_spectral_radius(A)
        spent[kind] += time.process_time() - start
        rows[kind].append((found.status, found.gap / found.upper, found.upper_by))
        said = contradiction(rng, A, found)
        wrong += bool(said)
        if said:
            print(f"WRONG, {kind}: {said}\n{A.tolist()}")
    print(f"{'kind':<16}{'sets':>6}{'certified':>11}{'refuted':>9}{'unknown':>9}", end="")
    print(f"{'median gap':>12}{'95 %':>9}{'largest':>9}{'s/set':>7}")
    for kind, found_rows in rows.items():
        status = Counter(row[0] for row in found_rows)
        gaps = np.quantile([row[1] for row in found_rows], [0.5, 0.95, 1.0])
        counts = "".join(f"{status[s]:>{w}}" for s, w in zip(STATUSES, (11, 9, 9), strict=True))
        times = f"{gaps[0]:>12.0e}{gaps[1]:>9.0e}{gaps[2]:>9.0e}"
        print(f"{kind:<16}{len(found_rows):>6}{counts}{times}{spent[kind] / len(found_rows):>7.2f}")
    by = Counter(row[2] for found_rows in rows.values() for row in found_rows)
    print("upper bounds by " + "; ".join(f"{name} ({n})" for name, n in by.most_common()))
    print(f"{count} sets, {wrong} wrong answers")


STATUSES = ("certified", "refuted", "unknown")

if __name__ == "__main__":
    main()
