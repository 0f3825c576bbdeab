"""Whose statistics: remembered ones, or those of the images that go through together."""

from normzoo.analysis import comparisons
from normzoo.analysis.findings.companies import companies_finding, read_companies
from normzoo.pretrained.registry import ModelSet
from training.report.markdown import Section, commands, finding_blocks


def companies_section(model_set: ModelSet) -> Section:
    """Return the section on networks that remember statistics, given others."""
    section = Section("Whose statistics")
    again = commands("python -m training companies")
    companies = read_companies(model_set, model_set.main_variants)
    remembered = comparisons.robustness(model_set, model_set.main_variants).frame
    if companies.empty or remembered.empty:
        section.add("Not measured for this set.", again)
        return section
    finding = companies_finding(companies, remembered)
    section.add(*finding_blocks(finding), again)
    section.summary = finding.summary
    return section
