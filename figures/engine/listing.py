"""The command line of a module that keeps runs by name: list them, or do those missing."""

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
) -> int:
    """List the runs and their states, or do those that are named; return the exit code.

    Runs that are `KEPT` already, or in one of the states to skip, are left out.
    """
    wrong = [name for name in arguments if name not in states and name != ALL]
    if wrong:
        known = ", ".join(states)
        print(f"{program}: no run is called {wrong[0]}; the runs are {known}.", file=sys.stderr)
        return 2
    if not arguments:
        for name, state in states.items():
            print(f"{name:30} {state}")
    for name in states if ALL in arguments else arguments:
        if states[name] not in (KEPT, *skip):
            do(name)
    return 0
