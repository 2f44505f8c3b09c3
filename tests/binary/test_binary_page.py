"""The local page out of the binary: what uvicorn, anyio and TLS look up by name is inside, and so are the page's own files."""

from api_site import Site


def test_the_page_is_served_with_tls_from_the_binary(gateways_are_binaries, tmp_path):
    site = Site(tmp_path, tls=True)
    with site.gateway:
        site.start()
        assert "SHA-256" in site.gateway.command("page", "code").stdout
        admin = site.admin()
        assert admin.cookie.startswith("__Host-session=")
        for path in ("/", "/app.css", "/js/views/index.js", "/strings/es.json", "status", "config", "inventory", "openapi.json"):
            assert admin.call("GET", path).status == 200, path
        connection = admin.connect()
        connection.request("GET", "/api/v1/events", headers={"Cookie": admin.cookie})
        assert connection.getresponse().read(11) == b"event: all\n"
        connection.close()
        assert site.gateway.stop() == 0, site.gateway.tail()
