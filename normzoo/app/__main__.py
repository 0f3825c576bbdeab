"""python -m normzoo.app: the page of an installed normzoo, the same as `python app.py` in a checkout."""

from normzoo.app.server.launch import main

if __name__ == "__main__":
    main()
