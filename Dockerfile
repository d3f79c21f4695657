# For a CPU:   docker build -t aec_jax .
# For a GPU:   docker build -t aec_jax:cuda --build-arg ACCELERATOR=cuda12 .
#   docker run --rm aec_jax                                  # the commands
#   docker run --rm -v "$PWD:/data" aec_jax train demo --workdir=runs/demo
#   docker run --rm --gpus=all -v "$PWD:/data" aec_jax:cuda train …
ARG PYTHON=3.12
FROM python:${PYTHON}-slim
# JAX's wheels bring CUDA with them: of the host only the driver is needed.
ENV NVIDIA_VISIBLE_DEVICES=all
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
# cuda12, cuda13 or tpu; empty for a CPU.
ARG ACCELERATOR=
COPY requirements.txt /src/
RUN pip install --no-cache-dir -r /src/requirements.txt ${ACCELERATOR:+"jax[$ACCELERATOR]"}
COPY . /src/
RUN pip install --no-cache-dir --no-deps /src
WORKDIR /data
ENTRYPOINT ["aec-jax"]
CMD ["--help"]
