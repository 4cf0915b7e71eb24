"""How recorded events change what a study asks for: members that were added, settings that were extended."""

from __future__ import annotations

from typing import Any

from sp_search.settings_file import with_changes

CHANGES = ("member_added", "extended")
"""Events that change the study itself."""


def changed_content(content: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """Return a study's content as a recorded event leaves it."""
    if event["event"] == "extended":
        return with_changes(content, event["settings"])
    members = [*content["population"]["members"], event["added"]["config"]]
    return {**content, "population": {**content["population"], "members": members}}


def changed_header(header: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """Return a ledger's header as a recorded event leaves what it says."""
    population = header["population"]
    if event["event"] == "extended":
        population = {**population, "replicas": event["replicas"]}
        header = {**header, "terms": {**header["terms"], "milestones": event["milestones"]}}
    else:
        population = {**population, "members": [*population["members"], event["added"]]}
    return {**header, "study": changed_content(header["study"], event), "population": population}
