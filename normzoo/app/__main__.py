"""python -m normzoo.app: the page of an installed normzoo, the same as `python app.py` in a checkout."""

from normzoo.app.server.launch import Settings, launch

if __name__ == "__main__":
    launch(Settings.from_environment())
