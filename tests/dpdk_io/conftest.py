"""Hypothesis without deadlines: the first example of a test compiles its kernels."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")
