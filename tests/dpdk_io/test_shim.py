"""Building the shim, and each thing that may be missing for it."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from dpdk_io import shim
from dpdk_io.cache import cache_dir, unfinished
from dpdk_io.eal import one_line
from dpdk_io.errors import DeviceError
from dpdk_io.mbuf import MBUF
from tests.dpdk_io.processes import run


def test_it_is_built_once_privately_and_under_a_name_that_tells_its_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TE_APPS_CACHE", str(tmp_path / "cache"))
    built = shim.build()
    before = built.stat().st_mtime_ns
    assert stat.S_IMODE(built.parent.stat().st_mode) == 0o700
    assert os.listdir(built.parent) == [built.name]
    assert shim.build().stat().st_mtime_ns == before
    monkeypatch.setattr(shim, "_FLAGS", [*shim._FLAGS, "-DOTHER"])
    assert shim.build() != built


def tools_without(directory: Path, *missing: str) -> str:
    """A PATH of one directory that has what building takes, save *missing*."""
    for tool in ("cc", "gcc", "pkg-config", "as", "ld"):
        found = shutil.which(tool)
        if found and tool not in missing:
            (directory / tool).symlink_to(found)
    return str(directory)


@pytest.mark.parametrize(
    ("missing", "cause"),
    [
        (("cc", "gcc", "clang"), "no C compiler"),
        (("pkg-config",), "pkg-config is missing"),
    ],
)
def test_a_missing_tool_is_named(tmp_path: Path, missing: tuple[str, ...], cause: str) -> None:
    (tmp_path / "bin").mkdir()
    path = tools_without(tmp_path / "bin", *missing)
    said = run("echo", "ring", PATH=path, TE_APPS_CACHE=str(tmp_path / "cache"), CC="")
    assert said["kind"] == "DeviceError"
    assert said["error"].startswith(cause)
    assert "apt-get install" in said["error"]
    assert "--device loopback" in said["error"]


def test_missing_dpdk_is_named() -> None:
    said = run("echo", "ring", PKG_CONFIG_LIBDIR="/nonexistent")
    assert said["error"].startswith("DPDK's development files are not installed: apt-get install")


def fake_dpdk(directory: Path, version: str, flags: str = "") -> dict[str, str]:
    """The environment in which pkg-config tells of a DPDK that is not there."""
    (directory / "libdpdk.pc").write_text(f"Name: DPDK\nDescription: none\nVersion: {version}\nCflags: {flags}\n")
    return {"PKG_CONFIG_LIBDIR": str(directory), "TE_APPS_CACHE": str(directory / "cache")}


def test_missing_headers_are_named(tmp_path: Path) -> None:
    said = run("echo", "ring", **fake_dpdk(tmp_path, "22.11.0", "-nostdinc"))
    assert "does not compile" in said["error"]
    assert "shim.c" in said["error"]
    assert "libdpdk-dev" in said["error"]
    assert not list((tmp_path / "cache").glob("*.so")), "a failed build is not kept"


def test_an_old_dpdk_is_refused(tmp_path: Path) -> None:
    assert "20.11.3 is too old" in run("echo", "ring", **fake_dpdk(tmp_path, "20.11.3"))["error"]


def test_another_layout_of_the_mbuf_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {name: (str(field[0]), field[1]) for name, field in (MBUF.fields or {}).items()}
    fields["data_len"] = ("u2", 48)
    names, rest = list(fields), list(fields.values())
    other = np.dtype({"names": names, "formats": [kind for kind, _ in rest], "offsets": [at for _, at in rest], "itemsize": 128})
    monkeypatch.setattr(shim, "MBUF", other)
    shim.load.cache_clear()
    with pytest.raises(DeviceError, match="lays out data_len of its mbuf in another way"):
        shim.load()


def test_a_cache_that_is_not_ours_is_replaced_by_a_temporary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TE_APPS_CACHE", str(tmp_path / "file"))
    replaced = cache_dir()
    assert replaced != tmp_path / "file"
    assert stat.S_IMODE(replaced.stat().st_mode) == 0o700
    assert cache_dir() == replaced


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TE_APPS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "te-apps"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "te-apps"


def test_a_cache_where_others_may_write_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TE_APPS_CACHE", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"
    (tmp_path / "mine").chmod(0o777)
    assert cache_dir() != tmp_path / "mine"


def test_unfinished_files_lie_beside_their_target(tmp_path: Path) -> None:
    first, second = unfinished(tmp_path / "x.so"), unfinished(tmp_path / "x.so")
    assert first != second
    assert first.parent == second.parent == tmp_path


@pytest.mark.parametrize(
    ("log", "error", "line"),
    [
        ("EAL: Detected CPU lcores: 2\nTAP: tun_alloc(): Unable to open: Permission denied\nEAL: failed", -1,
         "x (Unable to open: Permission denied): run as root, or with CAP_NET_ADMIN and CAP_NET_RAW"),
        ("", -12, "x (Cannot allocate memory): free memory or reserve hugepages: sysctl -w vm.nr_hugepages=512"),
        ("VFIO support could not be initialized\n", -16,
         "x (Device or resource busy): stop the program that uses it or choose another name"),
        ("", -1, "x (no reason given): see `te-apps doctor`"),
    ],
)  # fmt: skip
def test_a_log_becomes_one_line(log: str, error: int, line: str) -> None:
    assert one_line("x", error, log) == line
