"""The shape of env.yaml: every key, its default, and what it may say."""

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, model_validator

from scheduler.core.address import parse_address
from scheduler.core.errors import StoreError
from scheduler.settings.fields import (
    Duration,
    Filled,
    Flag,
    Folder,
    Lease,
    Memory,
    Name,
    Names,
    SecretUrl,
    Section,
    SomeTime,
    Zone,
    empty,
    number,
    url,
)

TASKS = "config/${APP_ENV:-dev}.yaml"


def _absolute(address: SecretUrl, info: ValidationInfo) -> SecretUrl:
    """``sqlite:///data/history.db`` means a file below the folder of env.yaml."""
    scheme, _, path = address.get_secret_value().partition(":///")
    if not scheme.startswith("sqlite") or not path or path.startswith((":memory:", "/", "file:")):
        return address
    return SecretUrl(f"{scheme}:///{(info.context or {}).get('base', Path()) / path}")


def _read(address: SecretUrl) -> SecretUrl:
    """Told with its place, before anything connects."""
    try:
        if address.get_secret_value() != "embedded":
            parse_address(address.get_secret_value())
    except StoreError as error:
        raise ValueError(str(error).removeprefix("redis.url ")) from None
    return address


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


RedisUrl = Annotated[
    SecretUrl,
    url("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster", "unix", words=("embedded",)),
    AfterValidator(_read),
]
HistoryUrl = Annotated[
    SecretUrl,
    url("sqlite", "mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql", "postgresql", "postgresql+psycopg"),
    AfterValidator(_absolute),
]


class Executors(Section):
    """How many attempts run at one time in one worker process."""

    default_threads: Annotated[int, number(1, 10_000)] = 20
    """Threads, for tasks with executor: default."""
    process_pool: Annotated[int, number(1, 1_000)] = 5
    """Processes, for tasks with executor: processpool."""
    async_slots: Annotated[int, number(1, 100_000)] = 200
    """Coroutines, for tasks with executor: asyncio."""


class JobDefaults(Section):
    """What holds for every schedule whose task does not say otherwise."""

    coalesce: Flag = False
    """Several due instants within the grace time become one Run."""
    max_instances: Annotated[int, number(1)] = 3
    """Unfinished Runs one schedule may have."""
    misfire_grace_time: Duration = timedelta(seconds=30)
    """How late a fire may be and still be normal; later ones are misfires."""


class Centre(Section):
    """The centre itself: its name, its clock, its executors, and where the tasks are."""

    name: Name = "default"
    """The namespace of everything in Redis; two centres with different names never mix."""
    timezone: Zone = "Asia/Shanghai"
    """The time zone of every schedule that does not name its own."""
    executors: Executors = empty()
    job_defaults: JobDefaults = empty()
    tasks: Names = (TASKS,)
    """The task files: a path, a glob, or a list of them."""
    plugins: Folder = Path("plugins")
    """The folder of the task modules."""
    leader_lease: Lease = timedelta(seconds=6)
    """How long a leader that is not heard of still leads; a standby takes over within this and half a second."""


class Redis(Section):
    """The live store."""

    hints = dict.fromkeys(("host", "port", "username", "user", "password", "db"), "url: redis://user:password@host:6379/0")

    url: RedisUrl = SecretUrl("embedded")
    """embedded starts the bundled server in data_dir; else the address of a Redis or Valkey server."""
    data_dir: Folder = Path("data")
    """Where the embedded server keeps its data."""
    allow_volatile: Flag = False
    """Accept a server without persistence (tests, benchmarks)."""


class Worker(Section):
    """The worker processes of this instance."""

    processes: Annotated[int, number(0, 1_000)] = 1
    queues: Names = ("*",)
    """The queues to serve; * is every queue."""
    shutdown_timeout: Duration = timedelta(seconds=30)
    """How long running attempts may finish after SIGTERM; Ctrl-C gives them 2.5 s at most."""
    idle_timeout: Duration = timedelta(0)
    """Exit after so long without a Run; 0: never."""
    max_memory: Memory = 2 * 2**30
    """A worker process that has grown beyond this is replaced: it claims nothing more, and ends with its last Run; 0: never."""
    lease: Lease = timedelta(seconds=15)
    """How long a worker that is not heard of (its whole host is gone) still holds its Runs."""


class History(Section):
    """Finished Runs in SQL. Does nothing yet."""

    url: HistoryUrl = SecretUrl("sqlite:///data/history.db")
    """SQLite, MySQL, MariaDB or PostgreSQL, as SQLAlchemy writes addresses."""
    retention_days: Annotated[int, number(1, 36_500)] = 30
    table_prefix: Annotated[str, Field(pattern=r"^\w{0,40}$")] = ""
    table_name: Annotated[str, Field(pattern=r"^\w{1,40}$")] = "runs"


class Auth(Section):
    """Who may use the API and the dashboard."""

    mode: Literal["token", "none"] = "token"
    """none is accepted on a loopback address only. Does nothing yet."""


class Web(Section):
    """The API and the dashboard."""

    host: Filled = "127.0.0.1"
    port: Annotated[int, number(0, 65_535)] = 8400
    """0 takes a free port."""
    auth: Auth = empty()

    @model_validator(mode="after")
    def _no_open_door(self) -> Self:
        if self.auth.mode == "none" and not _loopback(self.host):
            raise ValueError(f"with auth.mode none would let everybody on {self.host} in; use mode: token, or a loopback host")
        return self


class RabbitMQ(Section):
    """Messages that become Runs."""

    url: Annotated[SecretUrl, url("amqp", "amqps")]
    queue: Filled = "task_queue"
    prefetch: Annotated[int, number(1, 65_535)] = 1
    max_retry_count: Annotated[int, number(0)] | None = None
    """Retries of a message that names none itself."""
    retry_delay: Duration = timedelta(seconds=60)


class Ingest(Section):
    """Other doors through which Runs come in. Does nothing yet."""

    rabbitmq: RabbitMQ | None = None


class Channel(Section):
    """Where a notice goes. The kind is the channel's own name unless type says it."""

    type: Literal["feishu", "dingtalk", "wecom", "slack", "email", "webhook"] | None = None
    url: SecretStr | None = None
    secret: SecretStr | None = None
    """The key that signs the message, where the service asks for one."""
    host: Filled | None = None
    port: Annotated[int, number(1, 65_535)] | None = None
    username: Filled | None = None
    password: SecretStr | None = None
    sender: Filled | None = None
    to: Names = ()


class Notify(Section):
    """Chat channels, mail and web hooks, and when to use them. Does nothing yet."""

    channels: dict[Name, Channel] = empty()
    rules: list[dict[str, Any]] = Field(default_factory=list)


class AlertThresholds(Section):
    """Beyond these an alert goes out. Does nothing yet, except queue_size: `doctor` warns of more waiting Runs."""

    failure_rate: Annotated[float, number(0, 1, whole=False)] = 0.1
    queue_size: Annotated[int, number(0)] = 1000
    avg_duration: SomeTime = timedelta(seconds=300)


class Monitoring(Section):
    """How often the centre looks at itself. Does nothing yet, except alert_thresholds.queue_size."""

    stats_interval: SomeTime = timedelta(seconds=60)
    health_check_interval: SomeTime = timedelta(seconds=30)
    alert_thresholds: AlertThresholds = empty()


class Logging(Section):
    """The centre's own log."""

    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)] = "INFO"
    dir: Folder = Path("logs")
    format: Literal["auto", "pretty", "json"] = "auto"
    """auto is pretty on a terminal and JSON otherwise."""


class Env(Section):
    """One deployment of the scheduling centre. Every key is optional."""

    scheduler: Centre = empty()
    redis: Redis = empty()
    worker: Worker = empty()
    history: History = empty()
    web: Web = empty()
    ingest: Ingest = empty()
    notify: Notify = empty()
    monitoring: Monitoring = empty()
    logging: Logging = empty()


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
