"""The folder is the registry."""

import importlib
import inspect

import pytest

from sp_search.errors import StudyError
from sp_search.plugins import FAMILIES, Plugin, UnknownPluginError, discover, find, located, suggest

PARTS = [(family, kind) for family in FAMILIES for kind in discover(family)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_familys_parts_are_subclasses_of_its_base(family):
    base = importlib.import_module(f"sp_search.{family}.base").PART
    assert all(issubclass(part, base) and part is not base for part in discover(family).values())


@pytest.mark.parametrize(("family", "kind"), PARTS)
def test_a_part_is_closed_described_and_found_by_its_kind(family, kind):
    part = find(family, kind)
    assert part.kind_name() == kind
    assert inspect.getdoc(part)
    config = part.model_config
    assert (config["strict"], config["extra"], config["frozen"], config["allow_inf_nan"]) == (
        True,
        "forbid",
        True,
        False,
    )
    undescribed = [name for name, field in part.model_fields.items() if name != "kind" and not field.description]
    assert not undescribed, "Field(description=...) is the one place where a setting is documented"


def test_an_unknown_kind_is_answered_with_the_nearest_and_all():
    with pytest.raises(
        UnknownPluginError,
        match=r"no priors plug-in is named 'ponder_nett'\. Did you mean 'ponder_net'\? Known: .*none",
    ):
        find("priors", "ponder_nett")


def test_an_empty_family_says_so():
    if not discover("audits"):
        with pytest.raises(UnknownPluginError, match="Known: none yet"):
            find("audits", "planted")


def test_a_far_word_suggests_nothing():
    assert suggest("zzz", ["width", "depth"]) == ""
    assert suggest("widht", ["width", "depth"]) == " Did you mean 'width'?"


class _Entry:
    """An installed entry point."""

    value = "somewhere:thing"
    dist = None

    def __init__(self, part):
        self._part = part
        self.name = "thing"

    def load(self):
        return self._part


@pytest.fixture
def installed(monkeypatch):
    """Pretend that one entry point is installed for every family."""

    def install(part):
        monkeypatch.setattr("sp_search.plugins.entry_points", lambda group: [_Entry(part)])
        return located.__wrapped__

    return install


def test_an_entry_point_that_is_no_part_is_named(installed):
    with pytest.raises(StudyError, match=r"somewhere:thing of group sp_search.priors is not a subclass of SpeedPrior"):
        installed(Plugin)("priors")


def test_two_parts_of_one_kind_are_refused(installed):
    class Twin(find("priors", "none")):
        pass

    with pytest.raises(StudyError, match="two priors are named 'none': rename the one in somewhere:thing"):
        installed(Twin)("priors")
