"""What Rastro is measured beside: a redirect as most people would write it. Flask, and a row for each click.

`gunicorn "tests.bench.plain_redirect:create_app()"`; DATABASE_URL says where.
"""

import os

from flask import Flask, abort, redirect, request
from psycopg_pool import ConnectionPool
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response


def create_app() -> Flask:
    """`/SLUG` looks the link up, inserts a click, commits, and redirects."""
    app = Flask(__name__)
    app.wsgi_app = ProxyFix(app.wsgi_app)
    pool = ConnectionPool(os.environ["DATABASE_URL"], min_size=8, max_size=8, open=True)

    @app.get("/<slug>")
    def follow(slug: str) -> Response:
        with pool.connection() as connection:
            row = connection.execute("select id, url from plain_links where slug = %s", (slug,)).fetchone()
            if row is None:
                abort(404)
            agent = request.headers.get("User-Agent", "")
            values = (row[0], request.remote_addr, agent, request.referrer or "")
            connection.execute(
                "insert into plain_visits (link_id, at, ip, user_agent, referrer) "
                "values (%s, now(), %s, %s, %s)",
                values,
            )
        return redirect(row[1])

    return app
