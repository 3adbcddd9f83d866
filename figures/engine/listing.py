"""The command line of a module that keeps results by name: list them, or do what is missing."""

import sys
from collections.abc import Callable, Mapping, Sequence

KEPT = "kept"
ALL = "--all"


def main(
    program: str,
    arguments: Sequence[str],
    states: Mapping[str, str],
    do: Callable[[str], None],
    skip: Sequence[str] = (),
    nothing: str = "nothing",
) -> int:
    """List the names and their states, or do those asked for; return the exit code.

    What is `KEPT` already, or in one of the states to skip, is not done.
    """
    wrong = [name for name in arguments if name not in states and name != ALL]
    if wrong:
        print(f"{program}: {nothing} is called {wrong[0]}; all are {', '.join(states)}.",
              file=sys.stderr)  # fmt: skip
        return 2
    if not arguments:
        for name, state in states.items():
            print(f"{name:30} {state}")
    for name in states if ALL in arguments else arguments:
        if states[name] not in (KEPT, *skip):
            do(name)
    return 0
