"""Splits a bill among friends, to the cent."""


def split(total: int, friends: int) -> list[int]:
    """The share of each in cents; together they pay the total, and whoever comes first pays the odd cents."""
    share, odd = divmod(total, friends)
    return [share + 1 if place <= odd else share for place in range(friends)]
