"""What people decide: whether two customers are one, and that a merge was none.

After `decide`, as after every merge, `engine.ingest.merging.follow` must be called in the same transaction.
"""

from __future__ import annotations

from datetime import UTC, datetime

from engine.customers.graph import most_telling
from engine.customers.linking import Linking, Said
from engine.language.installation import Identities
from engine.store import identities, links, merging, profiles, reviews
from engine.store.connection import AsyncConnection
from engine.store.identities import Identity
from engine.store.links import Link, Verdict
from engine.store.merging import Merge
from engine.store.reviews import Decision, Review

_DEFAULT = Identities()
_TRIES = 5


class CannotDecide(ValueError):
    """There is nothing to decide or undo, or not any more. The text says why."""


async def decide(
    connection: AsyncConnection,
    review_id: str,
    decision: Decision,
    by: str | None = None,
    rules: Identities = _DEFAULT,
) -> list[int]:
    """Settles a finding; returns the ids of the merges that follow from it.

    `same` merges: two customers, or one with what was over the limit. `apart` leaves things as they are for
    good: the same messages do not bring it up again.

    Raises:
        CannotDecide: there is no such finding.
    """
    review = await reviews.get(connection, review_id, lock=True)
    if review is None:
        raise CannotDecide(f"there is no finding {review_id}")
    await reviews.decide(connection, review_id, decision, by)
    pairs = await _pairs(connection, review)
    verdict: Verdict = "together" if decision == "same" else "apart"
    now = datetime.now(UTC)
    told = [Link.between(one, two, now, verdict) for one, two in pairs]
    await links.add_batch(connection, told)
    if decision == "apart":
        return []
    return await _relink(connection, {i for link in told for i in link.pair}, rules)


async def _pairs(connection: AsyncConnection, review: Review) -> list[tuple[Identity, Identity]]:
    if review.two is not None:
        return [(review.one, review.two)]
    own = await identities.find_batch(connection, [review.one])
    if review.one not in own:
        return []
    everything = (await identities.of_profiles(connection, [own[review.one]]))[own[review.one]]
    touching = await links.touching(connection, everything)
    return [
        link.pair
        for link in touching
        if link.verdict == "refused" and review.kind in (link.one[0], link.two[0])
    ]


async def _relink(connection: AsyncConnection, touched: set[Identity], rules: Identities) -> list[int]:
    merges: list[int] = []
    for turn in range(_TRIES):
        said = [Said((identity,), ()) for identity in sorted(touched)]
        if await Linking(rules, said, turn).write(connection, set(), merges):
            return merges
    raise RuntimeError("identities kept changing under this decision; try it again")


async def undo(
    connection: AsyncConnection, merge_id: int, by: str | None = None, rules: Identities = _DEFAULT
) -> Merge:
    """Takes a merge back: identities, attributes, history. What ended with it stays ended.

    The two are kept apart from now on, whatever messages say.

    Raises:
        CannotDecide: there is no such merge, it was undone, or one of the two was merged again since.
    """
    done = await merging.get(connection, merge_id, lock=True)
    if done is None:
        raise CannotDecide(f"there is no merge {merge_id}")
    if done.undone_at is not None:
        raise CannotDecide(f"merge {merge_id} was undone before")
    found = await profiles.get_batch(connection, [done.survivor, done.loser], lock=True)
    if len(found) != 2:
        raise CannotDecide(f"the customers of merge {merge_id} are gone")
    if found[done.survivor].merged_into is not None or found[done.loser].merged_into != done.survivor:
        raise CannotDecide(f"a later merge stands on merge {merge_id}: undo that one first")
    own = [(str(kind), str(value)) for kind, value in done.before["moved"]["identities"]]
    await merging.undo(connection, done, by, rules.sources)
    rest = (await identities.of_profiles(connection, [done.survivor])).get(done.survivor, [])
    crossing = [
        Link(link.one, link.two, link.at, "apart")
        for link in await links.touching(connection, own)
        if (link.one in own) != (link.two in own) and {*link.pair} <= {*own, *rest}
    ]
    if own and rest:
        first, second = most_telling(own, rules), most_telling(rest, rules)
        crossing.append(Link.between(first, second, done.at, "apart"))
    await links.add_batch(connection, crossing)
    return done
