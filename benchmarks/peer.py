"""What a system must say about itself to be measured: its commands, and nothing else; `ours` is one of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Command = tuple[str, ...]

APPS = Path(__file__).parent / "apps"
PRODUCER = ("{python}", "-m", "producer")


@dataclass(frozen=True)
class Site:
    """Where a system is being measured; the words in braces that its commands may use."""

    python: str  # the interpreter of its environment
    bin: str  # the folder of that interpreter
    url: str  # the server, over the transport of this run
    directory: str  # its own empty folder, new for each measurement

    def fill(self, command: Command) -> list[str]:
        return [part.format(**vars(self)) for part in command]


@dataclass(frozen=True)
class Peer:
    """One system in one configuration.

    ``app`` names a module in apps/ with ``one(n)``, ``latency(sent)`` and, where the system has it, ``bulk(n)`` (plain or async; an async
    context manager ``session()`` may wrap them); its tasks call ``noop.tick()`` and ``noop.latency(sent)``. A system in another language
    has its own ``producer`` that understands ``one N``, ``bulk N`` and ``latency N`` and prints the same line of JSON.

    ``fires`` starts everything that schedules need, adds as many one-second schedules as the number appended to it says, their phases
    spread over the second, sets the key ``armed`` of the statistics database to the epoch second from which they fire, and runs until it
    is ended; each fire calls ``noop.latency(nominal)``.
    """

    name: str
    environment: str  # a key of environments.ENVIRONMENTS
    what: str  # configuration and guarantee, for the report
    app: str = ""
    producer: Command = PRODUCER
    workers: tuple[Command, ...] = ()
    bulk: bool = False
    fires: Command = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Site], None] | None = None  # writes what the system wants to find in site.directory

    def produce(self, site: Site, mode: str, number: int) -> list[str]:
        return [*site.fill(self.producer), *filter(None, [self.app]), mode, str(number)]
