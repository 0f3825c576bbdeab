"""About as a person reads it."""

from playwright.sync_api import expect

from normzoo import NORM_LAYERS
from normzoo.app.core.examples import EXAMPLES
from tests.browser.visitor import open_tab


def test_about_tells_norms_the_chosen_runs_endpoints_and_terms(page, server_url):
    open_tab(page, "About")
    for title in ("Formulas and papers", "Recipe, data, runs", "Credits and terms"):
        page.get_by_role("button", name=title).click()
    expect(page.locator("#norms li")).to_have_count(len(NORM_LAYERS))
    expect(page.locator("#trained")).to_contain_text("python -m training study --recipe")
    expect(page.locator("#trained tbody tr")).to_have_count(len(NORM_LAYERS))
    expect(page.locator("#credits tbody tr")).to_have_count(len(EXAMPLES))
    expect(page.locator("#credits")).to_contain_text("non-commercial")
    page.get_by_role("checkbox", name="NN", exact=True).uncheck()
    expect(page.locator("#trained tbody tr")).to_have_count(len(NORM_LAYERS) - 1)
    page.get_by_role("button", name="Use via API").click()
    expect(page.locator(".api-docs")).to_contain_text(f'Client("{server_url.rstrip("/")}")')
    expect(page.locator(".api-docs")).to_contain_text("/learning_curves")
