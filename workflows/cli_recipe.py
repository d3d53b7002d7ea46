"""`k2 schema`: what a recipe may say."""

from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def schema(
    section: Annotated[
        str, typer.Argument(help="Of it only this: `clean`, `pretrain.optim`; default: all.")
    ] = "",
    template: Annotated[
        bool, typer.Option("--template", help="YAML with every field's value and meaning instead.")
    ] = False,
    recipe: Annotated[
        str, typer.Option(help="Whose values the template has: by name, or a file.")
    ] = "tiny",
) -> None:
    """Print the JSON schema of recipe files, or a recipe in full as a documented YAML file.

    A file for `k2 run --recipe` says only what it changes; the schema lets editors complete it.

    Example: `k2 schema clean --template > my.yaml`, then `k2 schema > recipe.schema.json`
    """
    from workflows.recipe_files import load_recipe
    from workflows.recipe_template import recipe_schema, recipe_template

    found = recipe_template(load_recipe(recipe, []), section) if template else ""
    typer.echo(found or recipe_schema(section), nl=not found)
