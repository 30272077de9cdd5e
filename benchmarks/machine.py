"""What a benchmark ran on, in one line."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import llvmlite
import numba
import numpy

from dpdk_io.shim import version


def machine() -> str:
    """Processor, cores, versions."""
    versions = f"Python {platform.python_version()}, numba {numba.__version__}, llvmlite {llvmlite.__version__}"
    kernel = f"Linux {platform.release().split('-')[0]}"
    return f"{_processor()}, {os.cpu_count()} cores; {kernel}, DPDK {version()}, {versions}, numpy {numpy.__version__}"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
