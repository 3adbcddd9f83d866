"""The paper's statements proved, corrected or refuted in SymPy, and sharper ones.

`python -m theory` prints the table, `python -m theory theorem-1` one proof, `python -m theory
--markdown` the errata. In Python:

>>> from theory.catalogue import find
>>> theorem = find("theorem-1")
>>> theorem.status.value, all(step.holds is not False for step in theorem.prove().steps)
('false as printed', True)
"""
