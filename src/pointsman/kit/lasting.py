"""Objects that live as long as the process: the search for garbage leaves them out."""

from __future__ import annotations

import gc


def keep_what_is_there() -> None:
    """Take everything that exists now for lasting: to be called when something large has been loaded.

    Looking through the objects of the libraries takes some 60 ms, in which nothing else happens, whenever a full search is due; without
    them it takes less than one.
    """
    gc.collect()
    gc.freeze()
