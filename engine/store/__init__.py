"""What Kairos keeps in PostgreSQL: tables, migrations and one module of queries a noun.

Rules of the room:

- Functions take an open `AsyncConnection` and never commit: the caller owns the transaction.
- They take and give batches, and cost one statement a batch, whatever its size.
- Logical instants (`at`, `entered_at`, `occurred_at`, `due_at`, …) come from the caller. Wall instants
  (`created_at`, `claimed_at`, `recorded_at`, …) are PostgreSQL's `now()`, or given for tests.
- `sqlalchemy` is imported here and in the SQL back end of expressions; other rooms see rows as dataclasses.

May import `engine.core` and `engine.language`.
"""
