"""Who may ask the studio for something: the page of this very server, opened with its key.

A page of somebody else, open in the same browser, can send requests to this machine; with a name
that points here (DNS rebinding) it could even read the answers. So the `Host` must be an address or
this machine's own name, a request must come from the page itself (`Origin`, `Sec-Fetch-Site`), and
it must carry the key, which also keeps other users of this machine out.
"""

import hmac
import ipaddress
import secrets
import socket
from email.message import Message
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# A report is a page that needs nothing beside it, and may be somebody else's: alone in a sandbox.
PAGE_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# A run's page of curves renews itself, which a sandbox forbids; it needs no script.
STILL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Gate:
    """Decides about requests by their headers.

    Args:
        host: the address that the server listens on, as the user gave it.
    """

    def __init__(self, host: str) -> None:
        self.key = secrets.token_urlsafe(18)
        self._names = {"localhost", host.lower().strip("[]")}
        self._any_address = not _is_loopback(host)
        if self._any_address:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    def why_not(self, headers: Message) -> str:
        """Say why a request is refused, key or no key; "" where it is not."""
        host = headers.get("Host", "")
        if not self._knows(host):
            return f"the host '{host[:80]}' is not this server's"
        origin = headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "another page's request"
        if headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            return "another page's request"
        return ""

    def has_key(self, headers: Message, port: int) -> bool:
        """Whether the browser was given the key before."""
        try:
            found = SimpleCookie(headers.get("Cookie", "")).get(_cookie(port))
        except CookieError:
            return False
        return found is not None and self.is_key(found.value)

    def is_key(self, text: str) -> bool:
        """Whether somebody knows the key."""
        return hmac.compare_digest(text.encode("utf-8", "replace"), self.key.encode())

    def cookie(self, port: int) -> str:
        """The header that gives the browser the key: no script sees it, no other page sends it."""
        return f"{_cookie(port)}={self.key}; Path=/; HttpOnly; SameSite=Strict"

    def _knows(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._any_address or address.is_loopback


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _cookie(port: int) -> str:
    """Cookies know no ports: two studios of one machine have two names."""
    return f"mfr_kit_studio_{port}"
