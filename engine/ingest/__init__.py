"""Events come in, meet the enrolments they concern, and start new ones.

- `intake` writes a batch of Segment-shaped messages in one transaction; nothing is judged there.
- `gathering` keeps single events that come together in one such transaction.
- `router` takes stored events shard by shard, in order, and in one transaction a batch writes all that
  follows from them: wakes for live enrolments, conversions, entries, and an outbox of starts.
- `crowds` lets many into a journey at once, in slices, each one statement.
- `starts` plays that outbox to whatever runs enrolments, `reconcile` compares the two afterwards.

Everything may be repeated after a crash at any point: rows carry ids that the same input always gives.
The meaning of an event is the core's (`consider`, `converts`); here it is fed and written down.

May import `engine.customers`, `engine.store`, `engine.language` and `engine.core`.
"""
