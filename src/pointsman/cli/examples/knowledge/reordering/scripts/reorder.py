#!/usr/bin/env python3
"""Reads what a search of the parts list found, and prints what is to be ordered."""

import json
import re
import sys

ROW = re.compile(
    r"number: (?P<number>[^;]+); part: (?P<part>.+?); fits: .+; "
    r"price_eur: (?P<price>[\d.]+); stock: (?P<stock>\d+); minimum: (?P<minimum>\d+)"
)


def main() -> None:
    """Print a line for each part that is below its minimum, and what they cost together."""
    passages = json.load(sys.stdin)
    # Passages overlap, so a row may be in two of them, and be cut off in one.
    rows, files = {}, {}
    for passage in passages:
        for row in ROW.finditer(passage["content"]):
            rows[row["number"]] = row
            files[passage["file"]] = None
    below = sorted((row for row in rows.values() if int(row["stock"]) < int(row["minimum"])), key=lambda row: row["number"])
    total = 0.0
    for row in below:
        count = 2 * int(row["minimum"]) - int(row["stock"])
        cost = count * float(row["price"])
        total += cost
        print(f"{row['number']}  {row['part']:<20} {row['stock']:>3} of {row['minimum']:>2} in stock: order {count:>2} for {cost:8.2f} EUR")
    print(f"{len(below)} of {len(rows)} parts are below their minimum; together {total:.2f} EUR [{', '.join(files)}]")


main()
