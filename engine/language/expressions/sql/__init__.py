"""The second back end: a tree becomes SQL over all profiles, with the exact meaning of the closure.

Theory of operation. A tree is walked once. What the catalogue says of types decides at that time how a value
is read, so that what reaches PostgreSQL is what one would write by hand: `attributes -> 'tier' = '"gold"'`.
Conditions are two-valued in one direction: SQL's null counts as false wherever a condition stands, and
`not` is written `IS NOT TRUE`. A value is null in SQL where it is null in the language.

PostgreSQL raises where the language does not (casts, overflow, division by zero, zones it does not know):
every such expression stands behind a `CASE` that decides first. What is used more than once and costs
something is worked out in a subquery of its own, which `OFFSET 0` keeps whole.

The result is text and parameters, for `sqlalchemy.text` on asyncpg; nothing of an expression is ever part of
the text. Imported explicitly by the store: workflow code never needs it.
"""

from engine.language.expressions.sql.condition import (
    Column,
    Condition,
    Setting,
    column,
    condition,
    conjuncts,
    fixed_part,
)
from engine.language.expressions.sql.writer import NotInSql, Way

__all__ = [
    "Column",
    "Condition",
    "NotInSql",
    "Setting",
    "Way",
    "column",
    "condition",
    "conjuncts",
    "fixed_part",
]
