"""The page: `python app.py`, then http://127.0.0.1:7860. Settings come from the environment (`normzoo.app.server.launch`)."""

from normzoo.app.server.launch import Settings, launch

if __name__ == "__main__":
    launch(Settings.from_environment())
