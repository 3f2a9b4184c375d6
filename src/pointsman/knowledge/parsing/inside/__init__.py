"""The part that runs in the sandbox: it reads one file from its standard input and says what it found.

It imports the standard library and the readers of formats only: no more of this package is there.
"""
