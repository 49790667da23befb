"""One PostgreSQL with both sides of a move, for all tests of a process; statistics that are computed once."""

from collections.abc import Iterator

import pytest

from tests.unit.migration.sides import Sides, both_sides
from tests.unit.pipeline.release.conftest import statistics_are_computed_once as statistics_are_computed_once


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    with both_sides(tmp_path_factory.mktemp("sides")) as sides:
        yield sides


@pytest.fixture
def sides(both: Sides) -> Sides:
    """Both sides, without any rows but the platform's own."""
    both.clear()
    return both
