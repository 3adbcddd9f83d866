"""How long `nqm --help` takes, as a ratio to `python -c 'import numpy'`.

    python -m benchmarks.nqm_help [--repeats K]

Target: at most 2.5. The two take turns; each time is the median of K.
"""

import argparse
import statistics
import subprocess
import sys
import time


def seconds(command: list[str]) -> float:
    """The wall-clock time of one run."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    """Print the ratio; the exit code is 1 if it misses the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    numpy, ours = [], []
    for _ in range(repeats):
        numpy.append(seconds([sys.executable, "-c", "import numpy"]))
        ours.append(seconds([sys.executable, "-m", "nqm", "--help"]))
    base, mine = statistics.median(numpy), statistics.median(ours)
    ratio = mine / base
    print(f"nqm --help {mine:.3f} s, import numpy {base:.3f} s, ratio {ratio:.2f}, target 2.5")
    return int(ratio > 2.5)


if __name__ == "__main__":
    sys.exit(main())
