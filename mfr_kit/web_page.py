"""Pages that need nothing beside them, and may load or run nothing."""

import base64
import hashlib
from html import escape


def policy(*styles: str) -> str:
    """Give the `<meta>` of a content-security policy: pictures that stand in the page itself and
    these style sheets; no script, no request, no form, no frame.

    Args:
        styles: the text between each `<style>` and `</style>`, letter by letter.
    """
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in styles]
    allowed = " ".join(f"'sha256-{digest.decode()}'" for digest in digests) or "'none'"
    rules = f"default-src 'none'; img-src data:; style-src {allowed}; base-uri 'none'"
    content = escape(f"{rules}; form-action 'none'", quote=False)
    return f'<meta http-equiv="Content-Security-Policy" content="{content}">'
