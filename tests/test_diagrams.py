"""Every diagram of the documents is drawn by Mermaid in a browser, for a page cannot say that it failed to."""

import re
import subprocess

import pytest
from support import ROOT, absent

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
DIAGRAMS = {
    f"{path.name}:{number}": found
    for path in DOCUMENTS
    for number, found in enumerate(re.findall(r"^```mermaid\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL), 1)
}
DRAW = """async (text) => {
    try { return { svg: (await mermaid.render("drawn", text)).svg }; }
    catch (error) { return { error: String(error.message ?? error) }; }
}"""


@pytest.fixture(scope="module")
def script():
    """Mermaid as one file; .ci/package.json has its version."""
    installed = subprocess.run([ROOT / ".ci" / "node"], capture_output=True, text=True, timeout=300, check=False)
    if installed.returncode:
        absent(f"Mermaid cannot be installed: {installed.stderr.strip()}")
    return ROOT / ".cache" / "checks" / "node_modules" / "mermaid" / "dist" / "mermaid.min.js"


@pytest.fixture
def draw(page, script):
    page.set_content("<body></body>")
    page.add_script_tag(path=script)
    page.evaluate("mermaid.initialize({ startOnLoad: false, suppressErrorRendering: true })")
    return lambda text: page.evaluate(DRAW, text)


def test_every_diagram_of_the_documents_is_drawn(draw):
    assert len(DIAGRAMS) == sum(path.read_text().count("```mermaid") for path in DOCUMENTS) >= 4
    for name, text in DIAGRAMS.items():
        drawn = draw(text)
        assert "error" not in drawn, f"{name}: {drawn['error']}"
        assert drawn["svg"].startswith("<svg"), name
        assert "<path" in drawn["svg"], name


def test_a_broken_diagram_is_not(draw):
    assert "error" in draw("flowchart LR\n    A[open --> B\n")
    assert "error" in draw("flowchrat LR\n    A --> B\n")
