"""The queues by the API."""

from typing import Any

from redis import RedisError

from admin_flask.api.blueprint import serve
from admin_flask.api.problems import Problem
from admin_flask.api.schemas import QueueListOut
from admin_flask.held import held, moment
from core.services.queues.states import read_queues


@serve("/queues", "queues.view", gives=QueueListOut)
def queues() -> dict[str, Any]:
    """What waits, runs, is put off and was set aside in each queue. Needs a key of an admin or of support."""
    try:
        states = read_queues(held().redis, now=moment())
    except RedisError as error:
        raise Problem(
            503, "The queues can not be read: Redis does not answer.", headers={"Retry-After": "5"}
        ) from error
    return {
        "queues": [
            {
                "name": state.name,
                "waiting": state.waiting,
                "running": state.running,
                "retrying": state.retrying,
                "dead": state.dead,
                "oldest_s": round(state.oldest_s, 1),
            }
            for state in states
        ]
    }
