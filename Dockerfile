# docker build -t normzoo . && docker run --rm -p 7860:7860 normzoo
# On the open internet, with nothing that it does not need:
# docker run -p 7860:7860 --read-only --tmpfs /tmp:size=700m --cap-drop ALL --security-opt no-new-privileges \
#     --pids-limit 256 --memory 2g normzoo
# With networks from the Hugging Face Hub in place of its own: -e NORMZOO_CHECKPOINTS=hf://user/repo
FROM python:3.11-slim

# hadolint ignore=DL3008 # Debian keeps one version of a package at a time: a pin would soon name none.
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 user

# The processor is enough, and torch without CUDA is several gigabytes smaller; empty takes pip's own index, where it has CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# What only the training needs is left out.
COPY requirements.txt /tmp/
RUN grep -E '^torch==' /tmp/requirements.txt > /tmp/torch.txt \
    && grep -vE '^(scikit-learn|torchvision)==' /tmp/requirements.txt > /tmp/page.txt \
    && pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -r /tmp/torch.txt \
    && pip install --no-cache-dir -r /tmp/page.txt \
    && rm /tmp/*.txt

# All of it belongs to root: the page itself may write to /tmp alone.
WORKDIR /home/user/app
COPY app.py ./
COPY normzoo normzoo
COPY checkpoints checkpoints

USER 1000
ENV HOME=/home/user \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    GRADIO_ANALYTICS_ENABLED=False \
    GRADIO_TEMP_DIR=/tmp/gradio \
    HF_HOME=/tmp/huggingface \
    MPLCONFIGDIR=/tmp/matplotlib

EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:7860/', method='HEAD'), timeout=4)"]
ENTRYPOINT ["tini", "--"]
CMD ["python", "app.py"]
