"""The first process inside a bubblewrap: it finds its order and its descriptors where its arguments say."""

from __future__ import annotations

import json
import os
import sys

from pointsman.kit.confinement.order import Order
from pointsman.kit.confinement.tree import be_init


def main() -> None:
    """Run the order to its end."""
    report, told, *cgroups = map(int, sys.argv[1:])
    for descriptor in (report, told, *cgroups):
        os.set_inheritable(descriptor, False)
    with open(told, encoding="utf-8") as file:
        order = Order.read(json.load(file))
    be_init(order, report, cgroups, 0)
