"""A REST server that keeps entities as ThingsBoard CE 4.2 does, in memory, on loopback.

Each rule is from ThingsBoard v4.2.2.3 (commit 6c607478):
  login, refresh        ThingsboardSecurityConfiguration, JwtPair; 401 errorCode 11 for a token that ran out, 10 else
  errors                ThingsboardErrorResponseHandler: {status, message, errorCode, timestamp}; 400/31, 403/20, 404/32, 409/35, 429/33
  paging                PageData {data, totalPages, totalElements, hasNext}; pageSize and page are required
  names                 unique per tenant: *_unq_key of device, asset, customer, device and asset profile; not dashboards and rule chains
  versions              HasVersion: a save with an old version is 409; each save counts one up
  device                a new one gets an ACCESS_TOKEN of 20 characters; `type` follows its profile (DeviceServiceImpl)
  profiles              unknown queues and references are refused; one in use is not deleted (DeviceProfileServiceImpl, :249)
  alarm rules           come back with every field of their Java classes, null where not given, numbers of predicates as doubles
  rule chain            metadata apart; nodes get ids and come back in order of creation (BaseRuleChainService.loadRuleChainMetaData)
  dashboards            lists hold DashboardInfo, without `configuration`; customers in assignedCustomers
  deletion              takes relations, attributes and credentials along, and a customer's users (CustomerServiceImpl.deleteEntity)
  certificates          kept without armour and line ends, found by the hash of that (DeviceCredentialsServiceImpl.formatCertData)
  attributes            texts that are numbers become numbers (JsonConverter.parseValues, JSON_TYPE_CAST_ENABLED)
Shares no code with what it tests.
"""

import copy
import hashlib
import json
import re
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

NOBODY = {"entityType": "CUSTOMER", "id": "13814000-1dd2-11b2-8080-808080808080"}
QUEUES = {"Main", "HighPriority", "SequentialByOriginator"}
KINDS = {      # path -> entity type, listing, name field, unique
    "customer": ("CUSTOMER", "customers", "title", "Customer with such title already exists!"),
    "ruleChain": ("RULE_CHAIN", "ruleChains", "name", ""),
    "dashboard": ("DASHBOARD", "tenant/dashboards", "title", ""),
    "deviceProfile": ("DEVICE_PROFILE", "deviceProfiles", "name", "Device profile with such name already exists!"),
    "assetProfile": ("ASSET_PROFILE", "assetProfiles", "name", "Asset profile with such name already exists!"),
    "asset": ("ASSET", "tenant/assets", "name", "Asset with such name already exists!"),
    "device": ("DEVICE", "tenant/devices", "name", "Device with such name already exists!"),
}
LISTINGS = {listing: path for path, (_, listing, _, _) in KINDS.items()}
ALARM_NULLS = {"schedule": None, "dashboardId": None, "alarmDetails": None}


class Refusal(Exception):
    def __init__(self, status, message, code):
        self.status, self.message, self.code = status, message, code


def missing():
    return Refusal(404, "Requested item wasn't found!", 32)


class ThingsBoardRest:
    """Use it in a `with`; `.url` is where it listens."""

    def __init__(self, user="tenant@example.org", password="hunter2-hunter2", version="4.2.2.3"):
        self.user, self.password, self.version = user, password, version
        self.users = {user: password}
        self.authority = "TENANT_ADMIN"
        self.store = {path: {} for path in KINDS}      # id -> entity
        self.chains, self.credentials, self.attributes, self.relations = {}, {}, {}, []
        self.people = {}              # customer id -> e-mail addresses
        self.requests = []            # (method, path, body)
        self.refuse = {}              # (method, regular expression of the path) -> Refusal
        self.busy = 0                 # so many 429 answers come first
        self.token_lives = None       # so many requests
        self.password_ends_in = None  # so many requests: somebody changes it, and the tokens given before end
        self.logins = self.refreshes = 0
        self.cut_at_write = None      # that write is done, and the connection ends before its answer
        self.before_save = None       # called once before the next save: somebody else at work
        self._tokens, self._refresh, self._lock = {}, set(), threading.RLock()
        self._clock = 1_700_000_000_000
        self.seed("deviceProfile", {"name": "default", "default": True, "type": "DEFAULT", "transportType": "DEFAULT"})
        self.seed("assetProfile", {"name": "default", "default": True})
        self.seed("ruleChain", {"name": "Root Rule Chain", "type": "CORE", "root": True})

    # ---- for tests

    def __enter__(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self):
                outer._serve(self)
            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def seed(self, path, body):
        return self._save(path, copy.deepcopy(body))

    def named(self, path, name):
        field = KINDS[path][2]
        (found,) = [one for one in self.store[path].values() if one[field] == name]
        return found

    def names(self, path):
        return sorted(one[KINDS[path][2]] for one in self.store[path].values())

    def writes(self):
        return [(method, path) for method, path, _ in self.requests if method != "GET" and not path.startswith("/api/auth")]

    def snapshot(self):
        return copy.deepcopy((self.store, self.chains, self.credentials, self.attributes, self.relations))

    # ---- HTTP

    def _serve(self, handler):
        length = int(handler.headers.get("Content-Length") or 0)
        raw = handler.rfile.read(length)
        parts = urlsplit(handler.path)
        path, query = unquote(parts.path), {key: values[0] for key, values in parse_qs(parts.query).items()}
        with self._lock:
            try:
                body = json.loads(raw) if raw else None
                self.requests.append((handler.command, path, body))
                status, answer = 200, self._route(handler, handler.command, path, query, body)
            except Refusal as no:
                status = no.status
                answer = {"status": no.status, "message": no.message, "errorCode": no.code, "timestamp": int(time.time() * 1000)}
        if handler.command != "GET" and not path.startswith("/api/auth") and self.cut_at_write is not None:
            self.cut_at_write -= 1
            if self.cut_at_write < 0:
                self.cut_at_write = None
                handler.close_connection = True
                return
        data = b"" if answer is None else json.dumps(answer).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _route(self, handler, method, path, query, body):
        if path == "/api/auth/login":
            self.logins += 1
            if self.users.get(body["username"]) != body["password"]:
                raise Refusal(401, "Invalid username or password", 10)
            return self._pair(body["username"])
        if path == "/api/auth/token":
            self.refreshes += 1
            if body["refreshToken"] not in self._refresh:
                raise Refusal(401, "Authentication failed", 10)
            return self._pair(self.user)
        self._admit(handler.headers.get("X-Authorization") or "")
        if self.busy:
            self.busy -= 1
            raise Refusal(429, "Too many requests for current tenant!", 33)
        for (refused, pattern), refusal in self.refuse.items():
            if refused == method and re.fullmatch(pattern, path):
                raise refusal
        if path == "/api/system/info":
            return {"version": self.version}
        for pattern, function in ROUTES:
            found = re.fullmatch(pattern, f"{method} {path}")
            if found:
                return function(self, query, body, *found.groups())
        raise missing()

    def _pair(self, user):
        self.who = user
        token, refresh = f"jwt-{uuid.uuid4()}", f"refresh-{uuid.uuid4()}"
        self._tokens[token] = self.token_lives
        self._refresh.add(refresh)
        return {"token": token, "refreshToken": refresh}

    def _admit(self, header):
        token = header.removeprefix("Bearer ")
        if self.password_ends_in is not None:
            self.password_ends_in -= 1
            if self.password_ends_in < 0:
                self._tokens.clear()
                self._refresh.clear()
                self.users[self.user] = "changed"
        if token not in self._tokens:
            raise Refusal(401, "Authentication failed", 10)
        left = self._tokens[token]
        if left == 0:
            raise Refusal(401, "Token has expired", 11)
        self._tokens[token] = None if left is None else left - 1

    # ---- entities

    def _list(self, query, _, listing):
        path = LISTINGS[listing]
        size, page = int(query["pageSize"]), int(query["page"])
        every = sorted(self.store[path].values(), key=lambda one: (one["createdTime"], one["id"]["id"]))
        if path == "dashboard":
            every = [{key: value for key, value in one.items() if key != "configuration"} for one in every]
        return {"data": every[page * size:(page + 1) * size], "totalPages": -(-len(every) // size), "totalElements": len(every),
                "hasNext": (page + 1) * size < len(every)}

    def _get(self, _, __, path, ident):
        if ident not in self.store[path]:
            raise missing()
        return self.store[path][ident]

    def _post(self, _, body, path):
        if self.authority != "TENANT_ADMIN":
            raise Refusal(403, "You don't have permission to perform this operation!", 20)
        if self.before_save is not None:
            before, self.before_save = self.before_save, None
            before()
        return self._save(path, body)

    def _save(self, path, body):
        entity_type, _, field, taken = KINDS[path]
        body = copy.deepcopy(body)
        known = None
        if body.get("id"):
            known = self.store[path].get(body["id"]["id"])
            if known is None:
                raise missing()
            if body.get("version") is not None and body["version"] != known["version"]:
                raise Refusal(409, f"{entity_type} was already changed by someone else", 35)
        if not str(body.get(field) or "").strip():
            raise Refusal(400, f"{entity_type} {field} should be specified!", 31)
        if taken and any(one[field] == body[field] and one is not known for one in self.store[path].values()):
            raise Refusal(400, taken, 31)
        self._referred(path, body)
        self._clock += 1
        body["id"] = known["id"] if known else {"entityType": entity_type, "id": str(uuid.uuid4())}
        body["createdTime"] = known["createdTime"] if known else self._clock
        body["tenantId"] = {"entityType": "TENANT", "id": "7e0c9a70-0000-11ee-8000-000000000001"}
        body["version"] = known["version"] + 1 if known else 1
        ident = body["id"]["id"]
        if path in ("device", "asset"):
            profile = self.store[f"{path}Profile"][body[f"{path}ProfileId"]["id"]]
            body["type"] = profile["name"]
            body.setdefault("customerId", dict(NOBODY))
            body.setdefault("label", None)
        if path == "device" and not known:
            self.credentials[ident] = {"id": {"id": str(uuid.uuid4())}, "deviceId": body["id"], "credentialsType": "ACCESS_TOKEN",
                                       "credentialsId": uuid.uuid4().hex[:20], "credentialsValue": None, "version": 1}
        if path == "dashboard":
            body["assignedCustomers"] = known["assignedCustomers"] if known else None
        if path == "deviceProfile":
            body = self._java(body)
        self.store[path][ident] = body
        return body

    def _referred(self, path, body):
        if path in ("device", "asset") and (body.get(f"{path}ProfileId") or {}).get("id") not in self.store[f"{path}Profile"]:
            raise Refusal(400, f"{path.title()} is referencing to non existing {path} profile!", 31)
        if path == "deviceProfile":
            if body.get("defaultQueueName") and body["defaultQueueName"] not in QUEUES:
                raise Refusal(400, "Device profile is referencing to non-existent queue!", 31)
            for key, where in (("defaultRuleChainId", "ruleChain"), ("defaultDashboardId", "dashboard")):
                if body.get(key) and body[key]["id"] not in self.store[where]:
                    raise Refusal(400, "Can't assign non-existent entity", 31)

    @staticmethod
    def _java(profile):
        """What Jackson makes of a DeviceProfileData that went through its classes."""
        for alarm in (profile.get("profileData") or {}).get("alarms") or ():
            for key in ("propagate", "propagateToOwner", "propagateToTenant"):
                alarm.setdefault(key, False)
            for rule in [*alarm["createRules"].values(), alarm["clearRule"]]:
                if rule is None:
                    continue
                for key, value in ALARM_NULLS.items():
                    rule.setdefault(key, value)
                for one in rule["condition"]["condition"]:
                    one.setdefault("value", None)
                    ThingsBoardRest._predicate(one["predicate"])
        return profile

    @staticmethod
    def _predicate(predicate):
        if predicate["type"] == "COMPLEX":
            for part in predicate["predicates"]:
                ThingsBoardRest._predicate(part)
            return
        value = predicate["value"]
        value.setdefault("userValue", None)
        value.setdefault("dynamicValue", None)
        if predicate["type"] == "NUMERIC":
            value["defaultValue"] = float(value["defaultValue"])
        if value["dynamicValue"] is not None:
            value["dynamicValue"] = {"resolvedValue": None, "inherit": False, **value["dynamicValue"]}

    def _delete(self, _, __, path, ident):
        entity = self._get(None, None, path, ident)
        if path == "dashboard" and any((one.get("defaultDashboardId") or {}).get("id") == ident for one in self.store["deviceProfile"].values()):
            raise Refusal(400, "The dashboard is referenced by a device profile", 31)
        users = {"deviceProfile": [("device", "deviceProfileId")], "assetProfile": [("asset", "assetProfileId")],
                 "ruleChain": [("deviceProfile", "defaultRuleChainId")]}.get(path, [])
        for user, key in users:
            if any((one.get(key) or {}).get("id") == ident for one in self.store[user].values()):
                word = {"deviceProfile": "device profile", "assetProfile": "asset profile", "ruleChain": "rule chain"}[path]
                by = "device profiles" if path == "ruleChain" else f"{user}s"
                raise Refusal(400, f"The {word} referenced by the {by} cannot be deleted!", 31)
        del self.store[path][ident]
        self.relations = [one for one in self.relations if entity["id"] not in (one["from"], one["to"])]
        for beside in (self.credentials, self.attributes, self.chains, self.people):
            beside.pop(ident, None)
        if path == "customer":
            for one in [*self.store["device"].values(), *self.store["asset"].values()]:
                if one["customerId"]["id"] == ident:
                    one["customerId"] = dict(NOBODY)
            for one in self.store["dashboard"].values():
                one["assignedCustomers"] = [who for who in one["assignedCustomers"] or () if who["customerId"]["id"] != ident]

    # ---- beside them

    def _chain(self, _, __, ident):
        self._get(None, None, "ruleChain", ident)
        return self.chains.get(ident, {"ruleChainId": {"entityType": "RULE_CHAIN", "id": ident}, "firstNodeIndex": None, "nodes": [], "connections": None})

    def _set_chain(self, _, body):
        chain = self._get(None, None, "ruleChain", body["ruleChainId"]["id"])
        if body.get("version") is not None and body["version"] != chain["version"]:
            raise Refusal(409, "RULE_CHAIN was already changed by someone else", 35)
        chain["version"] += 1
        nodes = [{**node, "id": {"entityType": "RULE_NODE", "id": str(uuid.uuid4())}, "createdTime": 1, "ruleChainId": chain["id"], "externalId": None,
                  "debugMode": False, "queueName": None} for node in body["nodes"]]
        order = sorted(range(len(nodes)), key=lambda index: nodes[index]["id"]["id"])      # same millisecond: by id
        moved = {old: new for new, old in enumerate(order)}
        self.chains[chain["id"]["id"]] = {
            "ruleChainId": chain["id"], "version": chain["version"], "nodes": [nodes[index] for index in order],
            "firstNodeIndex": moved[body["firstNodeIndex"]], "ruleChainConnections": None,
            "connections": [{**wire, "fromIndex": moved[wire["fromIndex"]], "toIndex": moved[wire["toIndex"]]} for wire in body["connections"]],
        }
        return self.chains[chain["id"]["id"]]

    def _assign(self, _, __, customer, path, ident):
        owner, entity = self._get(None, None, "customer", customer), self._get(None, None, path, ident)
        if path == "dashboard":
            entity["assignedCustomers"] = [*(entity["assignedCustomers"] or ()), {"customerId": owner["id"], "title": owner["title"], "public": False}]
        else:
            entity["customerId"] = owner["id"]
        entity["version"] += 1
        return entity

    def _unassign(self, _, __, path, ident):
        entity = self._get(None, None, path, ident)
        if entity["customerId"] == NOBODY:
            raise Refusal(400, f"{path.title()} isn't assigned to any customer!", 31)
        entity["customerId"] = dict(NOBODY)
        entity["version"] += 1
        return entity

    def _unassign_dashboard(self, _, __, customer, ident):
        entity = self._get(None, None, "dashboard", ident)
        entity["assignedCustomers"] = [who for who in entity["assignedCustomers"] or () if who["customerId"]["id"] != customer]
        return entity

    def _attributes(self, query, _, __, ident):
        kept = self.attributes.get(ident, {})
        return [{"lastUpdateTs": 1, "key": key, "value": kept[key]} for key in query["keys"].split(",") if key in kept]

    def _set_attributes(self, _, body, __, ident):
        self.attributes.setdefault(ident, {}).update({key: self._cast(value) for key, value in body.items()})

    @staticmethod
    def _cast(value):
        """NumberUtils.isParsable, then BigDecimal: a long without a point, a double with one."""
        digits = value.removeprefix("-") if isinstance(value, str) else ""
        if digits and digits.count(".") <= 1 and digits[-1] != "." and digits.replace(".", "").isdigit():
            if "." in digits:
                return float(value)
            return int(value) if abs(int(value)) < 2 ** 63 else str(int(value))
        return value

    def _people(self, query, _, customer):
        found = self.people.get(customer, [])
        return {"data": [{"email": one} for one in found[:int(query["pageSize"])]], "totalPages": 1, "totalElements": len(found), "hasNext": False}

    def _credentials(self, _, __, ident):
        self._get(None, None, "device", ident)
        return self.credentials[ident]

    def _set_credentials(self, _, body):
        if body["credentialsType"] == "X509_CERTIFICATE":
            value = body["credentialsValue"]
            for trimmed in ("-----BEGIN CERTIFICATE-----", "\n", "\r", "-----END CERTIFICATE-----"):
                value = value.replace(trimmed, "")
            body = {**body, "credentialsValue": value, "credentialsId": hashlib.sha3_256(value.encode()).hexdigest()}
        if any(one["credentialsId"] == body["credentialsId"] for ident, one in self.credentials.items() if ident != body["deviceId"]["id"]):
            raise Refusal(400, "Specified credentials are already registered!", 31)
        self.credentials[body["deviceId"]["id"]] = body
        return body

    def _relations(self, query, _):
        return [one for one in self.relations if one["from"] == {"entityType": query["fromType"], "id": query["fromId"]}
                and one["type"] == query["relationType"]]

    def _relate(self, _, body):
        for end in (body["from"], body["to"]):
            if not any(end["id"] in entities for entities in self.store.values()):
                raise missing()
        key = (body["from"], body["to"], body["type"])
        if key not in [(one["from"], one["to"], one["type"]) for one in self.relations]:
            self.relations.append({**body, "version": 1, "additionalInfo": None})

    def _part(self, query, _):
        gone = ({"entityType": query["fromType"], "id": query["fromId"]}, {"entityType": query["toType"], "id": query["toId"]}, query["relationType"])
        if gone not in [(one["from"], one["to"], one["type"]) for one in self.relations]:
            raise missing()
        self.relations = [one for one in self.relations if (one["from"], one["to"], one["type"]) != gone]


_ID, _PATHS = r"([0-9a-f-]{36})", "|".join(KINDS)
ROUTES = [(pattern, getattr(ThingsBoardRest, name)) for pattern, name in (
    (rf"GET /api/({'|'.join(LISTINGS)})", "_list"),
    (rf"GET /api/ruleChain/{_ID}/metadata", "_chain"),
    (r"POST /api/ruleChain/metadata", "_set_chain"),
    (rf"GET /api/device/{_ID}/credentials", "_credentials"),
    (r"POST /api/device/credentials", "_set_credentials"),
    (rf"GET /api/({_PATHS})/{_ID}", "_get"),
    (rf"POST /api/({_PATHS})", "_post"),
    (rf"DELETE /api/({_PATHS})/{_ID}", "_delete"),
    (rf"POST /api/customer/{_ID}/(device|asset|dashboard)/{_ID}", "_assign"),
    (rf"DELETE /api/customer/(device|asset)/{_ID}", "_unassign"),
    (rf"DELETE /api/customer/{_ID}/dashboard/{_ID}", "_unassign_dashboard"),
    (rf"GET /api/plugins/telemetry/([A-Z_]+)/{_ID}/values/attributes/SERVER_SCOPE", "_attributes"),
    (rf"POST /api/plugins/telemetry/([A-Z_]+)/{_ID}/attributes/SERVER_SCOPE", "_set_attributes"),
    (rf"GET /api/customer/{_ID}/users", "_people"),
    (r"GET /api/relations", "_relations"),
    (r"POST /api/relation", "_relate"),
    (r"DELETE /api/relation", "_part"),
)]
