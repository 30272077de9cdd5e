"""A tap interface of ours in the kernel: frames that the program does not want itself are handed over there, and come back.

The interface lives as long as the object, in the namespace it was made in, and the kernel removes it with the last descriptor:
even a killed program leaves none behind.
"""

from __future__ import annotations

import ctypes
import fcntl
import ipaddress
import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from dpdk_io import requirements
from dpdk_io.errors import DeviceError

_TUNSETIFF, _IFF_TAP_NO_PI = 0x400454CA, 0x1002
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFHWADDR, _SIOCGIFHWADDR = 0x8916, 0x891C, 0x8924, 0x8927
_CLONE_NEWNET, _ARPHRD_ETHER = 0x40000000, 1
_NAMESPACES = Path("/run/netns")
_LONGEST = 65535


class Tap:
    """The interface *name*, up, with *mac* (6 bytes, else the kernel's choice) and *address* ("10.0.0.1/24"), in *namespace*.

    A namespace that does not exist is made, and removed at the end. DeviceError names cause and remedy.
    """

    def __init__(self, name: str, *, mac: bytes = b"", address: str = "", namespace: str = "") -> None:
        requirements.interface_name("a kernel-side interface", name)
        requirements.tun(name)
        network = _parse(address)
        self.name = name
        self.dropped = 0
        self._fd = -1
        self._made = _make_namespace(namespace) if namespace else False
        self._namespace = namespace
        try:
            _within(namespace, lambda: self._create(mac, network))
        except OSError as error:
            self.close()
            raise DeviceError(f"interface {name} cannot be set up ({error.strerror}): choose a name that is free") from error

    def _create(self, mac: bytes, network: ipaddress.IPv4Interface | None) -> None:
        self._fd = os.open(requirements.TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(self._fd, _TUNSETIFF, struct.pack("16sH22x", self.name.encode(), _IFF_TAP_NO_PI))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            if mac:
                self._set(control, _SIOCSIFHWADDR, struct.pack("H6s", _ARPHRD_ETHER, mac))
            if network:
                self._set(control, _SIOCSIFADDR, struct.pack("HH4s", socket.AF_INET, 0, network.ip.packed))
                self._set(control, _SIOCSIFNETMASK, struct.pack("HH4s", socket.AF_INET, 0, network.netmask.packed))
            flags = struct.unpack("16xH22x", self._set(control, _SIOCGIFFLAGS, b""))[0]
            self._set(control, _SIOCSIFFLAGS, struct.pack("H", flags | _IFF_UP))
            self.mac = self._set(control, _SIOCGIFHWADDR, b"")[18:24]

    def _set(self, control: socket.socket, request: int, value: bytes) -> bytes:
        """An ioctl on `struct ifreq`: the name, then *value*."""
        return fcntl.ioctl(control, request, struct.pack("16s24s", self.name.encode(), value))

    def fileno(self) -> int:
        """The descriptor, for select."""
        return self._fd

    def read(self) -> bytes | None:
        """The next frame the kernel sends, or None when there is none now."""
        try:
            return os.read(self._fd, _LONGEST)
        except BlockingIOError:
            return None

    def write(self, frame: bytes) -> bool:
        """Hand *frame* to the kernel; False, counted in `dropped`, when it does not take it: it is busy, or this is no frame."""
        try:
            os.write(self._fd, frame)
        except OSError:
            self.dropped += 1
            return False
        return True

    def close(self) -> None:
        """Remove the interface, and the namespace if it was made here. Closing twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._made:
            self._made = False
            subprocess.run(["ip", "netns", "delete", self._namespace], check=False, capture_output=True)

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _parse(address: str) -> ipaddress.IPv4Interface | None:
    try:
        return ipaddress.IPv4Interface(address) if address else None
    except ValueError as error:
        raise DeviceError(f"'{address}' is no IPv4 address with its prefix length: write 10.0.0.1/24") from error


def _make_namespace(name: str) -> bool:
    """Make the namespace unless it exists; whether it was made."""
    if (_NAMESPACES / name).exists():
        return False
    if not shutil.which("ip"):
        raise DeviceError(f"namespace '{name}' cannot be made without ip: apt-get install iproute2, or name one that exists")
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if done.returncode:
        raise DeviceError(f"namespace '{name}' cannot be made ({done.stderr.strip()}): run as root, or name one that exists")
    return True


def _within(namespace: str, work: Callable[[], None]) -> None:
    """Do *work* in *namespace*, in a thread that ends there; an empty name is the current namespace."""
    if not namespace:
        work()
        return
    failed: list[OSError] = []

    def enter() -> None:
        try:
            with open(_NAMESPACES / namespace) as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            work()
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
