"""Watch the eigenvalues of training dynamics: linearization, Krylov methods, verdicts, probes."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
