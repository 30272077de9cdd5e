"""What can go wrong, as the user is told it.

    TeError                 every error of the project; `exit_code` 1: a run that failed
      UsageError            the user's to mend, refused before anything starts; `exit_code` 2
        DeviceError         a device, DPDK itself, its headers, hugepages or permissions

`pipeline.PipelineError` and `apps.config.ConfigError` are UsageErrors too. The message is one line: the cause, then the remedy.
"""

from __future__ import annotations


class TeError(Exception):
    """A run that failed."""

    exit_code = 1


class UsageError(TeError):
    """Something the user can mend: the message names the cause and the remedy in one line."""

    exit_code = 2


class DeviceError(UsageError):
    """A device that cannot be opened, or what it needs is missing."""
