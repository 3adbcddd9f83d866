"""Settings shared by every test: hypothesis profiles, one compilation cache, no network."""

import gc
import os
from pathlib import Path

from lopt.startup import compilation_cache_folder, prune

# That import silences XLA's log, which a test asks for in processes of its own.
if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "3":
    del os.environ["TF_CPP_MIN_LOG_LEVEL"]

# The plain test of a formula must not depend on how many threads BLAS takes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# Every worker, every process that a test starts, and the next run share what JAX has compiled. This
# stands here, and not in a hook, because another conftest may import JAX before any hook is called.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    of_processor = compilation_cache_folder().name
    kept = Path(__file__).parents[1] / ".pytest_cache" / "compiled" / of_processor
    kept.mkdir(parents=True, exist_ok=True)
    prune(kept)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(kept)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# Compiled by XLA's plainer code generator, without optimization and in one piece rather than in 32
# that are compiled at once, the tests' small programs take a quarter of the time. Tests of shipped
# numbers say `compiler_options=SHIPPED` (tests/xla.py).
if os.environ["JAX_PLATFORMS"] == "cpu" and "XLA_FLAGS" not in os.environ:
    os.environ["XLA_FLAGS"] = (
        "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0 "
        "--xla_llvm_disable_expensive_passes=true --xla_cpu_parallel_codegen_split_count=1"
    )

import pytest
from hypothesis import HealthCheck, settings

from tests.tiers import EXTENDED, SLOW_FILES

# What JAX and SymPy make lives long: looking for garbage after every 700 objects finds little.
gc.set_threshold(50_000, 20, 20)

# What a profile leaves out, by marker.
LEFT_OUT = {"default": {"extended", "thorough"}, "extended": {"thorough"}}
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark slow files, put them first, and leave out what the profile does not ask for."""
    root = config.rootpath / "tests"
    if gone := [name for name in (*SLOW_FILES, *EXTENDED) if not (root / file_of(name)).exists()]:
        raise pytest.UsageError(f"tests/tiers.py names files that are gone: {', '.join(gone)}")
    order, extended = {name: i for i, name in enumerate(SLOW_FILES)}, set(EXTENDED)
    names = {item: item.nodeid.removeprefix("tests/") for item in items}
    for item, name in names.items():
        if file_of(name) in order:
            item.add_marker("slow")
        if extended & {name, name.partition("[")[0], file_of(name)}:
            item.add_marker("extended")
    items.sort(key=lambda item: order.get(file_of(names[item]), len(order)))
    out = LEFT_OUT.get(PROFILE, set())
    left = {item for item in items if out & {marker.name for marker in item.iter_markers()}}
    config.hook.pytest_deselected(items=list(left))
    items[:] = [item for item in items if item not in left]


def file_of(name: str) -> str:
    """The file of a test, below tests/."""
    return name.partition("::")[0]


settings.register_profile(
    "default",
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("extended", parent=settings.get_profile("default"))
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=2000)
settings.load_profile(PROFILE)
