"""Clean: keep the documents worth reading, and every reject with its reason."""

from k2core.clean.contamination import Question
from k2core.clean.run import clean_documents
from k2core.store import Draft, Workspace
from schemas.artifacts import RawCorpus
from schemas.clean import CleanConfig
from schemas.placement import Placement
from schemas.problems import ProblemsConfig

__all__ = ["Question", "clean_corpus", "clean_documents"]


def clean_corpus(
    config: CleanConfig,
    problems: ProblemsConfig,
    raw: RawCorpus,
    workspace: Workspace,
    placement: Placement,
) -> Draft:
    """Clean a corpus, and take out of it what the models are evaluated on."""
    from k2core.problems import held_out_problems

    questions = [
        Question(problem.problem_id, message.content)
        for problem in held_out_problems(problems)
        for message in problem.messages
        if message.role == "user"
    ]
    return clean_documents(config, questions, raw, workspace, placement.data_workers)
