"""A certificate authority for tests: P-256, valid from and to whenever a test wants."""

import datetime as dt
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
PEM = serialization.Encoding.PEM


class Authority:
    """Signs in the name of `name`; `pem` is its own certificate."""

    def __init__(self, name):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        made = self._begin(self._name, self._key.public_key(), -DAY, DAY)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.pem = made.sign(self._key, hashes.SHA256()).public_bytes(PEM)

    def _begin(self, subject, public_key, since, until):
        return x509.CertificateBuilder(self._name, subject, public_key, x509.random_serial_number(), NOW + since, NOW + until)

    def signed(self, request, *, since=-DAY, until=DAY, host=""):
        """Return a certificate for a request (PEM)."""
        request = x509.load_pem_x509_csr(request)
        assert request.is_signature_valid
        made = self._begin(request.subject, request.public_key(), since, until)
        if host:
            names = [x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host)]
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return made.sign(self._key, hashes.SHA256()).public_bytes(PEM)

    def server(self, place, **validity):
        """Write server.key and server.pem into a directory."""
        key = ec.generate_private_key(ec.SECP256R1())
        (place / "server.key").write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        (place / "server.pem").write_bytes(self.signed(request.public_bytes(PEM), **({"host": "localhost"} | validity)))
