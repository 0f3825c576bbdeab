"""The page: `python app.py`, then http://127.0.0.1:7860. Settings come from the environment (`normzoo.app.server.settings`)."""

from normzoo.app.server.launch import main

if __name__ == "__main__":
    main()
