"""The pages of a set-up link: a form without scripts, and what follows it."""

from html import escape
from typing import Final

from fastapi.responses import HTMLResponse

from app.accounts.passwords import MAX_LENGTH, MIN_LENGTH

POLICY: Final = "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
HEADERS: Final = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}

# Without the second meta element, browsers would send `Origin: null` with the form.
PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="referrer" content="same-origin">
<meta name="viewport" content="width=device-width">
<title>Trainyard</title>
</head>
<body>
<main>
<h1>{title}</h1>
{content}
</main>
</body>
</html>
"""
FORM: Final = """<p>Choose the name and the password of the first administrator. The user that owns
the first API key gets this name, and keeps keys and projects.</p>
{problem}<form method="post">
<p><label>Name <input name="name" value="{name}" maxlength="100" autocomplete="username" required>
</label></p>
<p><label>Password, at least {shortest} characters <input name="password" type="password"
minlength="{shortest}" maxlength="{longest}" autocomplete="new-password" required></label></p>
<p><button>Create the administrator</button></p>
</form>"""


def form_page(*, name: str = "admin", problem: str | None = None) -> HTMLResponse:
    """Return the form; with a problem, what was wrong with the one that was sent."""
    content = FORM.format(
        name=escape(name),
        problem=f'<p role="alert">{escape(problem)}</p>\n' if problem else "",
        shortest=MIN_LENGTH,
        longest=MAX_LENGTH,
    )
    return _page("Set up Trainyard", content, 422 if problem else 200)


def text_page(title: str, text: str, status: int) -> HTMLResponse:
    """Return a page with one sentence."""
    return _page(escape(title), f"<p>{escape(text)}</p>", status)


def _page(title: str, content: str, status: int) -> HTMLResponse:
    return HTMLResponse(PAGE.format(title=title, content=content), status, HEADERS)
