"""What every command does before its work: XLA's log, and the cache of what XLA has compiled.

Importing this module before JAX silences XLA's log but for fatal errors: XLA reports a compilation
that takes long as an error, while whatever goes wrong also arrives as an exception.
"""

import hashlib
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Beyond so many bytes the oldest half of the cache is deleted.
MOST_BYTES = 2**30


def use_compilation_cache() -> Path | None:
    """Keep what XLA compiles between processes; return the folder, None where nothing is kept.

    JAX's own settings come first: ``JAX_COMPILATION_CACHE_DIR`` names another folder, and
    ``JAX_ENABLE_COMPILATION_CACHE=false`` switches the cache off. A folder that cannot be written
    is no error. Call this before anything is compiled.
    """
    import jax

    config: Any = jax.config  # whose settings its type does not know
    if not config.jax_enable_compilation_cache:
        return None
    if config.jax_compilation_cache_dir is not None:
        return Path(config.jax_compilation_cache_dir)
    folder = compilation_cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        prune(folder)
    except OSError:
        return None
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # The hundred small functions of a command take two seconds to compile together.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return folder


def compilation_cache_folder() -> Path:
    """The folder for this kind of processor in the user's cache: ``$XDG_CACHE_HOME/nqm-lopt``,
    ``~/.cache/nqm-lopt``, or ``~/Library/Caches/nqm-lopt`` on macOS.

    Machine code for one processor need not run on another that shares the home folder.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    usual = "Library/Caches" if sys.platform == "darwin" else ".cache"
    # Without a home folder, "~" itself is a relative path, which cannot be meant.
    home = given if given.is_absolute() else Path(os.path.expanduser("~")) / usual
    kind = hashlib.sha256(_processor().encode()).hexdigest()[:12]
    return home / "nqm-lopt" / "compiled" / kind


def prune(folder: Path, most: int = MOST_BYTES) -> None:
    """Delete the oldest files where there are more than `most` bytes, until half of that is left.

    Another process may do the same at the same time.
    """
    files = []
    for entry in os.scandir(folder):
        with suppress(OSError):
            found = entry.stat()
            files.append((found.st_mtime, found.st_size, entry.path))
    total = sum(size for _, size, _ in files)
    if total <= most:
        return
    for _, size, path in sorted(files):
        if total <= most // 2:
            break
        with suppress(OSError):
            os.unlink(path)
        total -= size


def _processor() -> str:
    """The architecture and, where Linux tells them, the instructions of the processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.partition(":")[0].strip() in ("flags", "Features"):
                return f"{platform.machine()} {line}"
    return f"{platform.machine()} {platform.processor()}"
