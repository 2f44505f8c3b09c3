"""Who gets in: passwords, tries, sessions, codes, tokens, without a network."""

import asyncio
import stat

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.api import cardcode, passwords
from edge.api.access import CODE_LIFE_S, CODE_TRIES, FILE_NAME, Access
from edge.api.limiter import (
    ADDRESSES_KEPT,
    FORGOTTEN_AFTER_S,
    FREE_TRIES,
    REST_FIRST_S,
    REST_MAX_S,
    TRIES_IN_ALL,
    Limiter,
    neighbourhood,
)
from edge.api.problem import Problem, at_fields
from edge.api.sessions import IDLE_S, LIFE_S, MOST, Role, Sessions
from edge.errors import ConfigError
from edge.model import Stamp

GOOD = "correct horse battery"
CHEAP = 2


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now

    def stamp(self):
        return Stamp(int(self.now * 1000), int(self.now * 1000), "boot", True)

    def synchronised(self):
        return True


@pytest.fixture
async def access(tmp_path):
    desk = Access(tmp_path, Clock(), scrypt_n=CHEAP)
    await desk.open()
    yield desk
    desk.close()


async def refused(call) -> Problem:
    with pytest.raises(Problem) as caught:
        await call
    return caught.value


def test_a_password_is_found_again_and_no_other_is():
    kept = passwords.hashed(GOOD, n=CHEAP)
    assert passwords.matches(GOOD, kept)
    assert not passwords.matches(GOOD + "x", kept)
    assert passwords.hashed(GOOD, n=CHEAP).key != kept.key, "each has its own salt"
    assert kept.key not in repr(kept)


def test_the_cost_in_force_is_one_of_those_that_are_recommended():
    assert passwords.Hashed("", "") == passwords.Hashed("", "", 2**14, 8, 5)


@pytest.mark.parametrize(("password", "good"), [("short", False), ("aaaaaaaaaaaa", False), ("x" * 129, False), ("tab\tinside it", False), ("contraseña larga", True)])
def test_what_can_be_a_password(password, good):
    assert (passwords.fault(password) == "") == good


def test_a_code_is_read_as_a_person_types_it():
    code = passwords.new_code()
    assert passwords.code_digest(code.lower().replace("-", "  ")) == passwords.code_digest(code)


def test_some_tries_are_free_and_then_each_waits_longer():
    limiter, now, waits = Limiter(), 0.0, []
    for _ in range(14):
        now += limiter.wait_s("10.0.0.1", now)
        limiter.begin("10.0.0.1", now)
        waits.append(limiter.wait_s("10.0.0.1", now))
    assert waits[: FREE_TRIES - 1] == [0.0] * (FREE_TRIES - 1)
    assert waits[FREE_TRIES - 1: FREE_TRIES + 2] == [REST_FIRST_S, 2 * REST_FIRST_S, 4 * REST_FIRST_S]
    assert waits[-1] == REST_MAX_S
    assert limiter.wait_s("10.0.0.2", now) == 0.0, "another address is not held up"
    limiter.begin("10.0.0.1", now + FORGOTTEN_AFTER_S + 1)
    assert limiter.wait_s("10.0.0.1", now + FORGOTTEN_AFTER_S + 1) == 0.0


def test_a_crowd_is_limited_and_success_takes_its_own_try_back():
    limiter = Limiter()
    for number in range(TRIES_IN_ALL):
        limiter.begin(f"10.0.{number}.1", 0.0)
    assert limiter.wait_s("192.0.2.7", 1.0) > 0
    limiter.passed("10.0.3.1")
    assert limiter.wait_s("192.0.2.7", 1.0) == 0.0


@given(st.lists(st.ip_addresses(), max_size=60), st.floats(0, 1e6))
@example([], 0.0)
def test_the_limiter_never_grows_and_never_asks_for_more_than_its_longest_wait(addresses, now):
    limiter = Limiter()
    for address in addresses:
        limiter.begin(str(address), now)
        assert 0 <= limiter.wait_s(str(address), now) <= REST_MAX_S
    assert len(limiter._of) <= min(len(addresses), ADDRESSES_KEPT)


def test_an_ipv6_neighbour_is_the_same_visitor():
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:2") != neighbourhood("2001:db8:0:1::1")
    assert neighbourhood("::ffff:10.0.0.1") == neighbourhood("10.0.0.1")
    assert neighbourhood("fe80::1%wlan0") == neighbourhood("fe80::2%eth0")


def test_sessions_end_by_rest_by_age_and_by_number():
    sessions = Sessions()
    secret, who = sessions.begin("admin", Role.ADMIN, 0.0)
    assert sessions.find(secret, IDLE_S - 1) is who
    assert sessions.find(secret, 2 * IDLE_S) is None
    secret, who = sessions.begin("admin", Role.ADMIN, 0.0)
    now = 0.0
    while now <= LIFE_S:
        assert sessions.alive(who, now)
        now += IDLE_S / 2
    assert not sessions.alive(who, now)
    assert sessions.find(secret, now) is None
    first, _ = sessions.begin("admin", Role.ADMIN, now)
    for _ in range(MOST):
        sessions.begin("admin", Role.ADMIN, now)
    assert sessions.find(first, now) is None


async def test_nobody_owns_it_before_a_code_from_the_box(access, tmp_path):
    assert access.setup_required
    assert (await refused(access.login(GOOD, "10.0.0.1"))).status == 401
    assert (await refused(access.claim("22222-22222", GOOD, "10.0.0.2"))).status == 401
    secret, who = await access.claim(access.new_code(), GOOD, "10.0.0.3")
    assert who.role is Role.ADMIN
    assert access.principal(None, secret) == who
    assert not access.setup_required
    kept = tmp_path / FILE_NAME
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert GOOD.encode() not in kept.read_bytes()
    assert secret.encode() not in kept.read_bytes()


async def test_a_code_is_good_once_for_a_while_and_for_few_tries(access):
    code = access.new_code()
    await access.claim(code, GOOD, "10.0.0.1")
    assert (await refused(access.claim(code, GOOD, "10.0.0.1"))).status == 401
    code = access.new_code()
    access._clock.now += CODE_LIFE_S + 1
    assert (await refused(access.claim(code, GOOD, "10.0.0.2"))).status == 401
    code = access.new_code()
    for number in range(CODE_TRIES):
        assert "wrong code" in str(await refused(access.claim("22222-33333", GOOD, f"10.1.{number}.1")))
    assert "no such code" in str(await refused(access.claim(code, GOOD, "10.2.0.1")))
    code = access.new_code()
    assert (await refused(access.claim(code, "short", "10.3.0.1"))).problems[0].field == "password"
    await access.claim(code, GOOD, "10.3.0.1")      # a password that will not do costs no code


async def test_guessing_has_to_wait_and_the_right_password_waits_too(access):
    await access.claim(access.new_code(), GOOD, "10.0.0.1")
    for _ in range(FREE_TRIES):
        assert (await refused(access.login("wrong password", "10.9.9.9"))).status == 401
    problem = await refused(access.login(GOOD, "10.9.9.9"))
    assert problem.status == 429
    assert problem.retry_after_s == pytest.approx(REST_FIRST_S)
    access._clock.now += REST_FIRST_S
    await access.login(GOOD, "10.9.9.9")


async def test_many_guesses_at_once_are_many_guesses(access):
    await access.claim(access.new_code(), GOOD, "10.0.0.1")
    outcomes = await asyncio.gather(*(refused(access.login("wrong password", "10.9.9.9")) for _ in range(40)))
    assert sum(problem.status == 401 for problem in outcomes) <= FREE_TRIES


async def test_another_password_ends_all_sessions_and_tokens_stay(access):
    old, _ = await access.claim(access.new_code(), GOOD, "10.0.0.1")
    token = await access.add_token("script", "view")
    new, _ = await access.change_password(GOOD, "another good one", "10.0.0.1")
    assert access.principal(None, old).role is Role.OPEN
    assert access.principal(None, new).role is Role.ADMIN
    assert access.principal(f"Bearer {token}", None).role is Role.VIEW
    assert (await refused(access.login(GOOD, "10.0.0.2"))).status == 401


async def test_a_restart_keeps_password_and_tokens_and_no_session(access, tmp_path):
    cookie, _ = await access.claim(access.new_code(), GOOD, "10.0.0.1")
    token = await access.add_token("script", "admin")
    again = Access(tmp_path, Clock(), scrypt_n=CHEAP)
    await again.open()
    assert again.principal(None, cookie).role is Role.OPEN
    assert again.principal(f"bearer {token}", None).role is Role.ADMIN
    await again.login(GOOD, "10.0.0.1")
    await again.remove_token("script")
    assert again.principal(f"Bearer {token}", None).role is Role.OPEN
    again.close()


@pytest.mark.parametrize("content", [b"", b"{", b'{"admin": 5}', b"\xff" * 100, msgspec.json.encode({"admin": {"salt": "zz", "key": "zz"}})])
async def test_a_damaged_file_lets_nobody_in_and_a_code_mends_it(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    desk = Access(tmp_path, Clock(), scrypt_n=CHEAP)
    await desk.open()
    assert (await refused(desk.login(GOOD, "10.0.0.1"))).status == 401
    await desk.claim(desk.new_code(), GOOD, "10.0.0.1")
    desk.close()


CARD = "7KQ3M-9ZT4W"


@pytest.fixture
def carried(tmp_path, monkeypatch):
    """The card's code, as the first boot leaves it; cheap."""
    real = passwords.hashed
    monkeypatch.setattr(cardcode.passwords, "hashed", lambda password, n=CHEAP: real(password, n=n))
    return cardcode.keep(tmp_path, cardcode.parse(CARD.encode(), "page.code"))


async def test_the_code_of_the_card_sets_the_password_once_and_not_after_a_restart_either(access, tmp_path, carried):
    hashed = carried.read_bytes()
    assert stat.S_IMODE(carried.stat().st_mode) == 0o600
    assert CARD.replace("-", "").encode() not in hashed
    assert (await refused(access.claim(CARD, "short", "10.0.0.1"))).status == 422, "a password that will not do costs no code"
    await access.claim("7kq3m 9zt4w", GOOD, "10.0.0.1")
    assert not carried.exists()
    assert "no such code" in str(await refused(access.claim(CARD, "another good one", "10.0.0.2")))
    carried.write_bytes(hashed)      # as a power cut leaves it, whose directory was not synced
    await access.add_token("script", "view")
    again = Access(tmp_path, Clock(), scrypt_n=CHEAP)
    await again.open()
    assert (await refused(again.claim(CARD, "another good one", "10.0.0.2"))).status == 401
    await again.login(GOOD, "10.0.0.1")
    cardcode.keep(tmp_path, cardcode.parse(b"NEXTCARD23456", "page.code"))
    await again.claim("NEXTCARD23456", "another good one", "10.0.0.1")      # a card with a new code, for one that is forgotten
    again.close()


async def test_guesses_do_not_use_up_the_code_of_the_card_and_have_to_wait(access, carried):
    for number in range(2 * CODE_TRIES):
        assert "wrong code" in str(await refused(access.claim("22222-33333", GOOD, f"10.1.{number}.1")))
    for _ in range(FREE_TRIES):
        await refused(access.claim("22222-33333", GOOD, "10.9.9.9"))
    assert (await refused(access.claim(CARD, GOOD, "10.9.9.9"))).status == 429
    await access.claim(CARD, GOOD, "10.2.0.1")


async def test_of_two_who_have_the_code_of_the_card_one_may_use_it(access, carried):
    came = await asyncio.gather(access.claim(CARD, GOOD, "10.0.0.1"), access.claim(CARD, "another good one", "10.0.0.2"), return_exceptions=True)
    assert sorted(type(each).__name__ for each in came) == ["Problem", "tuple"]


async def test_whoever_sets_a_password_ends_the_code_of_the_card(access, carried):
    code = access.new_code()
    await access.claim(code, GOOD, "10.0.0.1")
    assert not carried.exists()
    assert (await refused(access.claim(CARD, "another good one", "10.0.0.2"))).status == 401
    cardcode.keep(carried.parent, "NEXTCARD23456")
    await access.change_password(GOOD, "another good one", "10.0.0.1")
    assert not carried.exists()


async def test_a_password_that_cannot_be_written_leaves_the_code_of_the_card(access, carried, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("edge.api.access.write_file", full)
        assert (await refused(access.claim(CARD, GOOD, "10.0.0.1"))).status == 503
    await access.claim(CARD, GOOD, "10.0.0.1")


@pytest.mark.parametrize("text", [b"", b"short", b"O1O1O1O1O1O1", b"2222222222", b"7KQ3M-9ZT4W\n7KQ3M-9ZT4W!", b"\xff\xfe7\x00K\x00", b"A" * 4096])
def test_what_is_no_code_for_a_card_is_refused_without_being_told(text):
    with pytest.raises(ConfigError, match="card-code` draws one") as caught:
        cardcode.parse(text, "page.code")
    assert "7KQ3M" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"salt": "zz", "key": "zz"}', b"\xff" * 9000])
async def test_a_damaged_code_lets_nobody_in(access, tmp_path, content):
    (tmp_path / cardcode.FILE_NAME).write_bytes(content)
    assert (await refused(access.claim(CARD, GOOD, "10.0.0.1"))).status == 401
    await access.claim(access.new_code(), GOOD, "10.0.0.1")


def test_a_line_of_the_registry_is_told_at_its_field():
    lines = ["port = 0: must be from 1 to 65535", "counter_obis: is odd", "line 3: no", "poll.interval_s = -1: too small"]
    assert at_fields(lines, ("port", "counter_obis", "poll.interval_s")) == [
        ("port", "must be from 1 to 65535"), ("counter_obis", "is odd"), ("", "line 3: no"), ("poll.interval_s", "too small")]
