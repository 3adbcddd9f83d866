"""The version of lopt, which is distributed together with nqm."""

from nqm.version import __version__ as __version__
