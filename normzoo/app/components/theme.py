"""How the page looks: Gradio's default theme with fonts that it ships, and the style sheet beside this file."""

from pathlib import Path

import gradio as gr
from gradio.themes.utils import fonts

STYLE_SHEET = Path(__file__).with_name("page.css")


def theme() -> gr.themes.ThemeClass:
    """Only a font that Gradio serves itself: another would be fetched from elsewhere.

    Its bold, not the half-bold of the default theme: the file of that one holds no Latin letters.
    """
    font = fonts.LocalFont("IBM Plex Sans", weights=(400, 700))
    # Not Gradio's orange: it is one of the variants' colours, and too light for white letters on it.
    look = gr.themes.Default(primary_hue="indigo", font=[font, "ui-sans-serif", "system-ui", "sans-serif"])
    return look.set(button_primary_background_fill="*primary_600", button_primary_background_fill_hover="*primary_700")
