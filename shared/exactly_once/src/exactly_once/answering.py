"""What comes of one entry: a rejected one becomes a dead letter, any other what its handler returns, encoded."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from exactly_once.batch import Entry, Output
from exactly_once.codec import Codec
from exactly_once.dead_letters import letter
from exactly_once.envelope import CORRELATION_ID, TRACEPARENT, Provenance, id_header, output_id
from exactly_once.event import Event
from exactly_once.processor import Emitted, Processor, WorkingSet

WorkingSets = Mapping[type[WorkingSet], WorkingSet]


@dataclass(frozen=True)
class Answering:
    """Calls the handlers of one processor."""

    processor: Processor
    codec: Codec

    def answer(self, entry: Entry, sets: WorkingSets) -> Iterable[Output]:
        """Return the outputs of an entry, under ids that are the same each time.

        RejectRecord: its handler refuses it, or an output is too large. It raises whatever a handler raises.
        """
        if entry.rejection is not None:
            return [letter(self.processor.name, entry, entry.rejection)]
        if entry.event is None:
            return []
        emitted = self._emitted(entry, entry.event, sets)
        return self._encode(entry, emitted) if emitted else []

    def _emitted(self, entry: Entry, event: Event, sets: WorkingSets) -> Sequence[Event]:
        handler = self.processor.handlers[type(event)]
        working_set = () if handler.working_set is None else (sets[handler.working_set],)
        outcome = (entry.outcome,) if handler.takes_outcome else ()
        emitted: Emitted = handler.function(event, *working_set, *outcome)
        if type(emitted) in handler.emits:  # one event, as most return: `isinstance` asks a model's metaclass
            return [emitted]  # type: ignore[list-item]  # it is one of them
        events = [emitted] if isinstance(emitted, Event) else list(emitted or ())
        if undeclared := [type(each) for each in events if type(each) not in handler.emits]:
            raise TypeError(f"{handler.function.__name__} returned {undeclared}, which its signature does not name")
        return events

    def _encode(self, entry: Entry, events: Sequence[Event]) -> list[Output]:
        record = entry.record
        # only what is an id is handed on: an output that a foreign header makes too large is never published
        correlation_id = id_header(record.headers, CORRELATION_ID) or entry.event_id
        traceparent = id_header(record.headers, TRACEPARENT)
        outputs = []
        for index, event in enumerate(events):
            event_id = output_id(self.processor.name, entry.event_id, index)
            encoded = self.codec.encode(event, Provenance(event_id, correlation_id, entry.event_id, traceparent))
            outputs.append(Output(record.source, record.offset, *encoded))
        return outputs
