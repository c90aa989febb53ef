"""Purchases of 2,357 real customers over eighteen months, and `make demo-dormancy`.

`records` reads the file, `stream` turns it into files to import and messages to send; `demo` imports what was
bought in 1997 and runs the library's journeys over 1998.
"""
