"""redis.url: every form that is allowed, and one clear error for each that is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.address import Address, mask_url, parse_address
from scheduler.core.errors import StoreError


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost", Address("tcp", tls=False, hosts=(("localhost", 6379),))),
        ("redis://h:7000/3", Address("tcp", tls=False, hosts=(("h", 7000),), options={"db": 3})),
        ("redis://h/?db=4", Address("tcp", tls=False, hosts=(("h", 6379),), options={"db": 4})),
        ("redis://:p%2Fw@h", Address("tcp", tls=False, hosts=(("h", 6379),), options={"password": "p/w"})),
        ("redis://[::1]:7000", Address("tcp", tls=False, hosts=(("::1", 7000),))),
        (
            "rediss://u:p@h:1?ssl_ca_certs=/ca.pem&ssl_check_hostname=no",
            Address(
                "tcp",
                tls=True,
                hosts=(("h", 1),),
                options={"username": "u", "password": "p", "ssl_ca_certs": "/ca.pem", "ssl_check_hostname": False},
            ),
        ),
        ("unix:///run/s%20x.sock?db=1", Address("unix", tls=False, path="/run/s x.sock", options={"db": 1})),
        ("unix://:pw@/run/s", Address("unix", tls=False, path="/run/s", options={"password": "pw"})),
        (
            "redis+sentinel://:pw@a:1,b/main/2?sentinel_password=spw&socket_timeout=1.5",
            Address(
                "sentinel",
                tls=False,
                hosts=(("a", 1), ("b", 26379)),
                master="main",
                options={"password": "pw", "db": 2, "socket_timeout": 1.5},
                sentinel_options={"password": "spw"},
            ),
        ),
        ("redis+sentinel://a/main", Address("sentinel", tls=False, hosts=(("a", 26379),), master="main")),
        ("redis+cluster://a:1,b:2/0", Address("cluster", tls=False, hosts=(("a", 1), ("b", 2)))),
        ("rediss+cluster://a", Address("cluster", tls=True, hosts=(("a", 6379),))),
    ],
)
def test_allowed(url: str, address: Address) -> None:
    assert parse_address(url) == address


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("embeded", "'embeded' is no kind of store; did you mean 'embedded'?"),
        ("rediz://h", "'rediz' is no kind of store; did you mean 'redis'?"),
        ("http://h", "Allowed: embedded, redis://"),
        ("user:pa/ss@h", "'user:***@h' is no kind of store"),
        ("redis://", "is no kind of store"),
        ("redis://h:abc", "'h:abc' is not a host with a port, such as localhost:6379"),
        ("redis://h:99999", "port 99999 is not between 1 and 65535"),
        ("redis://h/first", "'first' is not the number of a database"),
        ("redis://a,b", "several hosts are for redis+sentinel://"),
        ("redis:///0", "'' is not a host"),
        ("redis://h?tiemout=3", "unknown option 'tiemout'"),
        ("redis://h?socket_timout=3", "unknown option 'socket_timout'; did you mean 'socket_timeout'?"),
        ("redis://h?retry_on_timeout=true", "unknown option 'retry_on_timeout'"),
        ("redis://h?ssl_ca_certs=/ca", "unknown option 'ssl_ca_certs' (it needs rediss://)"),
        ("redis://h?sentinel_password=x", "unknown option 'sentinel_password'"),
        ("redis://h?db=one", "option db: invalid literal"),
        ("rediss://h?ssl_check_hostname=perhaps", "option ssl_check_hostname: 'perhaps' is not true or false"),
        ("redis+sentinel://a:1", "the master's name is missing"),
        ("redis+cluster://a/1", "a cluster has database 0 only, not 1"),
        ("redis+cluster://a?db=1", "unknown option 'db'"),
        ("unix://run/store.sock", "the path of the socket is missing or relative"),
        ("redis://:pa/ss@h", "in a password, write the signs / ? # @ : % as %2F"),
        ("redis://[::1", "Invalid IPv6"),
        ("redis://h/0#main", "an address has no part that begins with #"),
    ],
)
def test_refused(url: str, told: str) -> None:
    with pytest.raises(StoreError) as caught:
        parse_address(url)
    assert told in str(caught.value)
    assert "pa/ss" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis://:pa/rest#w@h", "redis://:pa?rest#w@h", "redis://u:12#rest@h", "redis://u:12/rest?w@h"])
def test_a_password_that_was_cut_short_is_not_shown_in_part(url: str) -> None:
    with pytest.raises(StoreError, match="the password has a sign that must be percent-encoded") as caught:
        parse_address(url)
    assert "rest" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h/0", "redis://h/0"),
        ("redis://user:pw@h/0", "redis://user:***@h/0"),
        ("redis://:p@w/x@h", "redis://:***@h"),
        ("user:pw@h", "user:***@h"),
        ("unix:///s?db=1&password=pw&x=1", "unix:///s?db=1&password=***&x=1"),
        ("redis+sentinel://:a@h/m?sentinel_password=b", "redis+sentinel://:***@h/m?sentinel_password=***"),
    ],
)
def test_masked(url: str, shown: str) -> None:
    assert mask_url(url) == shown


@given(st.text())
def test_any_text_is_an_address_or_a_store_error(text: str) -> None:
    for url in (text, f"redis://{text}", f"redis+sentinel://{text}", f"unix:///{text}"):
        try:
            parse_address(url)
        except StoreError as exc:
            assert "Allowed" in str(exc)  # noqa: PT017 - both ends are fine, any other exception is not
