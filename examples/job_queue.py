"""A job queue: workers take jobs and acknowledge them; a job whose worker fails is done by another.

The queue watches whoever has taken a job.  When the taker ends before it has acknowledged, the job goes
back.  The workers are children of a crew, which starts a new one in place of one that failed.

Run it with ``trionet run examples/job_queue.py``.
"""

from collections.abc import Mapping
from math import inf

import attrs
import trio

from trionet import Handle, Node, Restart, Service, command, current_request, spec, value


@value
@attrs.frozen
class Job:
    id: int
    seconds: float
    attempt: int = 1


@attrs.frozen
class Taken:
    job: Job
    watching: trio.CancelScope


class JobQueue(Service):
    def __init__(self) -> None:
        self.put_in, self.take_out = trio.open_memory_channel[Job](inf)
        self.taken: dict[Handle, Taken] = {}
        self.done: dict[int, str] = {}
        self.open = 0
        self.all_done = trio.Event()

    @command
    def put(self, job: Job) -> None:
        if not self.open:
            self.all_done = trio.Event()
        self.open += 1
        self.put_in.send_nowait(job)

    @command(deadline=inf)  # a worker may wait for as long as it takes
    async def take(self) -> Job:
        """Wait for a job; who asks again without having acknowledged gets the same job again."""
        taker = current_request().source
        if taker is None:
            raise TypeError("only a service can take a job, because only a service can be watched")
        if taker not in self.taken:
            job = await self.take_out.receive()
            self.taken[taker] = Taken(job, trio.CancelScope())
            self.nursery.start_soon(self._watch, taker, self.taken[taker])
        return self.taken[taker].job

    @command
    def acknowledge(self, result: str) -> None:
        """The job that the caller has taken is done."""
        taker = current_request().source
        taken = self.taken.pop(taker) if taker in self.taken else None
        if taken is None:
            raise LookupError("the caller has taken no job")
        taken.watching.cancel()
        self.done[taken.job.id] = result
        self.open -= 1
        if not self.open:
            self.all_done.set()

    @command(deadline=inf)
    async def results(self) -> Mapping[int, str]:
        """Wait until all jobs are done."""
        if self.open:
            await self.all_done.wait()
        return self.done

    async def _watch(self, taker: Handle, taken: Taken) -> None:
        with taken.watching:
            async with self.watch(taker) as watch:
                end = await watch.wait()
            print(f"  {taker} has ended ({end}); job {taken.job.id} goes back")
            del self.taken[taker]
            self.put_in.send_nowait(attrs.evolve(taken.job, attempt=taken.job.attempt + 1))


class Worker(Service):
    def __init__(self, queue: JobQueue) -> None:
        self.queue = queue

    async def setup(self) -> None:
        print(f"  {self.handle} is ready to work")
        self.nursery.start_soon(self._work)

    async def _work(self) -> None:
        while True:
            job = await self.queue.take()
            await trio.sleep(job.seconds)
            if job.id == 3 and job.attempt == 1:
                raise RuntimeError("the tool broke")  # in a task of the service: it ends the service
            await self.queue.acknowledge(f"done by {self.handle} at attempt {job.attempt}")


class Crew(Service):
    def __init__(self, queue: JobQueue, size: int) -> None:
        self.queue = queue
        self.size = size

    async def setup(self) -> None:
        for _ in range(self.size):
            await self.start(spec(Worker, self.queue), restart=Restart("failure", delay=0.1))


async def main(node: Node) -> None:
    queue = await node.start(JobQueue, name=".jobs")
    await node.start(spec(Crew, queue, size=2))
    for number in range(1, 7):
        await queue.put(Job(number, seconds=0.1 * number))
    for number, result in sorted((await queue.results()).items()):
        print(f"job {number}: {result}")
