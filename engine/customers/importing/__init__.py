"""Files of customers and events: what is in them, row by row, and why a row cannot be taken.

`encodings` and `reading` give rows, `columns` and `mapping` say what each column is, `people` and
`happenings` turn a row into what it says, `fresh` into rows of our tables for customers whom nobody knows
yet. Writing, slice by slice, is `engine.ingest.importing`'s.

What is read depends on the file and the mapping alone, never on when it is read: a job that was cut off goes
on with the very same rows.
"""
