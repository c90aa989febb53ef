"""The `workflow` driver, and the local Temporal server it runs on.

`found` finds or builds the server's program, `server` runs it. The driver itself holds no step kinds: what a
step means lives in `engine.core`. Imported by `engine.api`, `engine.web`, `engine.cli` and `workers`.
"""
