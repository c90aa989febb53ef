"""Values: frozen dataclasses whose ban on assignment is the type checker's.

At run time a frozen dataclass sets each field through `object.__setattr__`, which makes building one several
times as dear as building a plain one, and the reducers build dozens of values for each enrolment. So
`dataclass(frozen=True)` of this module means frozen to mypy, with equality and hash by value as ever, and no
guard at run time.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, slots: bool, frozen: bool = False):
        return dataclasses.dataclass(slots=slots, unsafe_hash=frozen)
