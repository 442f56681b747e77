# The one image: every program of Rastro, and nothing that only building or testing needs.
# docs/running.md says how to build it; tests/image/ what it must keep to.

ARG BASE=python:3.11-slim-bookworm

# The packages, as locked. Nothing is compiled: each of them has a wheel. pip stays behind in this stage.
FROM ${BASE} AS packages
ARG SOURCE_DATE_EPOCH=0
# Not empty: the packages for traces and error reports too (docs/observability.md).
ARG OBSERVE=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_ONLY_BINARY=:all:
WORKDIR /build
COPY requirements/pip.lock requirements/run.lock requirements/observe.lock ./
RUN python3 -m venv pip \
    && pip/bin/pip install --quiet --require-hashes -r pip.lock \
    && python3 -m venv --without-pip /opt/rastro \
    && pip/bin/pip --python /opt/rastro/bin/python3 install --quiet --require-hashes -r run.lock \
        ${OBSERVE:+-r observe.lock}
# Pages are in English and Portuguese: the other thousand languages of Babel are 30 MB, a quarter of all of this.
RUN find /opt/rastro/lib -path '*/babel/locale-data/*.dat' ! -name 'root.dat' ! -name 'en*.dat' ! -name 'pt*.dat' -delete
# Bytecode is made here, since the image is read-only later, and never checked against its source again: neither changes.
# Times are levelled, so that the same commit makes the same files.
RUN /opt/rastro/bin/python3 -m compileall -q --invalidation-mode unchecked-hash /opt/rastro/lib \
    && ln -s /srv/rastro/rastro /opt/rastro/bin/rastro \
    && find /opt/rastro -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

# The list of what is in it (SBOM, CycloneDX), read off the packages that were installed.
FROM packages AS sbom
ARG SOURCE_DATE_EPOCH=0
COPY requirements/sbom.lock ./
RUN python3 -m venv sbom \
    && pip/bin/pip --python sbom/bin/python3 install --quiet --require-hashes -r sbom.lock \
    && sbom/bin/cyclonedx-py environment --output-reproducible --output-format JSON --output-file rastro.cdx.json \
        /opt/rastro/bin/python3 \
    && touch --date="@${SOURCE_DATE_EPOCH}" rastro.cdx.json

FROM packages AS code
ARG SOURCE_DATE_EPOCH=0
COPY . /srv/rastro
RUN /opt/rastro/bin/python3 -m compileall -q --invalidation-mode unchecked-hash /srv/rastro \
    && chmod -R u=rwX,go=rX /srv/rastro \
    && find /srv/rastro -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE}
# A user without a home, a password or a shell. Of these folders alone something is written: the spool and, by `rastro
# init`, the secrets; each is a mount, and a new volume takes its owner from here.
RUN echo 'rastro:x:10001:10001::/nonexistent:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'rastro:x:10001:' >> /etc/group \
    && install --directory --owner=10001 --group=10001 /var/lib/rastro/spool \
        /secrets/manager /secrets/postgres /secrets/valkey
COPY --from=packages /opt/rastro /opt/rastro
COPY --from=sbom /build/rastro.cdx.json /usr/share/sbom/rastro.cdx.json
COPY --from=code /srv/rastro /srv/rastro

ENV PATH=/opt/rastro/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/srv/rastro \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RASTRO_NO_VENV=1 \
    HOST=0.0.0.0 \
    SPOOL_DIR=/var/lib/rastro/spool
WORKDIR /srv/rastro
USER 10001:10001
EXPOSE 8000 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python3", "-P", "-m", "core.ops.health"]
ENTRYPOINT ["rastro"]

# Last, because they change with each commit.
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Rastro" \
      org.opencontainers.image.description="A self-hosted link tracker" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
