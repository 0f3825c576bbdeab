"""The end of serving: what is computed is finished, and everybody else who was let in is told in a sentence."""

import asyncio
import time
from typing import Any

RESTARTING = "The page is being restarted; try again in a minute."
_LOOK_SECONDS = 0.05
#: Until a stream has carried the last sentence out.
_FLUSH_SECONDS = 1


async def finish_events(queue: Any, seconds: float) -> None:
    """End all events of Gradio's queue, in the event loop that serves it.

    Args:
        seconds: how long what is under way may take.
    """
    waiting = [event for each in queue.event_queue_per_concurrency_id.values() for event in each.queue]
    for each in queue.event_queue_per_concurrency_id.values():
        each.queue.clear()
    _refuse(queue, waiting)
    await _until(lambda: not any(queue.active_jobs), seconds)
    _refuse(queue, [event for job in queue.active_jobs if job for event in job])
    await _until(lambda: not any(queue.pending_event_ids_session.values()), _FLUSH_SECONDS)


def _refuse(queue: Any, events: list[Any]) -> None:
    from gradio.server_messages import ProcessCompletedMessage

    for event in events:
        queue.send_message(event, ProcessCompletedMessage(output={"error": RESTARTING}, success=False))
        event.alive = False


async def _until(is_over: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_over() and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_SECONDS)
