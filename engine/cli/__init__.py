"""The command `kairos`. One module a command; `main` lists them and looks after how they end.

A command prints data on stdout and everything else on stderr, and ends with 0 (fine), 1 (mistakes found) or
2 (misuse). Nothing here is imported by another package.
"""
