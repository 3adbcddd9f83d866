"""The version of the installed distribution, which holds nqm and lopt."""

from importlib.metadata import PackageNotFoundError, version

try:
    #: The version of nqm and lopt; ``0+unknown`` in a checkout that is not installed.
    __version__ = version("nqm-lopt")
except PackageNotFoundError:
    __version__ = "0+unknown"
