"""Customers: which profile an identity leads to, what is known of a customer, what they consented to.

Everything takes batches and an open connection, and leaves committing to the caller. Run it in
`engine.store.database.in_transaction`: two batches that meet in different orders may deadlock, and the one
that PostgreSQL ends is then simply repeated.

May import `engine.store`, `engine.language` and `engine.core`.
"""
