"""A link to a view: copied by one person, opened by another."""

import re

import pytest
from playwright.sync_api import Page, expect

from normzoo import NORM_LAYERS
from normzoo.app.core.controls import FORMER_TABS, UNKNOWN
from normzoo.app.core.examples import EXAMPLES
from normzoo.app.page import TABS
from normzoo.variants import short_name
from tests.browser.driver import ZOO, choose_file, open_tab

#: Choose an example, until it is there.
CHOOSE = """(button) => new Promise((done) => {
  document.addEventListener("photo-answered", () => done(), {once: true});
  button.click();
})"""


def ticked(page: Page) -> list[str]:
    """The networks that are chosen, as they are read."""
    labels = page.locator(".chooser label:has(input[type=checkbox]:checked)").all_inner_texts()
    return [label.strip() for label in labels]


def test_a_copied_link_brings_the_same_view(page, server_url):
    page.wait_for_load_state("networkidle")
    assert page.url == server_url  # nobody gets a longer address than they asked for
    page.get_by_role("checkbox", name="NN", exact=True).uncheck()
    open_tab(page, "Curves & metrics")
    expect(page).to_have_url(re.compile(r"tab=curves"))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#link [role=status]")).to_contain_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.search(r"\?set=[\w-]+/[\w-]+&variants=bn(,\w+)+&tab=curves$", copied)

    page.goto("about:blank")
    page.goto(copied)
    expect(page.get_by_role("tab", name="Curves & metrics")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#results tbody tr")).to_have_count(ZOO - 1)
    assert ticked(page) == [short_name(variant) for variant in NORM_LAYERS if variant != "nn"]
    open_tab(page, "Compare")
    expect(page.locator(".card")).to_have_count(ZOO - 1)


def test_the_addresses_of_before_open_the_tab_that_has_the_content_now(page, server_url):
    titles = {key: title for key, title, _ in TABS}
    for former, key in FORMER_TABS.items():
        page.goto(f"{server_url}?tab={former}")
        expect(page.get_by_role("tab", name=titles[key])).to_have_attribute("aria-selected", "true")
        page.wait_for_timeout(300)
        assert "tab=" in page.url  # and it is not overwritten


def test_copied_goes_when_the_view_changes_and_an_own_photo_is_said_to_be_in_no_link(page, tmp_path):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button, status = page.get_by_role("button", name="Copy link").first, page.locator("#link [role=status]")
    example = page.get_by_role("button", name=EXAMPLES[0].title, exact=True)
    example.click()
    expect(page).to_have_url(re.compile("photo="))
    button.click()
    expect(status).to_contain_text("Copied.")
    expect(status).not_to_contain_text("own photos")
    example.evaluate(CHOOSE)  # the view is the same
    page.wait_for_timeout(300)
    expect(status).to_contain_text("Copied.")
    open_tab(page, "Evidence")
    expect(status).to_be_empty()
    page.get_by_role("radio", name="Calibration").check()
    expect(page).to_have_url(re.compile("finding=calibration"))
    open_tab(page, "Compare")
    choose_file(page, EXAMPLES[-1].path)
    expect(page.locator("#photo figcaption")).to_have_text(EXAMPLES[-1].file)
    for tab in ("Evidence", "Inside"):
        open_tab(page, tab)
        button.click()
        expect(status).to_contain_text("Not in the link: your own photos")


def test_what_is_unknown_in_a_link_is_left_out_and_said(page, server_url):
    unknown = "set=no/such&variants=gn,<b>&tab=nowhere&photo=nowhere&value=bn/attic/1/1/1/1/bn/100/100"
    page.goto(f"{server_url}?{unknown}&__theme=light")
    expect(page.get_by_test_id("toast-body")).to_contain_text(UNKNOWN)
    expect(page.locator(".card")).to_have_count(1)
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")
    open_tab(page, "Inside")
    expect(page.locator("#explorer-said")).to_contain_text(f"Photo 1 ({EXAMPLES[0].file}), channel 4")


def test_a_tab_is_in_the_address_also_on_a_slow_phone_and_a_translated_page(page):
    slow = page.context.new_cdp_session(page)
    slow.send("Emulation.setCPUThrottlingRate", {"rate": 6})
    for tab in ("Evidence", "About"):
        open_tab(page, tab)
        expect(page).to_have_url(re.compile(f"tab={tab.lower()}$"))
    slow.detach()  # and as fast as before
    page.evaluate("() => document.querySelectorAll('[role=tab]').forEach((tab) => { tab.textContent += ' auf Deutsch'; })")
    open_tab(page, "Evidence auf Deutsch")
    expect(page).to_have_url(re.compile("tab=evidence$"))


def test_a_link_opens_exactly_one_value_of_an_example(page):
    page.get_by_role("button", name="Cat", exact=True).click()
    expect(page).to_have_url(re.compile(r"photo=cat"))
    open_tab(page, "Inside")
    expect(page.locator("#explorer-said")).to_contain_text("Photo 1 (cat.jpg)")
    assert "value=" not in page.url
    page.locator("#explorer-norm").get_by_text("IN", exact=True).click()
    page.get_by_label("Before layer", exact=True).click()
    page.get_by_role("option", name="Stage 2, block 1, norm 1").click()
    expect(page.locator('.explorer[data-height="32"]')).to_be_visible()
    page.locator('.maps-grid .map[data-photo="2"][data-channel="5"]').click()
    page.get_by_label("Row", exact=True).fill("3")
    page.get_by_label("Column", exact=True).fill("5")
    expect(page.locator("#explorer-said")).to_contain_text("channel 6, row 3, column 5")
    expect(page).to_have_url(re.compile(r"value=bn/stage\+2,\+block\+1,\+norm\+1/3/6/3/5/in/100/100"))
    said, address = page.locator("#explorer-said").inner_text(), page.url

    page.goto("about:blank")
    page.goto(address)
    expect(page.locator("#explorer-said .arithmetic")).to_have_text(re.compile("="))
    expect(page.locator("#explorer-said")).to_have_text(said, use_inner_text=True)
    expect(page.locator("#explorer-maps .map.lit")).to_have_count(1)
    expect(page.get_by_alt_text("Photo 1: cat.jpg")).to_be_visible()
    open_tab(page, "Curves & metrics")
    expect(page).to_have_url(re.compile("tab=curves"))
    assert "photo=cat" in page.url  # what a link has brought stays in it
    open_tab(page, "Compare")
    expect(page.locator("#photo figcaption")).to_have_text("cat.jpg")


def test_added_networks_the_folder_and_the_choices_in_folds_are_in_the_link(page):
    open_tab(page, "Inside")
    page.get_by_role("button", name="Interventions").click()
    page.get_by_role("radio", name="Replicated pixels in the first convolution").check()
    expect(page).to_have_url(re.compile("turned=0/first/0"))
    open_tab(page, "Curves & metrics")
    page.locator("#confusion").scroll_into_view_if_needed()
    page.get_by_label("Compare with").click()
    page.get_by_role("option", name="GN", exact=True).click()
    expect(page).to_have_url(re.compile(r"confusion=\w+/gn/"))
    page.get_by_label("Add networks").click()
    page.get_by_role("option", name="BN batch 8 · 32×32 · original recipe (paper)", exact=True).click()
    expect(page).to_have_url(re.compile("with=tiny-imagenet-25/paper/bn-bs8"))
    open_tab(page, "Batches")
    page.get_by_role("button", name="More choices").click()
    page.get_by_label("Folder", exact=True).click()
    page.get_by_role("option", name="Only umbrella").click()
    expect(page).to_have_url(re.compile("photos=drawings/0/true/umbrella"))
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(page.locator("#many-report table.bars caption")).to_contain_text("of 4")
    open_tab(page, "Curves & metrics")
    expect(page.locator("#results tbody tr")).to_have_count(ZOO + 1)
    expect(page.get_by_label("Compare with")).to_have_value("GN")
    open_tab(page, "Inside")
    page.get_by_role("button", name="Interventions").click()
    expect(page.get_by_role("radio", name="Replicated pixels in the first convolution")).to_be_checked()


@pytest.mark.parametrize("viewport", ["phone"])
def test_the_finding_of_a_link_is_in_sight_in_the_list(page, server_url):
    page.goto(f"{server_url}?tab=evidence&finding=parity")
    chosen = page.locator("#findings label.selected")
    expect(chosen).to_have_text("Parity with PyTorch")
    expect(chosen).to_be_in_viewport(ratio=1)
