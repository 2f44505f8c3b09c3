"""A server that was just installed -> one with a password of its own, a tenant and its administrator (I/O edge).

ThingsBoard v4.2.2.3 (commit 6c607478): a fresh database has sysadmin@thingsboard.org with the password "sysadmin"
(DefaultSystemDataLoaderService); AuthController (/api/auth/changePassword, /api/noauth/activate), TenantController,
UserController. Changing a password ends the tokens given before. Each step looks first, so that a cut run goes on.
"""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cloud.errors import CloudError, LoginRefused, ServerError
from cloud.provision.rest import Rest

ADMIN = "sysadmin@thingsboard.org"
_KNOWN_TO_EVERYBODY = "sysadmin"
_BAD_REQUEST = 400

Login = Callable[[str, str], Rest]  # user, password


def bootstrap(login: Login, folder: Path, tenant: str, operator: str) -> list[str]:
    """Do it, and return a line per thing done. Passwords are in `<folder>/<user>.password` before they are set.

    Raises LoginRefused where the administrator's password is neither the first one nor the one in the folder.
    """
    done = []
    admin_password, operator_password = _password(folder, ADMIN), _password(folder, operator)
    try:
        with login(ADMIN, _KNOWN_TO_EVERYBODY) as rest:
            rest.post(
                "/api/auth/changePassword", {"currentPassword": _KNOWN_TO_EVERYBODY, "newPassword": admin_password}
            )
        done.append(f"{ADMIN} has a password of its own")
    except LoginRefused:
        pass  # changed already: by us, or the next login says that it was somebody else
    with login(ADMIN, admin_password) as rest:
        tenant_id = next((one["id"] for one in rest.pages("/api/tenants") if one["title"] == tenant), None)
        if tenant_id is None:
            tenant_id = rest.post("/api/tenant", {"title": tenant})["id"]
            done.append(f"tenant {tenant}")
        users = rest.pages(f"/api/tenant/{tenant_id['id']}/users")
        user = next((one for one in users if one["email"] == operator), None)
        if user is None:
            user = rest.post(
                "/api/user",
                {"tenantId": tenant_id, "email": operator, "authority": "TENANT_ADMIN"},
                {"sendActivationMail": "false"},
            )
        if _activated(rest, user["id"]["id"], operator_password):
            done.append(f"administrator {operator} of it")
    return done


def _activated(rest: Rest, user_id: str, password: str) -> bool:
    """Set the first password of a user; False where the user has one."""
    try:
        link = rest.get(f"/api/user/{user_id}/activationLinkInfo")["value"]
    except ServerError as error:
        if error.status == _BAD_REQUEST:
            return False
        raise
    token = parse_qs(urlsplit(link).query).get("activateToken", [""])[0]
    rest.post("/api/noauth/activate", {"activateToken": token, "password": password}, {"sendActivationMail": "false"})
    return True


def _password(folder: Path, user: str) -> str:
    """Return the password in the folder; a new one is drawn and written where there is none."""
    path = folder / f"{user}.password"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(f"{secrets.token_urlsafe(24)}\n")
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            pass
        return path.read_text().strip()
    except OSError as error:
        raise CloudError(f"{path}: cannot be written: {error.strerror}") from error
