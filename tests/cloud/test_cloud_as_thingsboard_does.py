"""Where ThingsBoard's source (v4.2.2.3) does otherwise than one would think: what it keeps, what it takes along, whom it shuts out."""

import hashlib

import pytest
from small_fleet import FLEET, PEM


def test_a_certificate_is_found_by_the_hash_of_what_the_gateway_shows(server, cloud):
    """The server keeps neither armour nor line ends, and hashes whatever else stands there (EncryptionUtil.certTrimNewLines)."""
    (cloud.folder / "gw-2.pem").write_text(f"subject=CN = gw-2\nissuer=CN = x\n{PEM}".replace("\n", "\r\n"))
    assert cloud("apply", "--yes")[0] == 0
    kept = server.credentials[server.named("device", "gw-2")["id"]["id"]]
    assert kept["credentialsId"] == hashlib.sha3_256(b"MIIBszCCAVmgAwIBAgIUQQ==").hexdigest()
    status, output = cloud("diff")
    assert (status, "certificate" in output) == (0, False)
    (cloud.folder / "gw-2.pem").write_text(PEM.replace("UQQ==", "UQ"))
    status, output = cloud("diff")
    assert status == 1
    assert "gw-2.pem: not a certificate in PEM" in output


def test_a_site_whose_name_is_a_number_is_what_it_should_be_the_second_time_too(server, cloud):
    """ThingsBoard makes numbers of texts that look like them (JsonConverter.parseValues)."""
    for name in ("0017", "17.50", "-3", "9" * 30):
        assert cloud("apply", "--yes", fleet=FLEET.replace("Substation 12", name))[0] == 0
        assert server.attributes[server.named("device", "gw-1")["id"]["id"]]["site"] in (17, 17.5, -3, "9" * 30)
        _, output = cloud("diff")
        assert "server attributes" not in output, output
        cloud("destroy", "--yes")


def test_people_of_a_customer_are_not_deleted_with_it(server, cloud):
    """DELETE /api/customer deletes its users, whom this fleet did not make (CustomerServiceImpl.deleteEntity)."""
    cloud("apply", "--yes")
    customer = server.named("customer", "Utility North")["id"]["id"]
    server.people[customer] = ["reader@example.org", "other@example.org"]
    for words in ((), ("--yes",)):
        status, output = cloud("destroy", *words)
        assert status == 1
        assert "customer Utility North: has 2 users" in output
    assert server.names("customer") == ["Utility North"]
    assert server.names("device") == []
    server.people.clear()
    assert cloud("destroy", "--yes")[0] == 0
    assert server.names("customer") == []


@pytest.mark.parametrize("command", ["apply", "destroy"])
def test_a_password_that_ends_in_the_middle_ends_the_run(server, cloud, command):
    """Each object would be another refused login, and maxFailedLoginAttempts locks the account (SecuritySettings)."""
    if command == "destroy":
        assert cloud("apply", "--yes")[0] == 0
    server.password_ends_in, before = 20, server.logins
    status, output = cloud(command, "--yes")
    assert status == 1
    assert "login of tenant@example.org refused" in output
    assert "changes" in output, "what was done until then is told"
    assert server.logins - before == 2


def test_a_line_that_somebody_adds_to_a_description_takes_nothing_from_the_fleet(server, cloud):
    cloud("apply", "--yes")
    profile = server.named("deviceProfile", "microstar")
    server.seed("deviceProfile", {**profile, "description": f"{profile['description']} \nseen by Anna"})
    status, output = cloud("apply", "--yes")
    assert (status, "~ device profile microstar: description" in output) == (0, True)
    server.seed("deviceProfile", {**server.named("deviceProfile", "microstar"), "description": f"{profile['description']}\nseen"})
    assert cloud("destroy", "--yes")[0] == 0
    assert server.names("deviceProfile") == ["default"]


def test_dashboards_for_two_customers_that_are_both_new(cloud):
    _, output = cloud("apply", fleet=FLEET.replace("[[customer]]", '[[customer]]\ntitle = "Other"\n[[customer]]', 1))
    assert "~ dashboard HaLow meter: for customer Other" in output
    assert "~ dashboard HaLow meter: for customer Utility North" in output
