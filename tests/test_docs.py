"""What the documentation says is true of the code: commands, examples, links, keys, words."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from test_glossary import INSTEAD

from bimu_hw.cards import parse_card, shipped_cards
from bimu_hw.cli import commands
from bimu_hw.operations import COMPONENTS, ENERGY_PER_QUERY, PHASES
from bimu_hw.record import describe_markdown
from bimu_hw.scenario import load_scenario
from bimu_hw.scenario.shipped import find_scenario

ROOT = Path(__file__).parents[1]
#: What people wrote; pages that the site's builder writes from the program are left out.
PAGES = sorted([*ROOT.glob("*.md"), *(p for p in (ROOT / "docs").rglob("*.md") if "generated" not in p.parts)])
each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def fences(text, language):
    """Return the code blocks of a language, without the indentation of a list they may stand in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, flags=re.M | re.S)
    return [re.sub(rf"^{indent}", "", body, flags=re.M) for indent, body in found]


# Pages


def test_the_page_of_the_record_is_current():
    assert text_of("docs/record.md") == describe_markdown(), "run: python docs/regenerate.py"


def anchors(text):
    """Return the anchors of a page's headings, as GitHub makes them."""
    plain = re.sub(r"```.*?```", "", text, flags=re.S)
    headings = re.findall(r"^#+ (.+)$", plain, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links(text):
    plain = re.sub(r"```.*?```|`[^`\n]*`(?!\])", "", text, flags=re.S)
    return [a or b for a, b in re.findall(r"\]\(([^)\s]+)\)|<img[^>]*src=\"([^\"]+)\"", plain)]


@each_page
def test_relative_links_lead_somewhere(path):
    for link in links(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.is_relative_to(ROOT), f"{path.name}: {link} leads out of the repository"
        assert file.exists(), f"{path.name}: {link} leads nowhere"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{path.name}: {link}: no such heading"


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("## Energy per query: four figures", "energy-per-query-four-figures"),
        ("# The record of a run", "the-record-of-a-run"),
    ],
)
def test_anchors_are_those_of_the_headings(heading, anchor):
    assert anchors(heading) == {anchor}


@each_page
def test_files_that_a_page_names_exist(path):
    folders = "bimu_hw|device_models|scenarios|tests|docs|notebooks|benchmarks"
    for name in re.findall(rf"`((?:{folders})/[\w./-]*)`", path.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), f"{path.name}: {name} does not exist"


# Commands


def command_lines(path):
    """Yield the words of every call of bimu-hw in a page, after the program's name."""
    for block in fences(path.read_text(encoding="utf-8"), "bash"):
        for line in block.splitlines():
            for part in line.partition("#")[0].split("&&"):
                words = shlex.split(part.partition(">")[0])
                if words and words[0].endswith("bimu-hw"):
                    yield words[1:]


def check_command(words):
    """Follow the words of a command line through the commands and options there are."""
    command, words = commands, list(words)
    while isinstance(command, click.Group):
        assert words, "a group of commands needs one of them"
        name = words.pop(0)
        assert name in command.commands, f"no command {name!r}"
        command = command.commands[name]
    context = command.make_context(command.name, words)
    return command.name, context.params


@each_page
def test_commands_exist(path):
    for words in command_lines(path):
        name, params = check_command(words)
        if name == "run" and params["scenario"] != "my_scenario.toml":
            load_scenario(find_scenario(params["scenario"]), params["overrides"], params["seed"])
        if name == "show" and not params["name"].endswith(".toml"):
            assert params["name"] in shipped_cards()


def test_the_check_of_commands_sees_a_wrong_one():
    with pytest.raises(AssertionError, match="no command 'device'"):
        check_command(["device", "list"])
    with pytest.raises(click.NoSuchOption):
        check_command(["run", "quickstart", "--sede", "3"])


def test_the_two_commands_of_the_readme_need_nothing_set_up():
    first, second = fences(text_of("README.md"), "bash")[:2]
    for command in (first, second):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -q -e ")
        assert command.count("\n") == 1
    assert first.rstrip().endswith("&& .venv/bin/bimu-hw run quickstart")
    assert second.rstrip().endswith("&& .venv/bin/python -m pytest -n auto --dist loadfile")
    extras = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]
    named = set(re.findall(r"\.\[(\w+)\]", first + second + text_of("CONTRIBUTING.md")))
    assert named == {"test", "dev"} <= set(extras)


def test_the_readme_shows_a_summary_of_the_quickstart():
    marked = r"<!-- summary.*?-->\n```text\n(.*?)```\n<!-- end of summary -->"
    (shown,) = re.findall(marked, text_of("README.md"), flags=re.S)
    scenario = load_scenario(ROOT / "scenarios" / "quickstart.toml")
    again = "the README shows another scenario than there is; run: python docs/regenerate.py"
    assert shown.startswith(f"{scenario.title}\n"), again
    assert f"runs/{scenario.run_name}: " in shown, again
    assert "\nmiss" not in shown, "the README shows a run that misses what its scenario expects"


# Examples


@pytest.fixture(scope="module")
def readme_example(tmp_path_factory):
    """Run the Python example of the README, on a few of its examples, in a copy of the folder it needs."""
    (code,) = fences(text_of("README.md"), "python")
    marker = "overrides=["
    assert code.count(marker) == 1
    code = code.replace(marker, f'{marker}"stream.examples=60", "evaluation.examples=20", ')
    folder = tmp_path_factory.mktemp("readme")
    (folder / "scenarios").symlink_to(ROOT / "scenarios")
    (folder / "example.py").write_text(code)
    done = subprocess.run([sys.executable, "example.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (run,) = (folder / "runs").iterdir()
    return done.stdout, json.loads((run / "summary.json").read_text(encoding="utf-8"))


def test_the_example_of_the_readme_runs(readme_example):
    printed, summary = readme_example
    assert printed.startswith(f"{summary['accuracy']} {summary['energy_per_query_J']['update']}\n")
    assert all(component in printed for component in COMPONENTS)


def test_every_key_of_the_summary_is_explained(readme_example):
    section = text_of("docs/model.md").partition("## The summary, key by key")[2].partition("\n## ")[0]
    explained = {
        name for row in re.findall(r"^\| (.*?) \|", section, flags=re.M) for name in re.findall(r"`(\w+)`", row)
    }
    assert explained == set(readme_example[1])


def test_phases_and_figures_are_explained():
    section = text_of("docs/model.md").partition("\n## Energy\n")[2].partition("\n## ")[0]
    phases = [row for row in re.findall(r"^\| `(\w+)` \| [^|]*\|$", section, flags=re.M)]
    assert phases == list(PHASES)
    figures = re.findall(r"^\| `(\w+)` \| [^|]*\| [^|]*\|$", section, flags=re.M)
    assert figures == list(ENERGY_PER_QUERY)
    (listed,) = re.findall(r"The components are (.*?)\. ", section, flags=re.S)
    assert re.findall(r"`(\w+)`", listed) == list(COMPONENTS)


DEVICE_PAGE = "docs/add_a_device.md"


def test_the_number_of_the_device_page_fits_a_card():
    snippet = fences(text_of(DEVICE_PAGE), "toml")[0]
    (table,) = tomllib.loads(snippet)["params"]
    text = text_of("device_models/cards/dw_notched.toml")
    text, n = re.subn(rf"\[params\.{table}\]\n.*?\n\n", f"{snippet}\n\n", text, flags=re.S)
    assert n == 1
    fact = parse_card(text, "the page").params[table]
    assert (fact.value, fact.low, fact.high, fact.kind) == (0.05, 0.01, 0.2, "assumed")


def test_the_model_of_the_device_page_passes_the_suite(tmp_path):
    model, check = fences(text_of(DEVICE_PAGE), "python")
    entry = fences(text_of(DEVICE_PAGE), "toml")[1]
    (name, target), = tomllib.loads(entry)["project"]["entry-points"]["bimu_hw.device_models"].items()
    module, _, constant = target.partition(":")
    package, _, stem = module.rpartition(".")
    info = tmp_path / f"{package}-0.1.dist-info"
    for folder in (tmp_path / package, info):
        folder.mkdir()
    (tmp_path / package / "__init__.py").touch()
    (tmp_path / package / f"{stem}.py").write_text(model, encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[bimu_hw.device_models]\n{name} = {target}\n")
    assert f"{constant} = " in model
    (tmp_path / "check.py").write_text(check, encoding="utf-8")
    path = os.pathsep.join(p for p in (str(tmp_path), os.environ.get("PYTHONPATH", "")) if p)
    done = subprocess.run(
        [sys.executable, "check.py"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


# Words and citation


def test_the_glossary_has_the_words_that_the_code_must_use():
    explained = set(re.findall(r"`(\w+)`", text_of("docs/glossary.md")))
    for words in INSTEAD:
        for word in re.split(r"\W+or\W+|\W+", words):
            assert word in explained or word == "n_samples", f"docs/glossary.md lacks {word}"


def test_the_glossary_has_no_word_twice():
    words = [
        word for cell in re.findall(r"^\| (`[^|]*?) \|", text_of("docs/glossary.md"), flags=re.M)
        for word in re.findall(r"`(\w+)`", cell)
    ]  # fmt: skip
    assert len(words) > 40
    assert len(words) == len(set(words))


def citation():
    """Return the top level of CITATION.cff: plain keys as text, the others as the lines below them."""
    found, key = {}, ""
    for line in text_of("CITATION.cff").splitlines():
        assert "\t" not in line, "YAML knows no tabs"
        assert re.fullmatch(r" *(- )?[\w-]+:( .+)?| *- .+| {2,}\S.*|", line), f"not YAML: {line!r}"
        if top := re.match(r"([\w-]+):(.*)", line):
            key = top[1]
            assert key not in found, f"{key} twice"
            found[key] = top[2].strip().strip('"')
        elif line.strip():
            found[key] += "\n" + line
    return found


def test_the_citation_file_names_this_version_and_the_paper():
    found = citation()
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    assert found["cff-version"] == "1.2.0"
    assert found["version"] == project["version"]
    assert found["license"] == project["license"]
    assert "The bimu-hw developers" in found["authors"]
    assert found["message"]
    assert found["title"]
    title = "Active Continual Learning with Metaplastic Binary Bayesian Neural Networks"
    for part in (title, "arXiv:2605.30198", "year: 2026"):
        assert part in found["references"]
    for name in ("Cottart", "Ballet", "Bonnet", "Querlioz"):
        assert f"family-names: {name}" in found["references"]


def test_the_licence_is_the_whole_of_apache_2():
    text = text_of("LICENSE")
    assert "Version 2.0, January 2004" in text
    numbered = re.findall(r"^   (\d)\. [A-Z]", text, flags=re.M)
    assert numbered == [str(n) for n in range(1, 10)]
    ends = ("END OF TERMS AND CONDITIONS", "APPENDIX: How to apply", "limitations under the License.")
    for end in ends:
        assert end in text


def test_the_changelog_knows_this_version():
    assert tomllib.loads(text_of("pyproject.toml"))["project"]["version"] in text_of("CHANGELOG.md")


@each_page
def test_pages_are_about_the_simulator_and_nothing_else(path):
    text = path.read_text(encoding="utf-8")
    for word in ("/" + "work/", "TODO", "FIXME", "lorem", "issue #"):
        assert word not in text, f"{path.name}: {word}"
