"""Known vulnerabilities in what is installed here, by pip-audit. `python -m tests.audit`; it needs the network.

Exit code 0: all packages were looked up, none is known to be vulnerable. 1: some are. 2: not all could be looked up,
which pip-audit itself would let pass.
"""

import json
import subprocess
import sys

COMMAND = [sys.executable, "-m", "pip_audit", "--local", "--progress-spinner", "off", "--format", "json"]
UNREACHABLE = (
    "Nothing was checked: the database of known vulnerabilities cannot be reached from here. "
    "Run `make audit` again where pypi.org answers."
)


def main():
    """Run pip-audit; gives the exit code."""
    result = subprocess.run(COMMAND, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(result.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(UNREACHABLE)
        print(f"  ({(result.stderr.strip().splitlines() or ['pip-audit said nothing'])[-1][:300]})")
        return 2
    return report(packages)


def report(packages):
    """Print what pip-audit found out; gives the exit code."""
    checked = [package for package in packages if "skip_reason" not in package]
    unchecked = sorted(package["name"] for package in packages if "skip_reason" in package and package["name"] != "normzoo")
    vulnerable = [package for package in checked if package["vulns"]]
    for package in vulnerable:
        for found in package["vulns"]:
            fixed = ", ".join(found["fix_versions"]) or "no version yet"
            print(f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}")
    if unchecked and not checked:
        print(UNREACHABLE)
    elif unchecked:
        print(f"Not looked up: {', '.join(unchecked)}.")
    if checked:
        print(f"{len(checked)} packages were looked up, {len(vulnerable)} are known to be vulnerable.")
    return 1 if vulnerable else 2 if unchecked else 0


if __name__ == "__main__":
    sys.exit(main())
