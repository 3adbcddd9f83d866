"""The paper's statements proved, corrected or refuted in SymPy."""
