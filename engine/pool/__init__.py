"""The `pool` driver: enrolments as rows, advanced in batches. For crowds and for very busy triggers.

A batch is taken, told what has come, and run until every enrolment in it waits, has ended, or must be tried
again; what became of it is stored in one transaction. Nothing is stored before: a batch that is cut off is
taken again as it was, and every send and effect that was settled meanwhile answers with what it came to. So
a crash repeats decisions, never messages.

`engine.core.driving` and the batches of `engine.delivery` and `engine.effects` are the same that the
`workflow` driver uses; nothing here knows what a step means.

May import everything below the drivers, and Temporal's SDK (in `workflow` and `activities` only).
"""
