"""About as a person reads it."""

from playwright.sync_api import expect

from normzoo import NORM_LAYERS
from normzoo.app.core.examples import EXAMPLES
from tests.browser.visitor import open_tab


def test_about_tells_norms_training_api_and_terms(page, server_url):
    open_tab(page, "About")
    for title in ("Formulas and papers", "Recipe, data, runs", "Use it from a program", "Credits and terms"):
        page.get_by_role("button", name=title).click()
    expect(page.locator("#norms li")).to_have_count(len(NORM_LAYERS))
    expect(page.locator("#trained")).to_contain_text("python -m training study --recipe")
    expect(page.locator("#trained tbody tr")).to_have_count(len(NORM_LAYERS))
    expect(page.locator("#api")).to_contain_text(f'Client("{server_url.rstrip("/")}")')
    page.get_by_text("endpoints").click()
    for name in ("/classify", "/learning_curves", "/results"):
        expect(page.locator("#api h4").filter(has_text=name).first).to_be_visible()
    expect(page.locator("#credits li")).to_have_count(len(EXAMPLES))


def test_the_runs_are_those_of_the_chosen_networks(page):
    open_tab(page, "About")
    page.get_by_role("button", name="Recipe, data, runs").click()
    expect(page.locator("#trained tbody tr")).to_have_count(len(NORM_LAYERS))
    page.get_by_role("checkbox", name="NN", exact=True).uncheck()
    expect(page.locator("#trained tbody tr")).to_have_count(len(NORM_LAYERS) - 1)
