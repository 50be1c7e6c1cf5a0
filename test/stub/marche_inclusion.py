"""API Marché de l'inclusion, played: structures, their reference lists, perimeters.

Traps kept: parameters it does not know are ignored; rows are sorted by a name
that is not unique, with ties in a new order each time; errors of the SIRET and
SIREN routes are plain text; limit has no maximum.
"""

import functools
import itertools
import operator
import random
import re
import urllib.parse
from datetime import datetime, timedelta, timezone

from httpd import Response, dumps
from paris import from_paris
from population import Paged, companies, siret_of
from territoires import COMMUNES, DEPARTEMENTS, PREFECTURE, REGION_OF, REGIONS, region_name, slugify
from tokens import by_value

KINDS = [
    ("EI", "Entreprise d'insertion", "Insertion"), ("AI", "Association intermédiaire", "Insertion"),
    ("ACI", "Atelier chantier d'insertion", "Insertion"),
    ("ETTI", "Entreprise de travail temporaire d'insertion", "Insertion"),
    ("EITI", "Entreprise d'insertion par le travail indépendant", "Insertion"),
    ("GEIQ", "Groupement d'employeurs pour l'insertion et la qualification", "Insertion"),
    ("SEP", "Produits et services réalisés en prison", "Insertion"), ("EA", "Entreprise adaptée", "Handicap"),
    ("EATT", "Entreprise adaptée de travail temporaire", "Handicap"),
    ("ESAT", "Etablissement et service d'aide par le travail", "Handicap"),
]
PARENT = {code: parent for code, _, parent in KINDS} | {"OPCS": ""}
PRESTA = [("DISP", "Mise à disposition - Interim"), ("PREST", "Prestation de service"),
          ("BUILD", "Fabrication et commercialisation de biens")]
PRESTA_CODES = [code for code, _ in PRESTA]
TENDER_KINDS = [("TENDER", "Appel d'offres"), ("QUOTE", "Demande de devis"), ("PROJ", "Sourcing")]
TENDER_AMOUNTS = [("0-1K", "0-1000 €"), ("1-5K", "1-5 K€"), ("5-10K", "5-10 K€"), ("10-15K", "10-15 K€"),
                  ("15-20K", "15-20 K€"), ("20-30K", "20-30 K€"), ("30-50K", "30-50 K€"), ("50-100K", "50-100 K€"),
                  ("100-150K", "100-150 K€"), ("150-250K", "150-250 K€"), ("250-500K", "250-500 K€"),
                  ("500-750K", "500-750 K€"), ("750K-1M", "750-1000 K€"), (">1M", "> 1 M€")]
PERIMETER_KINDS = [("CITY", "Commune"), ("DEPARTMENT", "Département"), ("REGION", "Région")]
# Sector, its group (None: a sector without group).
_SECTORS = [("Peinture", "Bâtiment"), ("Menuiserie", "Bâtiment"), ("Autre", "Bâtiment"),
            ("Nettoyage de locaux", "Nettoyage et entretien"), ("Blanchisserie", "Nettoyage et entretien"),
            ("Autre", "Nettoyage et entretien"), ("Traiteur", "Restauration"), ("Espaces verts", "Environnement"),
            ("Collecte et tri de déchets", "Environnement"), ("Numérisation d'archives", "Numérique"),
            ("Impression « à façon »", None), ("Couture", "Textile")]
SECTORS = [{"name": name, "slug": slugify(name) if name != "Autre" else "autre-" + slugify(group),
            "group": {"name": group, "slug": slugify(group)} if group else None} for name, group in _SECTORS]
SECTOR_SLUGS = [sector["slug"] for sector in SECTORS]
NETWORKS = [{"name": name, "slug": slugify(name), "brand": brand, "website": site} for name, brand, site in (
    ("Réseau Boussole", "Boussole", "https://boussole.example/"), ("Fédération de l'Estran", "", ""),
    ("Union des Ateliers", "UDA", "https://uda.example/"), ("Collectif Passerelles", "", ""))]
NETWORK_SLUGS = [network["slug"] for network in NETWORKS]
OTHER_DEPARTMENTS = ["975", "987", "988", "2A", "2B", "974", "971"]

# Kinds of the structures of the fixed companies: company, establishment, kind, active.
FIXED_STRUCTURES = [
    (0, 1, "EI", True), (0, 1, "ACI", True), (0, 2, "EI", True), (0, 3, "EI", True), (1, 1, "ACI", True),
    (2, 1, "AI", True), (3, 1, "ETTI", True), (4, 1, "ESAT", True), (5, 1, "EA", True), (6, 1, "AI", True),
    (7, 1, "AI", True), (8, 1, "EI", True), (9, 1, "GEIQ", True), (10, 1, "EI", False), (11, 1, "EI", True),
    (10, 1, "OPCS", True),
]
FIRST_ID = 1001
OPCS_ID = FIRST_ID + len(FIXED_STRUCTURES) - 1     # exists, is never shown
LABEL = '{"name":"Label exemple"}'
LAST_SYNC = datetime(2026, 8, 17, 5, 0, 0, tzinfo=timezone.utc)
LAST_SYNC_US = int(LAST_SYNC.timestamp()) * 1000000
WEEK_US = 7 * 86400 * 1000000
FIRST_SYNC_US = LAST_SYNC_US - 9 * WEEK_US
SYNC_DAYS = [(LAST_SYNC - timedelta(days=7 * (9 - week))).strftime("%Y-%m-%d") for week in range(10)]
MESSAGES = {
    "missing": ("Informations d'authentification non fournies.", "Authentication credentials were not provided."),
    "choice": ("Sélectionnez un choix valide. %s n’en fait pas partie.",
               "Select a valid choice. %s is not one of the available choices."),
    "date": ("Saisissez une date et une heure valides.", "Enter a valid date/time."),
    "nul": ("Le caractère nul n’est pas autorisé.", "Null characters are not allowed."),
    "not_found": ("Non trouvé.", "Not found."),
    "method": ("Méthode « %s » non autorisée.", "Method \"%s\" not allowed."),
    "accept": ("L'en-tête « Accept » n'a pas pu être satisfaite.", "Could not satisfy the request Accept header."),
    "required": ("Ce champ est obligatoire.", "This field is required."),
    "sector": ("Le paramètre 'sector' est requis.", "Le paramètre 'sector' est requis."),
}
DATE = re.compile(r"(\d{4})-(\d\d?)-(\d\d?)(?:[T ](\d\d?):(\d\d)(?::(\d\d)(?:\.(\d{1,6})\d*)?)?"
                  r"(Z|[+-]\d\d:?\d\d)?)?\Z")


class Refused(Exception):
    """A reply other than 200: status, body (object or text)."""

    def __init__(self, status, body, headers=()):
        super().__init__(status)
        self.status, self.body, self.headers = status, body, list(headers)


@functools.lru_cache(maxsize=4096)
def json_text(text):
    return dumps(text).decode()


@functools.lru_cache(maxsize=4096)
def slug_of(text):
    return slugify(text)


@functools.lru_cache(maxsize=4096)
def sectors_text(places):
    return ",".join(f'{{"name":{json_text(SECTORS[place]["name"])},"slug":"{SECTORS[place]["slug"]}"}}' for place in places)


@functools.lru_cache(maxsize=4096)
def networks_text(places):
    return ",".join(f'{{"name":{json_text(NETWORKS[place]["name"])},"slug":"{NETWORKS[place]["slug"]}"}}' for place in places)


def sync_text(updated):
    """A synchronisation time (microseconds) as the API writes it; they are all in summer."""
    if updated is None:
        return "null"
    weeks, rest = divmod(updated - FIRST_SYNC_US, WEEK_US)
    return f'"{SYNC_DAYS[weeks]}T07:{rest // 60000000:02}:{rest // 1000000 % 60:02}.{rest % 1000000:06}+02:00"'


def created_text(bits):
    """A creation time, in Paris; half of them have microseconds."""
    month = (1, 2, 4, 5, 6, 7, 8, 9, 11, 12)[(bits >> 3) % 10]
    return (f'{2021 + bits % 5}-{month:02}-{1 + (bits >> 7) % 28:02}T{(bits >> 11) % 24:02}:{(bits >> 16) % 60:02}:'
            f'{(bits >> 22) % 60:02}{"." + str(1000000 + (bits >> 20) % 999999)[1:] if bits & 1 else ""}'
            f'{"+02:00" if 4 <= month <= 9 else "+01:00"}')


def micros(moment):
    return int(moment.timestamp()) * 1000000 + moment.microsecond


def parse_moment(text):
    """An aware moment from a filter's text; without offset, Paris; None if wrong."""
    found = DATE.match(text.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
                          int((fraction or "0").ljust(6, "0")))
    except ValueError:
        return None
    if zone is None:
        return from_paris(moment)
    if zone == "Z":
        return moment.replace(tzinfo=timezone.utc)
    sign = -1 if zone[0] == "-" else 1
    return moment.replace(tzinfo=timezone(sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))))


class Structure:
    """What filters need; the JSON text is made from it when first asked."""

    __slots__ = ("id", "nom", "siret", "kind", "commune", "rank", "active", "sectors", "presta", "networks", "updated",
                 "draw", "brand")

    @property
    def departement(self):
        return self.commune.departement if self.commune else ""

    @property
    def slug(self):
        return f"{slug_of(self.nom)}-{self.departement or 'xx'}-{self.id}"


class MarcheInclusion(Paged):
    def __init__(self, count, seed):
        self.control = None
        self.tokens = by_value("marche_inclusion")
        self.rng = random.Random(seed)
        self.rows = []            # every structure, the OPCS ones and the spare ones too
        self.make(count + self.SPARE, seed)
        self.shown = [row for row in self.rows if row.kind != "OPCS"]
        self.texts = ({}, {})     # structure id to its JSON, with arrays in two orders
        self.start(count)
        self.arrange()
        self.perimeters = self.make_perimeters()
        self.routes = self.make_routes()

    def reset(self):
        self.reset_paged()

    def look(self):
        """Follow what is visible."""
        if self.arranged != self.visible:
            self.arrange()

    def arrange(self):
        self.arranged = self.visible
        rows = self.shown[:self.visible]
        self.sorted = sorted(rows, key=lambda row: row.nom)
        self.by_id = {row.id: row for row in rows}
        self.by_siret, self.by_siren, self.by_dep, self.by_slug = {}, {}, {}, {}
        for row in self.sorted:
            self.by_siret.setdefault(row.siret, []).append(row)
            self.by_siren.setdefault(row.siret[:9], []).append(row)
            self.by_dep.setdefault(row.departement, []).append(row)
            self.by_slug[row.slug] = row

    # -- data -------------------------------------------------------------

    def make(self, count, seed):
        """`count` structures that can be shown, and OPCS ones between them."""
        people = companies(count, seed)
        rng = random.Random(seed * 104729)
        draw = rng.random
        for company, rank, kind, active in FIXED_STRUCTURES:
            row = self.add(people[company], rank, kind, draw)
            row.active = active
            if kind not in ("ESAT", "SEP", "OPCS"):
                row.updated = LAST_SYNC_US + 42000000 + row.id
        shown = sum(1 for row in self.rows if row.kind != "OPCS")
        who, rank, previous = 12, 1, None
        codes = [code for code, _, _ in KINDS]
        while shown < count:
            if draw() < 0.01:
                self.add(people[who], 1, "OPCS", draw)
                continue
            kind = codes[int(draw() * draw() * 10)]
            if previous is not None and draw() < 0.03:
                row = self.add(people[who], previous, kind, draw)     # one SIRET, two structures
            else:
                if rank >= len(people[who].communes):
                    who, rank = who + 1, 1
                else:
                    rank += 1
                row = self.add(people[who], rank, kind, draw)
                previous = rank
            chance = draw()
            if chance < 0.004:
                row.siret = ""
            elif chance < 0.006:
                row.siret = row.siret[:13]
            elif chance < 0.010:
                row.commune = None
            elif chance < 0.020:
                row.commune = PREFECTURE[OTHER_DEPARTMENTS[int(draw() * len(OTHER_DEPARTMENTS))]]
            shown += 1

    def add(self, company, rank, kind, draw):
        row = Structure()
        row.id = FIRST_ID + len(self.rows)
        row.nom, row.kind, row.rank = company.nom, kind, rank
        row.siret = siret_of(company.siren, rank)
        row.commune = company.communes[min(rank, len(company.communes)) - 1]
        row.draw = bits = int(draw() * (1 << 40))
        row.active = bits % 11 != 0
        count = len(SECTORS)
        row.sectors = tuple(sorted({bits % count, (bits >> 4) % count, (bits >> 9) % count})[:(bits >> 13) % 4])
        row.presta = tuple(code for place, code in enumerate(PRESTA_CODES) if (bits >> (15 + place)) & 1)
        row.networks = tuple(place for place in range(len(NETWORKS)) if (bits >> (18 + 2 * place)) & 3 == 0)
        row.brand = "" if bits & 3 else "L’" + company.nom.split(" ")[0]
        row.updated = None
        if kind not in ("ESAT", "SEP", "OPCS") and (bits >> 5) % 13:
            week = 0 if (bits >> 8) % 5 else 1 + (bits >> 11) % 9
            row.updated = LAST_SYNC_US - week * WEEK_US + (bits >> 9) % 90000000
        self.rows.append(row)
        return row

    def text(self, row, salt):
        """The JSON of a structure, its set-valued arrays in one of two orders."""
        kept = self.texts[salt]
        found = kept.get(row.id)
        if found is None:
            found = kept[row.id] = self.encode(row, salt)
        return found

    def encode(self, row, salt):
        bits, commune = row.draw, row.commune
        step = -1 if salt else 1
        name = json_text(row.nom)
        site = f"https://structure-{row.id}.example/"
        presta = ",".join(f'"{code}"' for code in row.presta[::step])
        offers = ",".join(f'{{"name":"Offre {place + 1} « {name[1:-1]} »","description":"{"Prestation sur mesure, en lien avec les équipes." if place else ""}"}}'
                          for place in range((bits >> 25) % 3))
        clients = ('{"name":"Mairie exemple","description":"Chantier 2025\\nlot n°2","logo_url":"https://fichiers.example/logo/m.png"}'
                   if (bits >> 27) % 3 == 0 else "")
        address = f'{1 + bits % 98} {("rue", "avenue", "place", "quai")[(bits >> 6) & 3]} de l’Exemple' if commune else ""
        return (
            f'{{"id":{row.id},"name":{name},"brand":{json_text(row.brand)},"slug":"{row.slug}","siret":"{row.siret}",'
            f'"nature":"{("HEAD_OFFICE" if row.rank == 1 else "ANTENNA") if (bits >> 2) & 7 else ""}","kind":"{row.kind}",'
            f'"kind_parent":"{PARENT[row.kind]}","contact_website":"{site if bits & 6 else ""}",'
            f'"contact_social_website":"{"https://social.example/s" + str(row.id) if bits & 24 == 0 else ""}",'
            f'"logo_url":"{"https://fichiers.example/siae_logo/" + str(row.id) + ".png" if bits & 96 else ""}",'
            f'"address":{json_text(address)},"city":{json_text(commune.nom if commune else "")},'
            f'"post_code":"{commune.postal if commune else ""}","department":"{row.departement}",'
            f'"region":{json_text(region_name(row.departement))},"is_qpv":{"true" if bits & 128 else "false"},'
            f'"is_active":{"true" if row.active else "false"},"sectors":[{sectors_text(row.sectors[::step])}],"presta_types":[{presta}],'
            f'"networks":[{networks_text(row.networks)}],"offers":[{offers}],"client_references":[{clients}],'
            f'"labels_old":[{"" if bits & 0x700 else LABEL}],'
            f'"created_at":"{created_text(bits)}","updated_at":{sync_text(row.updated)}}}'
        ).encode()

    def make_perimeters(self):
        found = []
        for commune in COMMUNES:
            found.append((commune.nom, "CITY", commune.code, [commune.postal], commune.departement, REGION_OF[commune.departement]))
        found += [(name, "DEPARTMENT", code, [], "", REGION_OF[code]) for code, name in DEPARTEMENTS.items()]
        found += [(name, "REGION", "R" + code, [], "", "") for code, name in REGIONS.items()]
        return [{"id": 501 + place, "name": name,
                 "slug": slugify(name) + ("-" + dep.lower() if kind == "CITY" else "-region" if kind == "REGION" else ""),
                 "kind": kind, "insee_code": code, "post_codes": posts, "department_code": dep, "region_code": region}
                for place, (name, kind, code, posts, dep, region) in enumerate(found)]

    # -- routes -----------------------------------------------------------

    def make_routes(self):
        def constant(rows):
            values = [{"id": row[0], "name": row[1]} | ({"parent": row[2]} if len(row) > 2 else {}) for row in rows]
            return lambda request: self.page(request, values, None)
        return [
            (r"/siae/", self.list_structures), (r"/siae/siret/([^/]+)/", self.siret), (r"/siae/siren/([^/]+)/", self.siren),
            (r"/siae/slug/([^/]+)/", self.slug), (r"/siae/kinds/", constant(KINDS)),
            (r"/siae/presta-types/", constant(PRESTA)), (r"/siae/([^/.]+)/", self.detail),
            (r"/sectors/", lambda request: self.page(request, SECTORS, lambda row: row["name"])),
            (r"/networks/", lambda request: self.page(request, NETWORKS, lambda row: "")),
            (r"/perimeters/kinds/", constant(PERIMETER_KINDS)), (r"/perimeters/autocomplete/", self.autocomplete),
            (r"/perimeters/", self.list_perimeters), (r"/tenders/kinds/", constant(TENDER_KINDS)),
            (r"/tenders/amounts/", constant(TENDER_AMOUNTS)), (r"/tenders/", None),
            (r"/inclusive-potential/", self.potential),
        ]

    def route(self, path):
        for pattern, handler in self.routes:
            found = re.fullmatch(pattern, path)
            if found:
                return pattern, handler, found.groups()
        return None, None, ()

    def answer(self, path, request):
        language = 1 if request.header("accept-language").lower().startswith("en") else 0
        headers = [("Content-Language", ("fr", "en")[language]), ("Strict-Transport-Security", "max-age=30")]
        inside = path.removeprefix("/api")
        if inside == path:
            return Response(404, b"<!doctype html><title>404</title>", "text/html; charset=utf-8", headers)
        old = re.fullmatch(r"/siaes/siret/([^/]+)/", inside)
        pattern, handler, values = self.route(inside)
        if pattern is None:
            with_slash = None if inside.endswith("/") else self.route(inside + "/")[0]
            if with_slash is None and old is None:
                return Response(404, b"<!doctype html><title>404</title>", "text/html; charset=utf-8", headers)
            base = request.target.partition("?")[0]
            where = base.replace("/siaes/", "/siae/", 1) if old else base + "/"
            where += "?" + request.raw_query if request.raw_query else ""
            return Response(301, b"", "text/html; charset=utf-8", [("Location", where)] + (headers[:1] if old else []))
        allow = "POST, OPTIONS" if handler is None else "GET" if "autocomplete" in pattern else "GET, HEAD, OPTIONS"
        headers += [("Vary", "Accept, Accept-Language"), ("Allow", allow)]
        try:
            html = self.negotiate(request, language)
            self.authenticate(request, language, "autocomplete" in pattern)
            if handler is None and request.method == "POST":
                raise Refused(400, {"title": [MESSAGES["required"][language]]})
            if handler is None or request.method not in ("GET", "HEAD"):
                raise Refused(405, {"detail": MESSAGES["method"][language] % request.method})
            request.language = language
            status, kind, body = 200, "application/json", handler(request, *values)
            if html:
                kind, body = "text/html; charset=utf-8", b"<!doctype html><pre>" + body + b"</pre>"
        except Refused as refusal:
            status, kind = refusal.status, "application/json"
            headers += refusal.headers
            if isinstance(refusal.body, str):
                kind, body = "text/html; charset=utf-8", refusal.body.encode()
            else:
                body = dumps(refusal.body)
        response = Response(status, body, kind, headers)
        response.gzip = self.control.options["gzip"] and "gzip" in request.header("accept-encoding") and len(body) > 500
        return response

    @staticmethod
    def negotiate(request, language):
        """Whether the HTML view is wanted; 404 or 406 when neither form is."""
        chosen = request.last("format")
        if chosen not in (None, "", "json", "api"):
            raise Refused(404, {"detail": MESSAGES["not_found"][language]})
        if chosen == "json":
            return False
        if chosen == "api":
            return True
        kinds = [one.split(";")[0].strip() for one in request.header("accept", "*/*").split(",")]
        kinds.sort(key=lambda kind: (kind == "*/*") * 2 + kind.endswith("/*"))
        for kind in kinds:
            if kind in ("application/json", "application/*", "*/*"):
                return False
            if kind in ("text/html", "text/*"):
                return True
        raise Refused(406, {"detail": MESSAGES["accept"][language]})

    def authenticate(self, request, language, is_open):
        challenge = [("WWW-Authenticate", 'Bearer realm="api"')]
        given = request.header("authorization")
        if not given.startswith("Bearer "):
            if is_open:
                return
            raise Refused(401, {"detail": MESSAGES["missing"][language]}, challenge)
        token = given[len("Bearer "):]
        if len(token) < 64:
            raise Refused(401, {"detail": "Token too short. Possible security issue detected."}, challenge)
        if not (token.isascii() and token.isalnum()):
            raise Refused(401, {"detail": "Token contains invalid characters. Possible security issue detected."}, challenge)
        if token not in self.tokens:
            raise Refused(401, {"detail": "Invalid or expired token"}, challenge)

    # -- pages ------------------------------------------------------------

    @staticmethod
    def whole(text, default, least):
        try:
            value = int(text)
        except (TypeError, ValueError):
            return default
        return value if value >= least else default

    def window(self, request, rows, key):
        """The rows of the page asked, those with equal keys in a new order; limit and offset."""
        limit = self.whole(request.last("limit"), 100, 1)
        offset = self.whole(request.last("offset"), 0, 0)
        if key is None or offset >= len(rows):
            return rows[offset:offset + limit], limit, offset
        end = min(len(rows), offset + limit)
        first, last = offset, end
        while first > 0 and key(rows[first - 1]) == key(rows[offset]):
            first -= 1
        while last < len(rows) and key(rows[last]) == key(rows[end - 1]):
            last += 1
        mixed = []
        for _, ties in itertools.groupby(rows[first:last], key):
            group = list(ties)
            turn = int(self.rng.random() * len(group))
            mixed += group[turn:] + group[:turn]
        return mixed[offset - first:end - first], limit, offset

    def envelope(self, request, count, limit, offset, texts):
        def link(new):
            base = self.control.options["next_base"] or "http://" + request.host
            query = {name: values for name, values in request.query.items() if name != "offset"} | {"limit": [str(limit)]}
            if new > 0:
                query["offset"] = [str(new)]
            text = urllib.parse.urlencode(sorted(query.items()), doseq=True)
            return dumps(base + request.target.partition("?")[0] + "?" + text)
        following = link(offset + limit) if offset + limit < count else b"null"
        previous = link(max(0, offset - limit)) if offset > 0 else b"null"
        head = b'{"count":%d,"next":%s,"previous":%s,"results":[' % (count, following, previous)
        if not texts:
            return head + b"]}"
        texts[0] = head + texts[0]
        texts[-1] += b"]}"
        return b",".join(texts)       # one copy of what may be 100 MB

    def page(self, request, rows, key):
        chosen, limit, offset = self.window(request, rows, key)
        return self.envelope(request, len(rows), limit, offset, [dumps(row) for row in chosen])

    def choices(self, request, name, known, errors):
        values = request.query.get(name)
        if values is None:
            return None
        for value in values:
            if value not in known:
                errors[name] = [MESSAGES["choice"][request.language] % value]
        return set(values)

    def list_structures(self, request):
        self.look()
        errors = {}
        kinds = self.choices(request, "kind", PARENT.keys() - {"OPCS"}, errors)
        presta = self.choices(request, "presta_types", PRESTA_CODES, errors)
        sectors = self.choices(request, "sectors", SECTOR_SLUGS, errors)
        networks = self.choices(request, "networks", NETWORK_SLUGS, errors)
        department = (request.last("department") or "").strip()
        if "\0" in department:
            errors["department"] = [MESSAGES["nul"][request.language]]
        bounds = []
        for name in ("updated_at_after", "updated_at_before"):
            text = request.last(name) or ""
            moment = parse_moment(text) if text.strip() else None
            if text.strip() and moment is None:
                errors["updated_at"] = [MESSAGES["date"][request.language]]
            bounds.append(micros(moment) if moment else None)
        if errors:
            raise Refused(400, errors)
        rows = self.by_dep.get(department, []) if department else self.sorted
        active = {"true": True, "false": False}.get(request.last("is_active"))
        tests = []
        if kinds is not None:
            tests.append(lambda row: row.kind in kinds)
        if presta is not None:
            tests.append(lambda row: not presta.isdisjoint(row.presta))
        if sectors is not None:
            places = {SECTOR_SLUGS.index(slug) for slug in sectors}
            tests.append(lambda row: not places.isdisjoint(row.sectors))
        if networks is not None:
            members = {NETWORK_SLUGS.index(slug) for slug in networks}
            tests.append(lambda row: not members.isdisjoint(row.networks))
        if active is not None:
            tests.append(lambda row: row.active is active)
        if bounds[0] is not None:
            tests.append(lambda row: row.updated is not None and row.updated >= bounds[0])
        if bounds[1] is not None:
            tests.append(lambda row: row.updated is not None and row.updated <= bounds[1])
        for test in tests:
            rows = [row for row in rows if test(row)]
        chosen, limit, offset = self.window(request, rows, operator.attrgetter("nom"))
        salt = self.rng.getrandbits(1)
        body = self.envelope(request, len(rows), limit, offset, [self.text(row, salt) for row in chosen])
        self.page_given()
        return body

    # -- single structures ------------------------------------------------

    def one(self, row):
        if row is None:
            raise Refused(404, {"detail": "No Siae matches the given query."})
        return self.text(row, self.rng.getrandbits(1))

    def detail(self, request, ident):
        self.look()
        if not ident.isdigit():
            raise Refused(404, {"detail": MESSAGES["not_found"][request.language]})
        return self.one(self.by_id.get(int(ident)))

    def slug(self, request, slug):
        self.look()
        return self.one(self.by_slug.get(slug))

    def several(self, rows):
        salt = self.rng.getrandbits(1)
        rows = sorted(rows, key=lambda row: (row.nom, self.rng.random()))
        return b"[" + b",".join(self.text(row, salt) for row in rows) + b"]"

    def siret(self, request, siret):
        self.look()
        if len(siret) != 14:
            raise Refused(400, "siret must be 14 caracters long")
        return self.several(self.by_siret.get(siret, []))

    def siren(self, request, siren):
        self.look()
        if len(siren) != 9:
            raise Refused(400, "siren must be 9 caracters long")
        return self.several(self.by_siren.get(siren, []))

    # -- perimeters and the rest ------------------------------------------

    def list_perimeters(self, request):
        errors = {}
        kinds = self.choices(request, "kind", [code for code, _ in PERIMETER_KINDS], errors)
        if errors:
            raise Refused(400, errors)
        rows = [row for row in self.perimeters if kinds is None or row["kind"] in kinds]
        return self.page(request, rows, lambda row: "")

    def autocomplete(self, request):
        text = request.last("q")
        if not text:
            raise Refused(400, {"q": [MESSAGES["required"][request.language]]})
        most = self.whole(request.last("results"), 20, -1)
        if most < 0:
            raise Refused(500, "<!doctype html><title>500</title>")
        kind = request.last("kind")
        rows = [row for row in self.perimeters if kind in (None, row["kind"])]
        if text.isdigit():
            rows = [row for row in rows if (len(text) == 2 and text == row["department_code"])
                    or (row["post_codes"] and row["post_codes"][0].startswith(text))]
        else:
            rows = [row for row in rows if slugify(text) in slugify(row["name"])]
        return dumps(rows[:most or None])

    def potential(self, request):
        self.look()
        slug = request.last("sector")
        if not slug:
            raise Refused(400, {"sector": [MESSAGES["sector"][request.language]]})
        sector = next((row for row in SECTORS if row["slug"] == slug), None)
        if sector is None:
            raise Refused(400, {"sector": [MESSAGES["choice"][request.language] % slug]})
        place = SECTOR_SLUGS.index(slug)
        rows = [row for row in self.sorted if place in row.sectors and row.active]
        perimeter = next((row for row in self.perimeters if row["slug"] == request.last("perimeter")), None)
        if perimeter is not None:
            code = perimeter["insee_code"]
            rows = [row for row in rows if row.commune and code in (row.commune.code, row.departement, "R" + REGION_OF.get(row.departement, ""))]
        value = {"sector_name": sector["name"], "sector_slug": slug,
                 "perimeter_name": perimeter and perimeter["name"], "perimeter_slug": perimeter and perimeter["slug"],
                 "perimeter_kind": perimeter and perimeter["kind"], "potential_siaes": len(rows),
                 "insertion_siaes": sum(1 for row in rows if PARENT[row.kind] == "Insertion"),
                 "handicap_siaes": sum(1 for row in rows if PARENT[row.kind] == "Handicap"), "local_siaes": 0,
                 "siaes_with_super_badge": 0, "employees_insertion_average": 0.0, "employees_permanent_average": 0.0}
        if self.whole(request.last("budget"), 0, 1):
            value |= {"ca_average": 250000, "eco_dependency": 4,
                      "recommendation": {"title": "Titre", "response": "Phrase.", "explanation": "Texte."}}
        return dumps(value)
