"""Settings shared by every test: hypothesis profiles, one compilation cache, no network."""

import atexit
import os
import shutil
import tempfile

# The plain test of a formula must not depend on how many threads BLAS takes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# Every worker, and every process that a test starts, shares what JAX has compiled. This stands
# here, and not in a hook, because another conftest may import JAX before any hook is called.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    folder = tempfile.mkdtemp(prefix="lopt-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

# Compiled by XLA's plainer code generator and without optimization, the tests' small programs take
# a third of the time. Tests of shipped numbers say `compiler_options=SHIPPED` (tests/xla.py).
if os.environ["JAX_PLATFORMS"] == "cpu" and "XLA_FLAGS" not in os.environ:
    os.environ["XLA_FLAGS"] = (
        "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0 "
        "--xla_llvm_disable_expensive_passes=true"
    )

import pytest
from hypothesis import HealthCheck, settings

# Workers take whole files (`--dist loadfile`), the longest first, so that they end together.
LONGEST = (
    "test_star_response.py",
    "test_notebooks.py",
    "test_durability.py",
    "test_inspect.py",
    "test_processes.py",
    "test_contract.py",
    "test_lopt_command.py",
    "test_linearize.py",
    "test_parity.py",
    "test_sharding.py",
    "test_pages.py",
    "test_estimators.py",
    "test_site.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest files first; leave out what is thorough unless the profile is."""
    if os.environ.get("HYPOTHESIS_PROFILE") != "thorough":
        left = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
