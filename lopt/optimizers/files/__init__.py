"""Meta-parameters in files: saved, shipped with the package, released by the authors."""
