"""What Rastro is measured against: a redirector made by hand of nginx, Lua and Redis.

For each click one round trip with two commands, a GET of the destination and an LPUSH of what is known of the visitor;
no rules, no robots, no pages, and a click is lost whenever Redis is. Debian's packages, where they are installed.
"""

import os
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

PACKAGES = "nginx libnginx-mod-http-lua lua-nginx-redis"
LINK = "hand-made:link:"
CLICKS = "hand-made:clicks"

_MODULES = Path("/usr/lib/nginx/modules")
_LUA = Path("/usr/share/lua/5.1/nginx/redis.lua")

_CONFIGURATION = """
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    lua_package_path "/usr/share/lua/5.1/?.lua;;";
    init_by_lua_block {{ redis = require "nginx.redis" }}
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        set_real_ip_from 127.0.0.1;
        real_ip_header X-Forwarded-For;
        location / {{
            content_by_lua_block {{
                local client = redis:new()
                client:set_timeout(1000)
                if not client:connect({address}) then return ngx.exit(503) end
                {auth}
                local said = ngx.req.get_headers()
                client:init_pipeline(2)
                client:get("{link}" .. string.sub(ngx.var.uri, 2))
                client:lpush("{clicks}", table.concat({{
                    ngx.now(), ngx.var.uri, ngx.var.args or "", ngx.var.remote_addr,
                    said["user-agent"] or "", said["referer"] or "", said["accept-language"] or "",
                }}, "\\t"))
                local replies = client:commit_pipeline()
                if not replies then return ngx.exit(503) end
                client:set_keepalive(60000, 256)
                if type(replies[1]) ~= "string" then return ngx.exit(404) end
                ngx.header["Cache-Control"] = "private, no-store"
                return ngx.redirect(replies[1], 302)
            }}
        }}
    }}
}}
"""


def is_installed() -> bool:
    """True when nginx, its Lua module and Lua's Redis client are on this machine."""
    return (
        shutil.which("nginx") is not None and (_MODULES / "ngx_http_lua_module.so").exists() and _LUA.exists()
    )


def command(folder: Path, *, port: int, redis_url: str) -> list[str]:
    """Write a configuration into `folder`, and say how to start nginx with it."""
    folder.mkdir()
    parts = urlsplit(redis_url)
    tcp = f'"{parts.hostname}", {parts.port or 6379}'
    address = f'"unix:{unquote(parts.path)}"' if parts.scheme == "unix" else tcp
    word = unquote(parts.password or "")
    auth = f'if client:get_reused_times() == 0 then client:auth("{word}") end' if word else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            modules=_MODULES,
            user="user root;" if os.geteuid() == 0 else "",
            folder=folder,
            port=port,
            address=address,
            auth=auth,
            link=LINK,
            clicks=CLICKS,
        ),
        encoding="utf-8",
    )
    return ["nginx", "-c", str(configuration), "-p", str(folder), "-e", "stderr"]
