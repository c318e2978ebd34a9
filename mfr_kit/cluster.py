"""A pool of actors on a Ray cluster that work through tasks; a lost actor is replaced.

A pool of our own and not Ray Data's: there a task is done or not, here it shows how far it is and
goes on, after its actor was lost, behind what is done.
"""

import logging
import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from mfr_kit.claims import WaitNote
from mfr_kit.errors import KitError

ENGINES = ["local", "ray"]
MOST_LOST = 5  # actors in a row, of one task that does not get on or before any is ready
CONNECT_S = 10.0
# how gRPC, which Ray speaks, begins: an empty frame of settings, answered by another
HTTP2_SETTINGS = b"\x04"
HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0" + HTTP2_SETTINGS + bytes(5)
_NONE = object()
LOOK_S = 1.0  # the longest wait before a look at what is missing


class Worker(Protocol):
    """What an actor is made of."""

    def load(self) -> str:
        """Load what all tasks need, and return where this is."""

    def work(self, task: Any, again: bool) -> Iterator[Any]:
        """Do a task and yield how far it is, or parts of what it gives; `again` if an actor was
        lost with it.
        """


def connected(engine: str, address: str | None) -> AbstractContextManager[None]:
    """Connect to the cluster that `--engine ray --address` names; with `local`, to nothing."""
    return connect(address) if engine == "ray" else nullcontext()


@contextmanager
def connect(address: str | None) -> Iterator[None]:
    """Connect this process to a Ray cluster; one that is connected stays so.

    Args:
        address: HOST:PORT, `auto` for the cluster that runs on this machine, `local` for a Ray of
            this machine that ends with the block; None for RAY_ADDRESS, and `local` without it.
    Raises:
        KitError: Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError:
        raise KitError(
            "--engine ray needs the package: pip install 'mfr-kit[cluster]', or leave the flag out"
        ) from None
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a Ray of our own reports to nobody
    usual = os.environ.get("RAY_ADDRESS")
    said = f"RAY_ADDRESS={usual}" if usual and address is None else f"--address {address}"
    address = address or usual or "local"
    own: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    _expect_answer(address, said)
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **own)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        why = str(error).partition(". ")[0] or type(error).__name__
        raise _no_cluster(said, why) from None
    try:
        yield
    finally:
        ray.shutdown()


def _expect_answer(address: str, said: str) -> None:
    """Refuse at once what Ray would try to reach for minutes."""
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise KitError(
            f"{said}: give HOST:PORT of the cluster's head, auto or local, and start "
            "the command on a machine of the cluster"
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_S) as connection:
            connection.sendall(HTTP2_HELLO)
            answer = connection.recv(4)
    except (OSError, OverflowError) as error:
        raise _no_cluster(said, str(error)) from None
    if answer[3:] != HTTP2_SETTINGS and not os.environ.get("RAY_USE_TLS"):
        raise _no_cluster(said, "what listens there is not Ray")


def _no_cluster(said: str, why: str) -> KitError:
    return KitError(
        f"{said}: no Ray cluster answers ({why}): `ray start --head` starts one, "
        "`ray status` shows it; `local` works on this machine alone"
    )


def capacity(resource: str) -> float:
    """How many of a resource, "CPU" or "GPU", the connected cluster has, busy or not."""
    import ray

    return ray.cluster_resources().get(resource, 0.0)


def share(
    on_gpu: bool, workers: int | None, cpus: float, gpus: float, threads: int = 1
) -> tuple[int, dict[str, float]]:
    """Say how many actors share a cluster, and what each takes of it.

    Args:
        on_gpu: whether each needs a GPU.
        workers: actors; None for one per GPU, or per `threads` CPUs.
        cpus: of the cluster.
        gpus: of the cluster.
        threads: CPUs that each takes.
    Raises:
        KitError: the cluster has nothing that they could take, and `workers` does not say how many
            will find a place once it has grown.
    """
    there = gpus if on_gpu else cpus // threads
    if workers is None and there < 1:
        what = "GPU" if on_gpu else "CPU" if threads == 1 else f"{threads} CPUs"
        raise KitError(
            f"the Ray cluster has no {what} (`ray status` shows what it has): start a machine "
            "with one, or say with --workers how many actors will find room"
        )
    size = workers or int(there)
    resources = {"num_cpus": float(threads), "num_gpus": 0.0}
    if on_gpu:  # several share one where there are more of them
        resources["num_gpus"] = 1.0 if size <= gpus or not gpus else int(1e4 * gpus / size) / 1e4
    return size, resources


class Pool:
    """Actors of one kind; use it in a `with` block, which ends them.

    Args:
        worker: a class of `Worker`.
        arguments: what each is made with.
        size: the number of actors; those that find no room begin when there is.
        say: is told which actor was lost.
        resources: what each takes of the cluster: `num_cpus`, `num_gpus`.
    """

    def __init__(
        self,
        worker: type[Worker],
        arguments: tuple,
        size: int,
        say: Callable[[str], None],
        **resources: float,
    ) -> None:
        import ray

        actor_class: Any = ray.remote(**resources)(worker)  # type: ignore[call-overload]
        self._make = lambda: actor_class.remote(*arguments)
        self._size, self._say = size, say
        self._loading: dict[Any, Any] = {}  # the answer to wait for -> its actor
        self._idle: deque[Any] = deque()
        self._places: dict[Any, str] = {}  # of the actors that are ready
        self._lost_unready = 0
        self._note = WaitNote(f"has no actor ready: each takes {resources}")

    def __enter__(self) -> "Pool":
        for _ in range(self._size):
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        for actor in [*self._loading.values(), *self._places]:
            _kill(actor)

    def wait(self) -> None:
        """Return when all actors are ready."""
        while self._loading:
            self._collect([])

    def work_through(self, tasks: Iterable[Any], report: Callable[[Any, Any], None]) -> None:
        """Have all tasks done, and `report` a task and what its actor yields; see `results`."""
        for task, answer in self.results(tasks):
            report(task, answer)

    def results(self, tasks: Iterable[Hashable]) -> Iterator[tuple[Any, Any]]:
        """Have all tasks done, each by one actor at a time, and yield a task and what its actor
        yields. Nothing piles up: a task is taken when an actor is free.

        Raises:
            KitError: an actor's own, or actors are lost again and again; others take the places of
                those that are at work then.
        """
        losses, again = Counter[Hashable](), set[Hashable]()
        retries: deque[Hashable] = deque()
        queue = _first_of(retries, iter(tasks))
        running: dict[Any, tuple[Any, Hashable]] = {}  # what an actor yields -> it and its task
        self._note.reset()
        try:
            while self._hand_out(queue, running, again) or running:
                for answers in self._collect(list(running)):
                    actor, task = running[answers]
                    try:
                        answer = _take(answers)
                    except StopIteration:
                        del running[answers]
                        self._idle.append(actor)
                        continue
                    except _Lost as error:
                        del running[answers]
                        losses[task] += 1
                        again.add(task)
                        retries.append(task)
                        self._replace(actor, f"task {task}", losses[task], error)
                        continue
                    losses[task] = 0
                    yield task, answer
        finally:
            for actor, _ in running.values():
                self._restart(actor)

    def _hand_out(
        self, queue: Callable[[], Any], running: dict[Any, tuple[Any, Hashable]], again: set
    ) -> bool:
        """Give idle actors tasks; whether some may be left."""
        while self._idle:
            task = queue()
            if task is _NONE:
                return False
            actor = self._idle.popleft()
            running[actor.work.remote(task, task in again)] = actor, task
        return True

    def _restart(self, actor: Any) -> None:
        self._places.pop(actor, None)
        _kill(actor)
        self._start()

    def _start(self) -> None:
        actor = self._make()
        self._loading[actor.load.remote()] = actor

    def _collect(self, running: list) -> list:
        """Return which of the running have an answer; actors that are ready become idle."""
        import ray

        watched = [*self._loading, *running]
        ray.wait(watched, num_returns=1, timeout=LOOK_S)
        ready, _ = ray.wait(watched, num_returns=len(watched), timeout=0)
        for answer in [answer for answer in ready if answer in self._loading]:
            actor = self._loading.pop(answer)
            try:
                self._places[actor] = _take(iter([answer]))
                self._idle.append(actor)
                self._lost_unready = 0
            except _Lost as error:
                self._lost_unready += 1
                self._replace(actor, "nothing yet", self._lost_unready, error)
        if running or self._idle:
            self._note.reset()
        else:
            self._note.tell("the cluster")
        return [answer for answer in ready if answer in running]

    def _replace(self, actor: Any, task: str, times: int, error: "_Lost") -> None:
        place = self._places.pop(actor, "the cluster")
        _kill(actor)
        if times >= MOST_LOST:
            raise KitError(
                f"{place}: {times} actors were lost one after the other at {task} (out of "
                f"memory?); the same command continues; Ray says: {error}"
            )
        self._say(f"note: an actor on {place} was lost at {task}, which another goes on with")
        self._start()


def _first_of(retries: deque, coming: Iterator) -> Callable[[], Any]:
    """Return what gives the next task, `_NONE` where there is none; retries come last."""

    def take() -> Any:
        task = next(coming, _NONE)
        return retries.popleft() if task is _NONE and retries else task

    return take


class _Lost(Exception):
    """An actor or its machine is gone."""


def _take(answers: Iterator[Any]) -> Any:
    """Return the next answer of an actor.

    Raises:
        StopIteration: there is no other.
        _Lost: it is gone.
        Exception: whatever the actor raised.
    """
    import ray

    try:
        return ray.get(next(answers))
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise cause if isinstance(cause, Exception) else error  # noqa: B904  shows where
    except ray.exceptions.RayError as error:
        raise _Lost(" ".join(str(error).split())[:300]) from None


def _kill(actor: Any) -> None:
    import ray

    ray.kill(actor)
