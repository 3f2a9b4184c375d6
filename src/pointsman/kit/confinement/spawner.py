"""The process that all confined programs descend from: small, with nothing in its environment, started before anything is known.

A Python takes 25 ms to start and 1 ms to fork, so one is kept ready. On the socket that its first argument names it is sent orders (JSON in
a descriptor) with the streams to use; it dies with the process that started it, and everything that it started dies with it.
"""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import sys

from pointsman.kit.confinement.order import Order
from pointsman.kit.confinement.system_calls import PR_SET_PDEATHSIG, prctl
from pointsman.kit.confinement.tree import launch

DESCRIPTORS = 5  # of one order: stdin, stdout, stderr, report, the order itself
_MOST_DESCRIPTORS = 2**20
_FAILED = 70


def main() -> None:
    """Serve orders until the other end of the socket is closed."""
    number, parent = int(sys.argv[1]), int(sys.argv[2])
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    os.closerange(3, number)
    os.closerange(number + 1, _MOST_DESCRIPTORS)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel fetches the dead
    with socket.socket(fileno=number) as orders:  # noqa: TID251 - a pair between two processes of ours
        spawner = os.getpid()
        while descriptors := _receive(orders):
            if os.fork() == 0:
                try:
                    orders.close()
                    _obey(descriptors, spawner)
                finally:
                    os._exit(_FAILED)  # whatever happened, this child must never serve orders
            for descriptor in descriptors:
                os.close(descriptor)


def _receive(orders: socket.socket) -> list[int]:  # noqa: TID251 - as above
    descriptors = array.array("i")
    data, ancillary, _, _ = orders.recvmsg(1, socket.CMSG_LEN(DESCRIPTORS * descriptors.itemsize), socket.MSG_CMSG_CLOEXEC)
    for _, _, payload in ancillary:
        descriptors.frombytes(payload)
    return descriptors.tolist() if data else []


def _obey(descriptors: list[int], parent: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, report, order = descriptors
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for descriptor in streams:
        os.close(descriptor)
    os.set_inheritable(report, False)
    with open(order, encoding="utf-8") as file:
        told = Order.read(json.load(file))
    launch(told, report, parent)
