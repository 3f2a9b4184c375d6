"""Runs programs that nobody trusts: namespaces, a lesser account, Landlock and a seccomp filter, from a small process of its own.

`spawner.py` and what it imports run in that process and know the standard library only; `spawning.py` is the side of the caller.
"""
