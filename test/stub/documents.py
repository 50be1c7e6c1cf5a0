"""Documents of API Entreprise, played: the proxy of files, and INPI's two steps.

A link that a table gave lives until `expire_documents`; as the real service, whose replies come from a cache, the
same question then gives the same dead link, unless it is asked with `Cache-Control: no-cache`.  Some links are good
for ever, and some lead to what is no document: FIXED.  No token is needed, and none is looked at.
"""

import io
import uuid
import zipfile

from httpd import Response, dumps

PDF = b"%PDF-1.4\n% document of the local API server\n%%EOF\n"
JSON = "application/json; charset=utf-8"


def archive():
    """A ZIP archive, the same whenever it is made."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr(zipfile.ZipInfo("statuts.pdf", (2026, 1, 1, 0, 0, 0)), PDF)
    return out.getvalue()


def fixed(digit):
    return f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}"


# uuid: status, body, content type
FIXED = {
    fixed("1"): (200, PDF, "application/pdf"),
    fixed("2"): (200, archive(), "application/zip"),
    fixed("3"): (200, b"<!DOCTYPE html>\n<html><body>Maintenance</body></html>\n", "text/html; charset=utf-8"),
    fixed("4"): (200, dumps({"errors": [{"code": "00501", "title": "Erreur"}]}), JSON),
    fixed("5"): (200, b"", "application/pdf"),
    fixed("6"): (200, PDF, "text/html"),
    fixed("7"): (404, dumps({"errors": [{"code": "34003", "title": "Document inexistant"}]}), JSON),
    fixed("8"): (200, b"II*\0 image of the local API server", "application/octet-stream"),
}
# /proxy/inpi/download/NAME: the link in its reply; {base} is this API's address here
INPI = {
    "pdf": "{base}/proxy/files/" + fixed("1"),
    "officiel": "https://entreprise.api.gouv.fr/proxy/files/" + fixed("2"),
    "mort": "{base}/proxy/files/" + fixed("0"),
    "dehors": "https://evil.example/proxy/files/" + fixed("1"),
    "encore": "{base}/proxy/inpi/download/pdf",
    "rien": None,
}


class Files:
    def __init__(self):
        self.generation = {}       # what a link is for: how many it had
        self.alive = set()

    def link(self, name, base, fresh):
        """The link to a document; fresh: a new one."""
        if fresh or name not in self.generation:
            self.generation[name] = self.generation.get(name, 0) + 1
            self.alive.add(self.ident(name))
        return f"{base}/proxy/files/{self.ident(name)}"

    def ident(self, name):
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name} {self.generation[name]}"))

    def expire(self):
        self.alive.clear()

    def answer(self, path, base):
        """The reply to a link; None when the path is none."""
        if path.startswith("/proxy/files/"):
            ident = path.removeprefix("/proxy/files/")
            if ident in FIXED:
                return Response(*FIXED[ident])
            return Response(200, PDF, "application/pdf") if ident in self.alive else Response(404, b"")
        if path.startswith("/proxy/inpi/download/"):
            name = path.removeprefix("/proxy/inpi/download/")
            if name not in INPI:
                return Response(404, b"")
            link = INPI[name] and INPI[name].format(base=base)
            return Response(200, dumps({"data": {"document_url": link, "expires_in": 3600}}), JSON)
        return None
