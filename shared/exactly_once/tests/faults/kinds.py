"""Three situations in which a process dies, and which points are worth dying at in each."""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import filterfalse, groupby
from typing import NamedTuple

from shared.exactly_once.tests.faults.points import again, every_point
from shared.exactly_once.tests.faults.scenes import Lab, Run, Scene, inputs

KILLED = -9
AT_A_TIME = 24

STATELESS = "stateless"

# What happened before the process starts that is to die at a point.
KINDS = {
    "afresh": "",
    "behind": "loop.Loop._publish:self._producer.publish:before",  # decided, not published
    "labelled": "relay.Relay._relay:self._publish:before",  # a batch of the outbox is on its way
    STATELESS: "",  # the loop has no database
}
AT_STAKE = {
    "recovery.": "behind",
    "inbox.Inbox.stored": "behind",
    "relay.Relay._take_over": "labelled",
    "stateless.": STATELESS,
}

# Awaits that these runs don't reach on purpose, and why a death there is no other case.
UNREACHED = {
    "loop.Loop._work:self._stand_by": "it has no partition: nothing is under way",
    "loop.Loop._stand_by:self._consumer.poll": "likewise",
    "loop.Loop._consume:published.ended": "before an outside call, and these processes have none: it waits for a "
    "publication, and a death there is one in that",
    "loop.Loop._consume:self._publish": "these runs end when nothing is owed; they publish positions alone before",
    "publishing.Publishing.__aexit__:asyncio.gather": "waits for a publication beside which something failed: a death "
    "there is one in that publication",
    "reading.Reading.__aexit__:asyncio.gather": "forgets what was read ahead, which nobody has seen",
    "decide.Decider._isolate:self._transact:after": "its bug fails at each attempt; a death there is one in decide",
    "kafka.producer._Producer.dispose:closed#2": "a producer that does not stop: its transaction is open, as "
    "after a death at commit_transaction:before",
    "kafka.producer.TransactionalProducer.publish:producer.dispose": "behind a failed transaction: likewise",
    "kafka.producer.TransactionalProducer.replace:producer.dispose": "behind a failed start: nothing is open",
    "kafka.consumer.GroupConsumer._start:closed": "behind a failed start: it is no member yet",
    "kafka.consumer.GroupConsumer._retry_offsets:asyncio.sleep": "waits for a transaction's end, and does nothing else",
    "doorbell._listen:_listen_until_lost:after": "it ends only with its connection; what it hears is a hint",
    "doorbell._listen:asyncio.sleep": "likewise: it waits to connect again",
    "doorbell._wait:event.wait:after": "likewise",
}


class Death(NamedTuple):
    """A process of a kind dies at a point, at one of its passages."""

    kind: str
    point: str
    passage: int


async def prepared(lab: Lab, kind: str) -> Scene:
    """Set a scene, up to the first crash that its kind asks for."""
    scene = await Scene.set_up(lab, inputs(), stateless=kind == STATELESS)
    if KINDS[kind]:
        assert await scene.played(await scene.start(KINDS[kind], 2)) == KILLED
    return scene


async def census(lab: Lab) -> dict[str, set[str]]:
    """Run each kind without the second crash; return the points that each passes."""
    return dict(zip(KINDS, await asyncio.gather(*(_passed(lab, kind) for kind in KINDS)), strict=True))


async def _passed(lab: Lab, kind: str) -> set[str]:
    scene = await prepared(lab, kind)
    run = await scene.start()
    assert await scene.played(run) == 0, run.log()
    assert await scene.verdict() == []
    await scene.tear_down()
    return run.passed()


async def died(lab: Lab, death: Death) -> list[str]:
    """Let a process die, a successor finish; return what is wrong."""
    scene = await prepared(lab, death.kind)
    first = await scene.start(death.point, death.passage)
    ended = await scene.played(first)
    if ended == 0 and death.passage > 1:  # batches fell otherwise this time, and it passed only once
        await scene.tear_down()
        return await died(lab, death._replace(passage=1))
    wrong = await _finished(scene, await scene.start())
    if ended != KILLED:
        wrong.append(f"it was to die there, and ended with {ended}: {first.log()[-2000:]}")
    await scene.tear_down()
    return wrong


async def _finished(scene: Scene, run: Run) -> list[str]:
    try:
        ended = await scene.played(run)
    except TimeoutError:
        return ["the successor does not finish", *await scene.verdict(), run.log()[-2000:]]
    return [*await scene.verdict(), *([f"the successor ended with {ended}: {run.log()[-2000:]}"] if ended else [])]


def excused(point: str) -> bool:
    """Tell whether a point is left out for a reason that is written down."""
    return any(point == known or point.rsplit(":", 1)[0] == known for known in UNREACHED)


def slices() -> Iterator[tuple[str, ...]]:
    """Yield the points of each module that are to be died at, a few dozen at a time."""
    for _, points in groupby(filterfalse(excused, every_point()), lambda point: point.split(":")[0].rsplit(".", 2)[0]):
        found = tuple(points)
        for start in range(0, len(found), AT_A_TIME):
            yield found[start : start + AT_A_TIME]


def deaths(passed: dict[str, set[str]], points: Iterable[str]) -> list[Death]:
    """Return one death for each of these points that was passed, where most is at stake; on the second passage if any.

    The second, since at the first there may have been nothing to lose yet. A loop without a database dies at each of
    its own points as well, less those of the group and of doubt, which know nothing of databases.
    """
    found = []
    for point in points:
        preferred = [kind for start, kind in AT_STAKE.items() if point.startswith(start)]
        kinds = [each for each in [*preferred, *KINDS] if point in passed[each]]
        chosen = dict.fromkeys([*kinds[:1], *(each for each in kinds if each == STATELESS and _is_of_a_loop(point))])
        found += [Death(kind, point, _passage(passed[kind], point, kind)) for kind in chosen]
    return found


def _is_of_a_loop(point: str) -> bool:
    return point.startswith(("loop.", "reading.", "publishing.", "kafka.producer.", "stateless."))


def _passage(passed: set[str], point: str, kind: str) -> int:
    return 2 if not KINDS[kind] and again(point) in passed else 1
