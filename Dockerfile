# docker build -t normzoo . && docker run --rm -p 7860:7860 normzoo
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 user

USER user
ENV HOME=/home/user \
    PATH=/home/user/.local/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    GRADIO_ANALYTICS_ENABLED=False \
    GRADIO_TEMP_DIR=/tmp/gradio \
    HF_HUB_OFFLINE=1 \
    MPLCONFIGDIR=/home/user/.cache/matplotlib
WORKDIR $HOME/app

# The processor is enough, and torch without CUDA is several gigabytes smaller.
COPY --chown=user requirements.txt .
RUN grep -E '^(torch|torchvision)==' requirements.txt > /tmp/torch.txt \
    && pip install --user --no-cache-dir --index-url https://download.pytorch.org/whl/cpu -r /tmp/torch.txt \
    && pip install --user --no-cache-dir -r requirements.txt \
    && rm /tmp/torch.txt \
    && python -c "import matplotlib.font_manager"

COPY --chown=user app.py ./
COPY --chown=user assets assets
COPY --chown=user normzoo normzoo
COPY --chown=user checkpoints checkpoints

EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:7860/', method='HEAD'), timeout=4)"]
ENTRYPOINT ["tini", "--"]
CMD ["python", "app.py"]
