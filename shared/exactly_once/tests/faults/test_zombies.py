"""A stopped process goes on after others took over: nothing of it counts, and each fence is what keeps it so."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from shared.exactly_once.tests.faults.scenes import ASK_AGAIN_S, PHASE_S, Lab, Run, Scene, end, inputs, kill
from shared.exactly_once.tests.faults.tally import Expected

pytestmark = pytest.mark.integration

DECIDED = "loop.Loop._publish:self._producer.publish:before"
BEFORE_DECIDING = "decide.Decider._transact:self.inbox.advance:before"
WITHIN_DECIDING = "decide.Decider._transact:self._handle:after"
UNTIL_EXPELLED_S = 30.0
REFUSED_BY_GROUP = "the group refused the commit"  # a poll says only that there is a new assignment


async def until(holds: Callable[[], bool], deadline_s: float = PHASE_S) -> None:
    """Ask until it holds; each question asks a broker or the system."""
    async with asyncio.timeout(deadline_s):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(ASK_AGAIN_S)


def is_stopped(run: Run) -> bool:
    """Ask the system."""
    return Path(f"/proc/{run.pid.result()}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


async def overtaken(scene: Scene, point: str, *without: str) -> tuple[Run, Run]:
    """Stop a process at a point; return it, and the successor that has finished its work."""
    zombie = await scene.start(point, stops=True, without=without)
    await until(lambda: is_stopped(zombie))
    successor = await scene.start(instance="2")
    async with asyncio.timeout(PHASE_S):
        while not await scene.finished():
            await asyncio.wait({successor.ended}, timeout=ASK_AGAIN_S)
    return zombie, successor


def wake(run: Run) -> None:
    """Let a stopped process go on."""
    os.kill(run.pid.result(), signal.SIGCONT)


async def judged(scene: Scene, zombie: Run, successor: Run, refusal: str) -> list[str]:
    """Wake the zombie, give both more to do, stop them; return what is wrong."""
    wake(zombie)
    try:
        await until(lambda: refusal in zombie.log(), UNTIL_EXPELLED_S)
    except TimeoutError:
        return [f"nobody refused the zombie: {zombie.log()[-1500:]}", *await closed(scene, zombie, successor)]
    return await closed(scene, zombie, successor)


async def more_input(scene: Scene) -> None:
    """Let every account have more to do."""
    more = [row._replace(event_id=f"more-{row.event_id}") for row in inputs(12, seed=2)]
    scene.rows += more
    await scene.put(more)


async def outputs_doubled(scene: Scene) -> None:
    """Wait until an output is visible twice."""
    async with asyncio.timeout(PHASE_S):
        while not any(len(set(sums)) < len(sums) for sums in (await asyncio.to_thread(scene.read)).outputs.values()):
            await asyncio.sleep(ASK_AGAIN_S)


async def closed(scene: Scene, *runs: Run) -> list[str]:
    """Let more input be worked off, stop everything, and return the verdict."""
    await more_input(scene)
    wrong = []
    try:
        async with asyncio.timeout(UNTIL_EXPELLED_S * 2):
            while not await scene.settled():
                await asyncio.sleep(ASK_AGAIN_S)
    except TimeoutError:
        wrong.append("the rest of the input is not worked off")
    ended = [await end(run) for run in runs]
    wrong += [f"it ended with {how}" for how in ended if how != 0]
    wrong += await scene.verdict()
    await scene.tear_down()
    return wrong


async def killed(scene: Scene, *runs: Run) -> None:
    """End a scene in which nothing is left to be seen."""
    for run in runs:
        kill(run)
        await run.ended
    await scene.tear_down()


async def test_a_zombie_that_has_decided_is_refused_by_the_group(lab: Lab) -> None:
    scene = await Scene.set_up(lab, inputs())
    zombie, successor = await overtaken(scene, DECIDED)
    assert await judged(scene, zombie, successor, REFUSED_BY_GROUP) == []


async def test_a_zombie_that_keeps_nothing_is_refused_by_the_group(lab: Lab) -> None:
    scene = await Scene.set_up(lab, inputs(), stateless=True)
    zombie, successor = await overtaken(scene, DECIDED)
    assert await judged(scene, zombie, successor, REFUSED_BY_GROUP) == []


@pytest.mark.nightly
async def test_without_the_captured_generation_a_zombie_that_keeps_nothing_doubles_its_outputs(lab: Lab) -> None:
    scene = await Scene.set_up(lab, inputs(), stateless=True)
    zombie, successor = await overtaken(scene, DECIDED, "captured generation")
    outputs = sum(map(len, Expected.without_memory(scene.rows).outputs.values()))
    assert len(await asyncio.to_thread(scene.keys, "totalled")) == outputs
    wake(zombie)
    async with asyncio.timeout(PHASE_S):
        while len(await asyncio.to_thread(scene.keys, "totalled")) == outputs:
            await asyncio.sleep(ASK_AGAIN_S)
    await killed(scene, zombie, successor)


@pytest.mark.nightly
async def test_without_the_captured_generation_a_zombie_doubles_its_outputs(lab: Lab) -> None:
    scene = await Scene.set_up(lab, inputs())
    zombie, successor = await overtaken(scene, DECIDED, "captured generation")
    wake(zombie)
    await outputs_doubled(scene)
    await killed(scene, zombie, successor)


async def test_a_zombie_that_has_not_decided_is_refused_by_postgresql(lab: Lab) -> None:
    scene = await Scene.set_up(lab, inputs())
    zombie, successor = await overtaken(scene, BEFORE_DECIDING)
    assert await judged(scene, zombie, successor, "kind='Fenced'") == []


@pytest.mark.nightly
async def test_without_compare_and_set_a_zombie_moves_the_position_back(lab: Lab) -> None:
    scene = await Scene.set_up(lab, inputs())
    zombie, successor = await overtaken(scene, BEFORE_DECIDING, "compare and set")
    async with scene.connected() as connection, asyncio.timeout(PHASE_S):
        before = await scene.positions(connection)
        wake(zombie)
        while (now := await scene.positions(connection)) == before:
            await asyncio.sleep(ASK_AGAIN_S)
    assert any(now[partition] < before[partition] for partition in before)
    await killed(scene, zombie, successor)


@pytest.mark.nightly
async def test_a_process_stopped_in_its_database_transaction_blocks_nobody(lab: Lab) -> None:
    scene = await Scene.set_up(lab, inputs())
    zombie, successor = await overtaken(scene, WITHIN_DECIDING)
    assert await judged(scene, zombie, successor, "kind='Retryable'") == []


@pytest.mark.nightly
async def test_without_replacing_the_producer_refused_outputs_become_visible(lab: Lab) -> None:
    scene = await Scene.set_up(lab, inputs())
    zombie, successor = await overtaken(scene, DECIDED, "replaced producer")
    wake(zombie)
    await until(lambda: REFUSED_BY_GROUP in zombie.log())
    await more_input(scene)
    await outputs_doubled(scene)
    await killed(scene, zombie, successor)


@pytest.mark.nightly
async def test_partitions_that_move_away_and_come_back_in_the_middle_of_batches_lose_nothing(lab: Lab) -> None:
    scene = await Scene.set_up(lab, inputs(300))
    stays = await scene.start()
    await until(lambda: DECIDED in stays.passed())
    comes = await scene.start(instance="2")
    await until(lambda: DECIDED in comes.passed())
    assert await end(comes) == 0
    assert await closed(scene, stays) == []


@pytest.mark.nightly
async def test_a_listener_that_waits_gets_its_member_expelled(lab: Lab) -> None:
    scene = await Scene.set_up(lab, inputs())
    waits = await scene.start(without=("listener that only captures",))
    await until(lambda: scene.members() == 1)
    await until(lambda: scene.members() == 0)
    await killed(scene, waits)


@pytest.mark.nightly
async def test_a_listener_that_only_captures_keeps_its_member_in_the_group(lab: Lab) -> None:
    scene = await Scene.set_up(lab, inputs())
    run = await scene.start()
    assert await scene.played(run) == 0
    assert await scene.verdict() == []
    assert "was assigned anew" not in run.log()
    await scene.tear_down()
