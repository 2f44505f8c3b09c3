"""`credentials rotate`: what is laid beside the token, what the gateway is asked, and how the outcome is told."""

import pytest
from cli_site import Site


@pytest.mark.parametrize(("answer", "status", "says"), [
    ({"outcome": "accepted", "detail": ""}, 0, "in use"), ({"outcome": "waiting", "detail": ""}, 0, "as soon as it can"),
    ({"outcome": "refused", "detail": "s:1 refused the login: 0x87"}, 1, "the old ones stay in use: s:1 refused the login: 0x87")])
def test_the_gateway_tries_it_and_the_outcome_is_told(site: Site, answer: dict[str, str], status: int, says: str) -> None:
    site.state_dir.mkdir()
    with site.daemon(credentials=answer) as asked:
        done = site("credentials", "rotate", "--from", "-", stdin="A1_NEW\n")
    assert (done.exit_code, len(asked)) == (status, 1)
    assert says in done.stdout
    assert "A1_NEW" not in done.output
    kept = site.state_dir / "uplink.token.next"
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == ("A1_NEW\n", 0o600)


def test_without_a_gateway_it_waits_and_can_be_forgotten(site: Site) -> None:
    assert "run this as the gateway's user" in site.refused("credentials", "rotate", "--from", "-", stdin="A1\n")[0]
    site.state_dir.mkdir()
    assert "at the next start" in site.good("credentials", "rotate", "--from", "-", stdin="A1\n")
    assert site.good("credentials", "rotate", "--drop") == "Forgotten.\n"
    assert site.good("credentials", "rotate", "--drop") == "There are no new credentials.\n"
    assert "must be one word" in site.refused("credentials", "rotate", "--from", "-", stdin="two words")[0]
    assert "--drop" in site.misused("credentials", "rotate")
