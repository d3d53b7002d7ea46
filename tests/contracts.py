"""Import contracts whose modules are the stages: the list is the recipe's."""

from grimp import ImportGraph
from importlinter import fields
from importlinter.contracts.independence import IndependenceContract
from importlinter.domain.contract import ContractCheck
from importlinter.domain.imports import ModuleExpression

from schemas.recipe import STAGES


class StagesContract(IndependenceContract):
    """The stages' modules in a room, e.g. `k2core`, never import each other.

    Configuration options:

        - room: the package that holds a module of each stage's name.
    """

    type_name = "stages"

    room = fields.StringField()
    modules = fields.SetField(subfield=fields.ModuleExpressionField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """As for any independent modules; a stage without its module is an error."""
        modules = {ModuleExpression(f"{self.room}.{stage}") for stage in STAGES}
        setattr(self, "modules", modules)  # noqa: B010, a field that instances fill
        return super().check(graph, verbose)
