"""Builds redis-py clients that never replay a command by themselves, and whose pools make threads wait instead of failing."""

from typing import Any, cast

import redis
from redis import cluster, connection, sentinel
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from scheduler.core.address import Address

# redis-py leaves these classes untyped.
_BlockingPool: Any = connection.BlockingConnectionPool
_Sentinel: Any = sentinel.Sentinel
_ClusterNode: Any = cluster.ClusterNode


def build(address: Address, settings: dict[str, Any]) -> redis.Redis:
    """A client of ``address``; ``settings`` are arguments of redis-py's pool and connections, and the address's own win over them."""
    options = {
        "encoding_errors": "replace",  # bytes of a foreign writer must never raise in the middle of a batch
        "health_check_interval": 0,
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        # redis-py's default replays each command up to ten times: one INCR with three lost replies ended at 4.
        "retry": Retry(NoBackoff(), 0),
        **settings,
        **address.options,
    }
    if address.kind == "unix":
        pool = _BlockingPool(connection_class=connection.UnixDomainSocketConnection, path=address.path, **options)
        return redis.Redis.from_pool(pool)
    options["socket_keepalive"] = True
    if address.kind == "sentinel":
        return _master_of(address, options)
    if address.kind == "cluster":
        return _cluster(address, options)
    host, port = address.hosts[0]
    connection_class = connection.SSLConnection if address.tls else connection.Connection
    return redis.Redis.from_pool(_BlockingPool(connection_class=connection_class, host=host, port=port, **options))


def _cluster(address: Address, options: dict[str, Any]) -> redis.Redis:
    (host, port), *others = address.hosts
    # Only a cluster made from a URL lets its nodes have another class of pool.
    url = f"{'rediss' if address.tls else 'redis'}://{f'[{host}]' if ':' in host else host}:{port}"
    nodes = [_ClusterNode(*other) for other in others]
    return cast("redis.Redis", redis.RedisCluster(url=url, startup_nodes=nodes, connection_pool_class=_BlockingPool, **options))


class _MasterPool(sentinel.SentinelConnectionPool, connection.BlockingConnectionPool):
    """The master's connections, with a bound at which threads wait; SentinelConnectionPool alone raises there."""


def _master_of(address: Address, options: dict[str, Any]) -> redis.Redis:
    watching = {name: value for name, value in options.items() if name.startswith(("socket_", "ssl_", "retry"))}
    watching |= {"ssl": address.tls, **address.sentinel_options}
    watchers = _Sentinel(address.hosts, sentinel_kwargs=watching, ssl=address.tls, **options)
    return cast("redis.Redis", watchers.master_for(address.master, connection_pool_class=_MasterPool))
