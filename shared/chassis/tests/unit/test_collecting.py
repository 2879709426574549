import gc
from collections.abc import Iterator

import pytest

from chassis.collecting import settle


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def test_what_the_start_made_is_not_walked_again_and_what_comes_later_is() -> None:
    before = [object(), {}]
    settle()
    later = [object(), {}]
    walked = {id(each) for each in gc.get_objects()}
    assert id(before) not in walked
    assert id(later) in walked
