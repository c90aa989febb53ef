from __future__ import annotations

from datetime import UTC, datetime

from examples.cdnow.records import purchases


def test_the_file_is_read_as_it_is_described() -> None:
    found = list(purchases())
    assert (len(found), len({each.customer for each in found})) == (6919, 2357)
    assert min(each.at for each in found) == datetime(1997, 1, 1, tzinfo=UTC)
    assert max(each.at for each in found) == datetime(1998, 6, 30, tzinfo=UTC)
    assert found[0].total == 29.33
    assert all(each.discs >= 0 and each.total >= 0 for each in found)
