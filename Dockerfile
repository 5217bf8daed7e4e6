# The presence server as a container: docker build -t presence-service . && docker run -p 8004:8004 presence-service
#
# Two stages: wheels are built in the first, so that the second holds no compiler and no package cache.
# All base images and wheels exist for amd64 and arm64: docker buildx build --platform linux/amd64,linux/arm64 .
FROM python:3.13-slim AS build

WORKDIR /src
COPY requirements-serve.lock pyproject.toml README.md LICENSE NOTICE CHANGELOG.md ./
COPY server server
COPY client_sdk client_sdk
# The hashes of the lock file hold what is installed to what was tested.
RUN python -m venv /opt/presence \
 && /opt/presence/bin/pip install --no-cache-dir --require-hashes --requirement requirements-serve.lock \
 && /opt/presence/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/presence/bin/pip uninstall --yes hatchling editables pip

FROM python:3.13-slim

# Where --state is kept: a volume of its own, or a restart of the container forgets everything.
RUN mkdir -m 700 /var/lib/presence && chown 10001:10001 /var/lib/presence
VOLUME /var/lib/presence

# A number and not a name, so that Kubernetes' runAsNonRoot can tell that it is not root.
USER 10001:10001
COPY --from=build /opt/presence /opt/presence
ENV PATH=/opt/presence/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PRESENCE_HOST=0.0.0.0 \
    PRESENCE_STATE=/var/lib/presence \
    PRESENCE_LOG_FORMAT=json
EXPOSE 8004
# Longer than --drain-timeout is asked of whoever stops it: docker stop -t 40, terminationGracePeriodSeconds: 40.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:%s/healthz' % os.environ.get('PRESENCE_PORT', '8004'), timeout=2)"]
ENTRYPOINT ["presence-server"]
