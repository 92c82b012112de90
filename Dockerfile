# The images of Atheria, one target each: operator, gateway, server (CUDA torch), server-cpu (Debian's torch).
#
# Each image gets its own half of the code and its own locked dependencies: the operator and the gateway have no
# torch, the servers have no Kubernetes client. Dependencies come before code, so a change of code rebuilds only
# the last, small layers. Virtual environments are made in stages with pip; the images themselves have no pip.
#
#   docker build --target operator -t atheria/operator .
#
# PIP_CERT and PIP_INDEX_URL are for builds behind a company mirror: mount the CA bundle, name it in PIP_CERT.
ARG BASE_IMAGE=docker.io/library/debian:trixie-slim

# --- what every image has: Python, CA certificates, an unprivileged user -------------------------------------------
FROM ${BASE_IMAGE} AS runtime
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 ca-certificates \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
 && groupadd --gid 65532 atheria \
 && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin atheria
ENV PATH=/opt/atheria/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp

# torch.compile builds its kernels with g++ against the headers of Python and torch.
# Without OpenBLAS, Debian's torch multiplies with the reference BLAS: twenty times slower.
FROM runtime AS runtime-torch-cpu
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-torch python3-numpy libopenblas0-openmp \
      g++ libpython3-dev libtorch-dev python3-setuptools \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
 && python3 -m compileall -q -j 2 /usr/lib/python3/dist-packages/torch /usr/lib/python3/dist-packages/numpy

# --- virtual environments, one per image ---------------------------------------------------------------------------
FROM runtime AS pip
ARG PIP_CERT
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_ONLY_BINARY=:all:
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
# The code is beside the environment, not in it: one line in a .pth file makes /opt/atheria/app importable.
RUN python3 -m venv /opt/atheria \
 && echo /opt/atheria/app > "$(/opt/atheria/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/atheria.pth"

FROM pip AS operator-environment
ARG PIP_CERT
ARG PIP_INDEX_URL
COPY requirements/operator.txt /tmp/requirements/
RUN /opt/atheria/bin/pip install --require-hashes -r /tmp/requirements/operator.txt \
 && /opt/atheria/bin/pip uninstall -y pip

FROM pip AS gateway-environment
ARG PIP_CERT
ARG PIP_INDEX_URL
COPY requirements/gateway.txt requirements/otel.txt requirements/last.txt /tmp/requirements/
RUN cd /tmp/requirements \
 && /opt/atheria/bin/pip install --require-hashes -r gateway.txt -r otel.txt \
 && /opt/atheria/bin/pip install --require-hashes --no-deps --force-reinstall -r last.txt \
 && /opt/atheria/bin/pip uninstall -y pip

FROM pip AS server-environment
ARG PIP_CERT
ARG PIP_INDEX_URL
COPY requirements/torch.txt requirements/server.txt requirements/otel.txt requirements/optimize.txt requirements/sources.txt requirements/text.txt /tmp/requirements/
RUN /opt/atheria/bin/pip install --require-hashes -r /tmp/requirements/torch.txt
RUN cd /tmp/requirements \
 && /opt/atheria/bin/pip install --require-hashes -r server.txt -r otel.txt -r sources.txt -r text.txt \
 && /opt/atheria/bin/pip install --require-hashes --no-deps -r optimize.txt \
 && /opt/atheria/bin/pip uninstall -y pip

# Debian's torch lies outside of the environment: --system-site-packages lets it in.
FROM pip AS server-cpu-environment
ARG PIP_CERT
ARG PIP_INDEX_URL
# bitsandbytes brings 120 MB for devices that this image is not for.
COPY requirements/server.txt requirements/otel.txt requirements/optimize.txt requirements/sources.txt requirements/text.txt /tmp/requirements/
RUN sed -i 's/^include-system-site-packages = false$/include-system-site-packages = true/' /opt/atheria/pyvenv.cfg \
 && cd /tmp/requirements \
 && /opt/atheria/bin/pip install --require-hashes -r server.txt -r otel.txt -r sources.txt -r text.txt \
 && /opt/atheria/bin/pip install --require-hashes --no-deps -r optimize.txt \
 && find /opt/atheria/lib -name 'libbitsandbytes_*' ! -name '*_cpu.so' -delete \
 && /opt/atheria/bin/pip uninstall -y pip

# --- images --------------------------------------------------------------------------------------------------------
FROM runtime AS operator
ARG VERSION=0.1.0
ARG REVISION=unknown
COPY --from=operator-environment /opt/atheria /opt/atheria
COPY contract/atheria_contract /opt/atheria/app/atheria_contract
COPY operator/atheria_operator /opt/atheria/app/atheria_operator
RUN printf '#!/opt/atheria/bin/python\nimport sys\n\nfrom atheria_operator.__main__ import main\n\nsys.exit(main())\n' > /opt/atheria/bin/atheria-operator \
 && chmod 0755 /opt/atheria/bin/atheria-operator \
 && python3 -m compileall -q /opt/atheria/app
LABEL org.opencontainers.image.title="atheria-operator" \
      org.opencontainers.image.description="Control plane of Atheria: reconciles and scales AtheriaModels" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
EXPOSE 8002 9090
ENTRYPOINT ["atheria-operator"]

FROM runtime AS gateway
ARG VERSION=0.1.0
ARG REVISION=unknown
COPY --from=gateway-environment /opt/atheria /opt/atheria
COPY contract/atheria_contract /opt/atheria/app/atheria_contract
COPY gateway/atheria_gateway /opt/atheria/app/atheria_gateway
RUN printf '#!/opt/atheria/bin/python\nimport sys\n\nfrom atheria_gateway.__main__ import main\n\nsys.exit(main())\n' > /opt/atheria/bin/atheria-gateway \
 && chmod 0755 /opt/atheria/bin/atheria-gateway \
 && python3 -m compileall -q /opt/atheria/app
LABEL org.opencontainers.image.title="atheria-gateway" \
      org.opencontainers.image.description="Data path of Atheria: Envoy and the activator that holds calls at zero" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
EXPOSE 8000 8001 9090
ENTRYPOINT ["atheria-gateway"]

# torch.compile and triton build their kernels with g++ against the headers of Python.
FROM runtime AS runtime-cuda
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends g++ libpython3-dev \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log

FROM runtime-cuda AS server
ARG VERSION=0.1.0
ARG REVISION=unknown
COPY --from=server-environment /opt/atheria /opt/atheria
COPY contract/atheria_contract /opt/atheria/app/atheria_contract
COPY server/atheria_server /opt/atheria/app/atheria_server
RUN printf '#!/opt/atheria/bin/python\nimport sys\n\nfrom atheria_server.__main__ import main\n\nsys.exit(main())\n' > /opt/atheria/bin/atheria-server \
 && chmod 0755 /opt/atheria/bin/atheria-server \
 && python3 -m compileall -q /opt/atheria/app
LABEL org.opencontainers.image.title="atheria-server" \
      org.opencontainers.image.description="Model server of Atheria (OIP over gRPC and REST), PyTorch for CUDA" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
EXPOSE 8000 8001
ENTRYPOINT ["atheria-server"]

FROM runtime-torch-cpu AS server-cpu
ARG VERSION=0.1.0
ARG REVISION=unknown
COPY --from=server-cpu-environment /opt/atheria /opt/atheria
COPY contract/atheria_contract /opt/atheria/app/atheria_contract
COPY server/atheria_server /opt/atheria/app/atheria_server
RUN printf '#!/opt/atheria/bin/python\nimport sys\n\nfrom atheria_server.__main__ import main\n\nsys.exit(main())\n' > /opt/atheria/bin/atheria-server \
 && chmod 0755 /opt/atheria/bin/atheria-server \
 && python3 -m compileall -q /opt/atheria/app
LABEL org.opencontainers.image.title="atheria-server-cpu" \
      org.opencontainers.image.description="Model server of Atheria (OIP over gRPC and REST), Debian's PyTorch for CPU" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
EXPOSE 8000 8001
ENTRYPOINT ["atheria-server"]
