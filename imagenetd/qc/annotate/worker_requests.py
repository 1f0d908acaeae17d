"""What each request of a worker means, once it is known who asks."""

from collections.abc import Callable, Mapping

from imagenetd.qc.annotate import refusals
from imagenetd.qc.annotate.reading import read_answer
from imagenetd.qc.annotate.room import Room
from imagenetd.qc.annotate.tokens import Badge
from imagenetd.qc.tasks import Judgement, Task

Body = Mapping[str, object]


class WorkerRequests:
    """Every method is called with a valid badge; one of a blocked worker is refused.

    Args:
        room: The votes folder.
        on_sent: Called with the worker's name after each sent task.
    """

    def __init__(self, room: Room, on_sent: Callable[[str], None]) -> None:
        self._room, self._on_sent = room, on_sent

    def enter(self, badge: Badge) -> None:
        """Let a worker in."""
        self._room.workers.enter(badge.worker)

    def session(self, badge: Badge) -> Body:
        """Say who is here and what was sent, and show the training examples with their right answers."""
        self.enter(badge)
        settings = self._room.task_set.settings
        examples = [
            {
                "image": f"/api/image/{self._room.example_name(badge, number)}",
                "category": settings.display[one.category],
                "answer": {"can_recognise": one.can_recognise, "can_use": one.can_use},
                "reason": one.reason,
            }
            for number, one in enumerate(settings.training)
        ]
        return {
            "worker": badge.worker,
            "examples": examples,
            "trained": self._room.workers.is_trained(badge.worker),
            "num_sent": len(self._room.votes.received_from(badge.worker)),
        }

    def image(self, badge: Badge, name: str) -> bytes:
        """Return a picture of this session."""
        self.enter(badge)
        return self._room.image(badge, name)

    def examples(self, badge: Badge, body: Body) -> Body:
        """Remember that the worker has seen the examples."""
        self.enter(badge)
        self._room.workers.finish_examples(badge.worker)
        return {}

    def task(self, badge: Badge, body: Body) -> Body:
        """Give the worker the task that it is to do now, with what it has said of it so far."""
        self.enter(badge)
        task = self._room.next_task(badge.worker)
        if task is None:
            return {"task": None}
        answers = self._room.desk.answers(task.task_id, badge.worker)
        slots = [
            {
                "image": f"/api/image/{shown.image}",
                "category": shown.category,
                "answer": _said(answers.get(position)),
            }
            for position, shown in enumerate(self._room.shown(badge, task))
        ]
        return {"task": self._room.task_name(badge.worker, task.task_id), "slots": slots}

    def answer(self, badge: Badge, body: Body) -> Body:
        """Keep one answer."""
        self.enter(badge)
        task = self._task(badge, body)
        self._room.desk.save(task.task_id, badge.worker, read_answer(body))
        return {}

    def submit(self, badge: Badge, body: Body) -> Body:
        """Close a task; once. What all together still have to do is not told: it would show who failed a sentinel."""
        self.enter(badge)
        self._room.desk.submit(self._task(badge, body).task_id, badge.worker)
        self._on_sent(badge.worker)
        return {"num_sent": len(self._room.votes.received_from(badge.worker))}

    def _task(self, badge: Badge, body: Body) -> Task:
        name = body.get("task")
        if not isinstance(name, str):
            raise refusals.malformed("task is missing")
        return self._room.find_task(badge.worker, name)


def _said(answer: Judgement | None) -> dict[str, bool] | None:
    return None if answer is None else {"can_recognise": answer.can_recognise, "can_use": answer.can_use}
