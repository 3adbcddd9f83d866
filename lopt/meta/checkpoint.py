"""Checkpoints under the path that earlier versions documented; see `lopt.meta.run.checkpoint`."""

from lopt.meta.run.checkpoint import read_checkpoint, write_checkpoint

__all__ = ["read_checkpoint", "write_checkpoint"]
