"""Studies from texts."""

import pytest
from small_study import GOOD

from sp_search.errors import StudyError
from sp_search.study import load_study


@pytest.fixture
def problems(tmp_path):
    """Return the problems of a study's text, without the folder it lies in."""

    def read(text, **options):
        file = tmp_path / "study.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            load_study(file, **options)
        except StudyError as error:
            return [problem.replace(f"{tmp_path}/", "") for problem in error.problems]
        return []

    return read


@pytest.fixture
def study(tmp_path):
    """Return a study from its text."""

    def read(text=GOOD, **options):
        file = tmp_path / "study.yaml"
        file.write_text(text, encoding="utf-8")
        return load_study(file, **options)

    return read
