"""What the README shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

from tests.e2e.project import Project

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


def test_the_recipe_of_the_readme_is_valid(tmp_path: Path) -> None:
    project = Project.copy_of("digits", tmp_path)
    (recipe,) = [block for block in blocks("yaml") if "version: 1" in block]
    (project.folder / "deploy.yaml").write_text(recipe)
    result = project.run("plan")
    assert result.code == 0, result.stderr
    labels = re.findall(r"^\+ (\S+)", result.stdout, flags=re.M)
    told = README[README.index("Labels follow from it") :].split("\n\n")[0]
    assert labels == re.findall(r"`(\w+/[\w.-]+)`", told)[: len(labels)]


def test_the_example_recipe_is_valid(tmp_path: Path) -> None:
    """With the files that it names, and the formats that there are."""
    from buildsys.recipe.schema.json_schema import schema

    text = (REPOSITORY / "deploy.yaml.example").read_text()
    for name in schema()["properties"]:
        assert re.search(rf"^#? ?{name}:", text, flags=re.M), f"{name} is not explained"


def test_the_error_of_the_readme_is_the_real_one(tmp_path: Path) -> None:
    project = Project.copy_of("digits", tmp_path)
    project.edit("deploy.yaml", "quantization: dyn", "quantisation: dyn")
    shown = README[README.index("error: unknown key") :].split("```")[0]
    assert project.run("plan").stderr.startswith(shown)


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for document in [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"
