"""Simulated time and threads: the daemon's own loops, one at a time, in an order that a seed decides."""

import heapq
import queue
from collections import deque
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any, Self

from greenlet import getcurrent, greenlet

_STEP_NS = 400_000
"""What a turn of a thread takes at most."""
EPOCH_NS = 1_790_000_000_000_000_000


class KilledError(BaseException):
    """The process is no more; nothing in it may catch this and go on."""


class StuckError(AssertionError):
    """Simulated time ran out before something came true."""


class Task:
    """A thread: runs until it waits; woken by whom it waits for, or by time."""

    def __init__(self, process: "Process", run: Callable[[], object], name: str) -> None:
        self.process = process
        self.name = name
        self.waits = 0
        """Counts up at each wait, so that an old timer finds nobody."""
        self.done: list[Task] = []
        self.ended = False
        self.greenlet = greenlet(lambda: self._run(run), parent=process.scheduler.hub)

    def _run(self, run: Callable[[], object]) -> None:
        try:
            run()
        except KilledError:
            self.process.dead = True
        except BaseException as error:  # noqa: BLE001 - a thread that dies of anything is the simulation's failure
            self.process.died_of(self, error)
        self.ended = True
        self.process.scheduler.wake(self.done)


class Process:
    """The threads that die together."""

    def __init__(self, scheduler: "Scheduler") -> None:
        self.scheduler = scheduler
        self.dead = False
        self.tasks: list[Task] = []
        self.crash_in: int | None = None
        """So many steps from now a SIGKILL hits, wherever that is."""
        self.error: BaseException | None = None

    def start(self, run: Callable[[], object], name: str) -> Task:
        """Start a thread."""
        task = Task(self, run, name)
        self.tasks.append(task)
        self.scheduler.runnable.append(task)
        return task

    def died_of(self, task: Task, error: BaseException) -> None:
        """Note an exception that a thread did not catch."""
        if not self.dead:
            error.add_note(f"in thread {task.name}")
            self.error = error
            self.dead = True

    def crash_point(self) -> None:
        """Let the kill hit here if it is due.

        Raises:
            KilledError: it was.
        """
        if self.dead:
            raise KilledError
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in < 0:
                self.dead = True
                raise KilledError

    def bury(self) -> None:
        """Unwind all threads; what they do while they unwind reaches nobody."""
        self.dead = True
        for task in self.tasks:
            if not task.greenlet.dead and task.greenlet:
                task.greenlet.throw(KilledError())


class Scheduler:
    """Runs tasks and timed events; `rng` decides who comes next and how long it takes."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.now = 1_000_000_000
        """Monotonic nanoseconds."""
        self.wall_offset = EPOCH_NS
        self.steps = 0
        self.hub = getcurrent()
        self.runnable: list[Task] = []
        self._heap: list[tuple[int, int, Callable[[], object]]] = []
        self._count = 0

    def wall(self) -> int:
        """Return Unix nanoseconds; may jump."""
        return self.now + self.wall_offset

    def at(self, when_ns: int, event: Callable[[], object]) -> None:
        """Have something happen."""
        self._count += 1
        heapq.heappush(self._heap, (when_ns, self._count, event))

    def after(self, seconds: float, event: Callable[[], object]) -> None:
        """Have something happen so many seconds from now."""
        self.at(self.now + int(seconds * 1e9), event)

    def wake(self, waiting: list[Task]) -> None:
        """Let tasks run again."""
        for task in waiting:
            task.waits += 1
            self.runnable.append(task)
        waiting.clear()

    def wait(self, waiting: list[Task], timeout_s: float | None) -> None:
        """Give way until woken or until the time is over; called by a task."""
        task = self.current()
        if task.process.dead:
            raise KilledError
        mine = task.waits = task.waits + 1
        waiting.append(task)

        def end() -> None:
            if task.waits == mine and not task.process.dead:
                task.waits += 1
                waiting.remove(task)
                self.runnable.append(task)

        if timeout_s is not None:
            self.after(max(0.0, timeout_s), end)
        self.hub.switch()
        if task.process.dead:
            raise KilledError

    def sleep(self, seconds: float) -> None:
        """Have the current task take so long."""
        self.wait([], seconds)

    def current(self) -> Task:
        """Return the task that runs."""
        here = getcurrent()
        for task in self._running:
            if task.greenlet is here:
                return task
        raise KilledError  # a generator that is collected after its process died

    _running: tuple[Task, ...] = ()

    def step(self) -> None:
        """Let one thing happen.

        Raises:
            StuckError: nothing ever will.
        """
        self.steps += 1
        if self._heap and (self._heap[0][0] <= self.now or not self.runnable):
            when, _, event = heapq.heappop(self._heap)
            self.now = max(self.now, when)
            event()
            return
        if not self.runnable:
            raise StuckError("nobody is left to do anything")
        task = self.runnable.pop(self.rng.randrange(len(self.runnable)))
        if task.process.dead:
            return
        self.now += self.rng.randrange(_STEP_NS)
        self._running = (task,)
        task.greenlet.switch()
        self._running = ()


class SimpleQueue:
    """As queue.SimpleQueue; `scheduler` is set by `modules`."""

    scheduler: Scheduler

    def __init__(self, maxsize: int = 0) -> None:
        self.maxsize = maxsize
        self._items: deque[Any] = deque()
        self._getters: list[Task] = []
        self._putters: list[Task] = []

    def __class_getitem__(cls, _item: object) -> type[Self]:
        return cls

    def put(self, item: object, timeout: float | None = None) -> None:
        """Add an item; wait for room at most so long."""
        if self.full():
            if timeout is None or timeout > 0:
                self.scheduler.wait(self._putters, timeout)
            if self.full():
                raise queue.Full
        self._items.append(item)
        self.scheduler.wake(self._getters)

    def get(self, timeout: float | None = None) -> Any:  # noqa: ANN401
        """Take an item; wait for one at most so long."""
        while not self._items:
            waits = self.scheduler.now
            self.scheduler.wait(self._getters, timeout)
            if self._items or timeout is None:
                continue
            timeout -= (self.scheduler.now - waits) / 1e9
            if timeout <= 0:
                raise queue.Empty
        self.scheduler.wake(self._putters)
        return self._items.popleft()

    def get_nowait(self) -> Any:  # noqa: ANN401
        """Take an item that is there."""
        if not self._items:
            raise queue.Empty
        self.scheduler.wake(self._putters)
        return self._items.popleft()

    def empty(self) -> bool:
        """Say whether nothing is there."""
        return not self._items

    def qsize(self) -> int:
        """Return how much is there."""
        return len(self._items)

    def full(self) -> bool:
        """Say whether there is no room."""
        return 0 < self.maxsize <= len(self._items)


class Event:
    """As threading.Event."""

    scheduler: Scheduler

    def __init__(self) -> None:
        self._set = False
        self._waiting: list[Task] = []

    def is_set(self) -> bool:
        """Say whether it happened."""
        return self._set

    def set(self) -> None:
        """Have it happen."""
        self._set = True
        self.scheduler.wake(self._waiting)

    def clear(self) -> None:
        """Undo it."""
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it happened, at most so long."""
        if not self._set:
            self.scheduler.wait(self._waiting, timeout)
        return self._set


def modules(scheduler: Scheduler) -> dict[str, SimpleNamespace]:
    """Return what stands in for `queue` and `threading`."""
    simple = type("SimpleQueue", (SimpleQueue,), {"scheduler": scheduler})
    event = type("Event", (Event,), {"scheduler": scheduler})

    class Thread:
        def __init__(self, target: Callable[[], object], name: str = "", *, daemon: bool = False) -> None:
            del daemon
            self._target = target
            self._name = name

        def start(self) -> None:
            self._task = scheduler.current().process.start(self._target, self._name)

        def join(self, timeout: float | None = None) -> None:
            if not self._task.ended and not self._task.process.dead:  # the dead wait for nobody while they unwind
                scheduler.wait(self._task.done, timeout)

        def is_alive(self) -> bool:
            return not self._task.ended

    return {
        "queue": SimpleNamespace(SimpleQueue=simple, Queue=simple, Empty=queue.Empty, Full=queue.Full),
        "threading": SimpleNamespace(Event=event, Thread=Thread),
    }
