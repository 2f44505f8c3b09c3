"""`claim`: what the gateway is asked, and what the customer has to type."""

from cli_site import Site


def test_a_secret_is_drawn_or_brought(site: Site) -> None:
    site.configure('[uplink]\nhost = "h"\n')
    site.state_dir.mkdir()
    (site.state_dir / "device.id").write_text("0000beef\n")
    with site.daemon(claim={}) as asked:
        shown = site.good("claim", "--minutes", "10")
        given = site.good("claim", "--secret-from", "-", stdin="my own\n")
    assert shown == f"Device name: halow-gateway-0000beef\nSecret key:  {asked[0]['secret']}\n"
    assert len(asked[0]["secret"]) == 12
    assert asked[0]["duration_s"] == 600
    assert asked[1]["secret"] == "my own"
    assert "my own" not in given
    assert "holds no secret" in site.refused("claim", "--secret-from", "-", stdin="\n")[0]
    assert "no gateway is running here" in site.refused("claim")[0]
