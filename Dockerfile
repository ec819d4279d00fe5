# syntax-free on purpose: builds with every BuildKit, without fetching a frontend.

# Both base images can be replaced, as by a mirror.
ARG GO_IMAGE=golang:1.26
ARG RUNNER_IMAGE=ghcr.io/actions/actions-runner
# The official runner. GitHub refuses versions some weeks after the next one:
# rebuild within 30 days of each release.
ARG RUNNER_VERSION=2.336.0

# Cross-compiled on the machine that builds, whatever the target.
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH
ARG RUNNER_VERSION
ARG VERSION=dev
ARG COMMIT=unknown
# Without HTTP/2: one call at a time gains nothing by it.
RUN CGO_ENABLED=0 GOOS=${TARGETOS:-linux} GOARCH=${TARGETARCH} go build -trimpath -tags nethttpomithttp2 \
    -ldflags "-s -w -X main.version=${VERSION} -X main.commit=${COMMIT} -X main.runnerVersion=${RUNNER_VERSION}" \
    -o /out/bin/org-runner . \
 # Root-owned and not readable: the kernel then keeps the memory and environment
 # of every process of it from the jobs, from its first instruction on.
 && chmod 0711 /out/bin/org-runner \
 && install -D -m 0755 runner/job-started.sh /out/lib/org-runner/job-started.sh

FROM ${RUNNER_IMAGE}:${RUNNER_VERSION}
ARG RUNNER_VERSION
ARG VERSION=dev
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="org-runner" \
      org.opencontainers.image.description="A GitHub Actions runner for a whole organization that leaves nothing behind" \
      org.opencontainers.image.source="https://github.com/virtuoso902/org-runner" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      io.github.virtuoso902.org-runner.runner-version="${RUNNER_VERSION}"
USER root
COPY --from=build --chown=root:root /out/ /usr/local/
# Jobs with sudo can do what root can, read a token in a file of root's for one.
# Many jobs install packages with it: so it stays unless SUDO is false.
ARG SUDO=true
RUN case "$SUDO" in true) ;; false) gpasswd -d runner sudo ;; \
    *) echo "SUDO is \"$SUDO\": --build-arg SUDO takes true or false" >&2; exit 1 ;; esac
# What one start of a container leaves to the next, and the socket for status and
# health (a read-only container wants a tmpfs there); where volumes for the
# monitor's history and for job records can be mounted; and the work folder with
# the tool cache: a new volume takes over the owner of the folder it is mounted
# on, and where there is none the engine makes it root's, in which every job
# fails. Group 0 may write them, as the runner's folder: a container that is given
# any uid (OpenShift) is of that group.
RUN install -d -o runner -g root -m 0775 /run/org-runner /var/lib/org-runner /var/lib/org-runner/records \
    /home/runner/_work /home/runner/_work/_tool \
 && chgrp root /home/runner && chmod g=u /home/runner
USER runner
ENTRYPOINT ["/usr/local/bin/org-runner"]
STOPSIGNAL SIGTERM
# A check takes a few milliseconds. Until the runner listens it is "starting".
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m --retries=3 \
    CMD ["/usr/local/bin/org-runner", "healthcheck"]
