"""Tune hears of every way in which Ray loses an actor as of one that died."""

import pytest
from ray.air.execution import FixedResourceManager
from ray.air.execution._internal import RayActorManager
from ray.air.execution._internal.tracked_actor import TrackedActor
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.air.execution.resources import ResourceRequest
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RaySystemError
from ray.tune.execution import tune_controller

from sp_search.tune.lost_actors import DIED, LEFT, LOW_MEMORY, NODE, REASON, Actors, survived

LOSSES = [
    (OutOfMemoryError("full"), LOW_MEMORY, ""),
    (NodeDiedError("gone"), LEFT, ""),
    (
        RayActorError(error_msg="The actor died because its node has died. Node Id: 0e22b21e\n\tand so on"),
        LEFT,
        "0e22b21e",
    ),
    (RaySystemError("gone"), DIED, ""),
    (RayActorError(), DIED, ""),
]


def lose(error):
    """Let an actor's slice end with `error`; return what its trial hears, why, and with which machine."""
    resources, heard = FixedResourceManager({"CPU": 1}), []
    manager = Actors(resources)

    def hear(actor, exception):
        heard.append((isinstance(exception, RayActorError), REASON.get(), NODE.get()))

    actor = TrackedActor(1, on_error=hear)
    request = ResourceRequest([{"CPU": 1}])
    resources.request_resources(request)
    manager._live_actors_to_ray_actors_resources[actor] = (None, resources.acquire_resources(request))
    manager._actor_task_failed(TrackedActorTask(actor), error)
    return heard


@pytest.mark.parametrize(("error", "reason", "node"), LOSSES)
def test_a_trial_hears_that_its_actor_died_and_why(error, reason, node):
    assert lose(error) == [(True, reason, node)]
    assert (REASON.get(), NODE.get()) == (DIED, "")


def test_an_error_that_is_not_rays_is_nobodys_death():
    with pytest.raises(RuntimeError, match="unexpected"):
        Actors(FixedResourceManager({"CPU": 1}))._actor_task_failed(TrackedActorTask(TrackedActor(1)), KeyError("ours"))


def test_tune_has_its_own_actors_back_afterwards():
    with survived():
        assert tune_controller.RayActorManager is Actors
    assert tune_controller.RayActorManager is RayActorManager
