"""What the services handle and emit is what the contracts, and so their permissions, say."""

import importlib

import pytest

from contracts import CONSUMES, SERVICES, TOPICS, topics_consumed
from exactly_once import Processor

OWNERS = {topic.name: topic.owner for topic in TOPICS}


def processor_of(service: str) -> Processor:
    processor = importlib.import_module(f"{service}.handlers").processor
    assert isinstance(processor, Processor)
    return processor


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_handles_what_the_contracts_say_it_consumes(service: str) -> None:
    processor = processor_of(service)
    assert processor.name == service
    assert set(processor.handlers) == set(CONSUMES[service])
    assert processor.topics == topics_consumed(service)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_emits_into_its_own_topics_only(service: str) -> None:
    assert {OWNERS[event_type.topic] for event_type in processor_of(service).emits} <= {service}
