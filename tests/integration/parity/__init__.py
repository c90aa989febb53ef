"""The simulator and the running system, held against each other: same journeys, same people, same events.

What the generated cases leave out, because the two may differ there by design: expressions that read what
another enrolment of the same person writes at about that time (two enrolments that compete), and conditions
on an event that read what a step wrote shortly before (they are answered when the event is routed, and on a
scaled clock a timer's step runs up to the grace later).
"""
