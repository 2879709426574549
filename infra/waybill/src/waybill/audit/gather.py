"""Gathers the evidence in an order in which what is read later includes what was read before."""

import asyncio
from typing import NamedTuple

from contracts import SERVICES, dead_letters
from waybill.audit.databases import Library, read_library, shares_the_gateway, snapshot
from waybill.audit.decoding import decode, event_id_of, fetch_schemas, letter_of
from waybill.audit.evidence import Bounds, Evidence, Group, Partition, Record, Tables
from waybill.audit.kafka import Committed, Raw, Topics
from waybill.audit.ledger import read_ledger
from waybill.audit.redriven import Letter
from waybill.audit.tables import READERS, Columns
from waybill.audit.wiring import Wiring
from waybill.stack import Stack

GROUPS_OF_LETTERS = {dead_letters(service): service for service in SERVICES}


class Read(NamedTuple):
    """What the topics hold."""

    records: list[Record]
    letters: list[Letter]
    aborted: list[tuple[str, str]]


async def gather(stack: Stack, topics: Topics, wiring: Wiring) -> Evidence:
    """Read everything once. `settled` tells whether no group moved meanwhile and none was behind."""
    committed = await asyncio.to_thread(_committed, topics)
    bounds = await asyncio.to_thread(topics.bounds)
    reading = asyncio.create_task(_read(stack, topics, bounds))
    databases = await asyncio.gather(*(_database(stack, service) for service in SERVICES))
    ledger, shared, read = await asyncio.gather(read_ledger(stack), shares_the_gateway(stack), reading)
    groups = {
        service: Group(library.claims, library.positions, committed[service], library.stored, library.outbox)
        for service, (library, _) in zip(SERVICES, databases, strict=True)
    }
    columns = {name: value for _, columns in databases for name, value in columns.items()}
    return Evidence(
        wiring=wiring,
        records=read.records,
        bounds=bounds,
        groups=groups,
        tables=Tables(**columns),
        ledger=ledger,
        ledger_shared=shared,
        letters=read.letters,
        aborted=read.aborted,
        settled=_at_rest(wiring, groups, read.records) and committed == await asyncio.to_thread(_committed, topics),
    )


def _committed(topics: Topics) -> dict[str, Committed]:
    return {service: topics.committed(service) for service in SERVICES}


def _at_rest(wiring: Wiring, groups: dict[str, Group], records: list[Record]) -> bool:
    if any(group.outbox for group in groups.values()):
        return False
    readers = [(wiring.reads(service), group) for service, group in groups.items()]
    return all(
        group.published(record.place) for record in records for read, group in readers if record.place.topic in read
    )


async def _database(stack: Stack, service: str) -> tuple[Library, Columns]:
    reader = READERS.get(service)  # the library's invariants hold for a service of whose tables the audit has no model
    async with snapshot(stack, service) as connection:
        return await read_library(connection), await reader(connection) if reader else {}


async def _read(stack: Stack, topics: Topics, bounds: dict[Partition, Bounds]) -> Read:
    raw = await asyncio.to_thread(topics.committed_records, bounds)
    visible = {each.place for each in raw}
    aborted, schemas = await asyncio.gather(
        asyncio.to_thread(topics.aborted_records, bounds, visible), fetch_schemas(stack.registry_url, raw)
    )
    raw.sort(key=lambda each: each.place)
    letters = [letter for each in raw if (letter := _letter(each)) is not None]
    records = [decode(each, schemas) for each in raw if _letter(each) is None]
    return Read(records, letters, [(each.place.topic, _which(each)) for each in aborted])


def _letter(raw: Raw) -> Letter | None:
    group = GROUPS_OF_LETTERS.get(raw.place.topic)
    return None if group is None else letter_of(group, raw)


def _which(raw: Raw) -> str:
    letter = _letter(raw)
    return event_id_of(raw) if letter is None else str(letter.source)
