"""Packets in and out: ports, mbufs and memory for compiled code, on DPDK or on the embedded loopback device."""

from dpdk_io.eal import register_thread, unregister_thread
from dpdk_io.errors import DeviceError, TeError, UsageError
from dpdk_io.ports import Options, Port, Ports, open_ports

__all__ = [
    "DeviceError",
    "Options",
    "Port",
    "Ports",
    "TeError",
    "UsageError",
    "open_ports",
    "register_thread",
    "unregister_thread",
]
