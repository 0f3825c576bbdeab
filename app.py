"""The page: `python app.py`, then http://127.0.0.1:7860. Settings come from the environment (`normzoo.app.launch`)."""

from normzoo.app.launch import Settings, launch

if __name__ == "__main__":
    launch(Settings.from_environment())
