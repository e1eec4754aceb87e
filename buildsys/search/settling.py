"""Searches for deployables whose profile is a search that has not chosen yet."""

from __future__ import annotations

from collections.abc import Sequence

from buildsys.engine import events
from buildsys.engine.listener import Listener, ignore
from buildsys.engine.run import Settings
from buildsys.engine.session import Session
from buildsys.figures.candidate import Figures
from buildsys.planner.choices.candidates import Candidate
from buildsys.planner.choices.choosing import Question, choose
from buildsys.recipe import Diagnostic, RecipeError
from buildsys.search import lock, sensitivity
from buildsys.search.mixing import Layer
from buildsys.search.searching import Found, Searching
from buildsys.search.trial import Trials


def settle(
    session: Session,
    questions: Sequence[Question],
    settings: Settings,
    listener: Listener = ignore,
    *,
    locked: bool = False,
) -> list[Found]:
    """Answers questions, and gives the session's recipe the choices.

    What is good enough is written to the lock at once: a search that is stopped keeps what others
    before it have found. Where nothing is, what came nearest is built, and rejected as any other.

    Raises:
        RecipeError: `locked`: the lock lacks these choices.
        SearchError: A search cannot be made here.
        StoreError: The store or the lock cannot be written.
        ToolchainError: An environment that a candidate needs could not be made.
    """
    if locked:
        raise RecipeError([_unanswered(session, question) for question in questions])
    found = []
    for question in questions:
        result = _search(session, question, settings, listener)
        label = question.entry.label
        record = lock.entry(result)
        if result.passed:
            lock.write(session.recipe, {label: record})
        session.recipe = choose(
            session.recipe, label, result.candidate, {**record, "passed": result.passed}
        )
        found.append(result)
    return found


def _search(session: Session, question: Question, settings: Settings, listener: Listener) -> Found:
    label = question.entry.label
    declared = session.recipe.spec.quantization[question.search].search
    if declared is None:
        raise ValueError(f"{question.search} is not a search")
    listener(
        events.SearchStarted(
            deployable=label,
            search=question.search,
            minimize=declared.minimize,
            subject_to=declared.subject_to,
            candidates=[each.name for each in question.candidates.taken],
            refused={n: f.message for n, f in question.candidates.refused.items()},
            outdated=question.outdated is not None,
        )
    )

    def show(figures: Figures) -> None:
        listener(events.Candidate(deployable=label, figures=figures.to_json()))

    def layers(candidate: Candidate) -> list[Layer] | None:
        return sensitivity.layers(session, label, candidate, settings, listener)

    searching = Searching(
        question,
        declared.minimize,
        Trials(session, label, settings, listener, timed=declared.minimize == "latency"),
        layers,
        lambda candidate: sensitivity.keeps(session, question.entry.item.format, candidate),
        show,
    )
    found = searching.find()
    listener(
        events.Chosen(
            deployable=label,
            profile=found.candidate.name,
            passed=found.passed,
            built=found.built,
            candidates=[figures.to_json() for figures in found.figures],
        )
    )
    return found


def _unanswered(session: Session, question: Question) -> Diagnostic:
    """Why a build that must not search cannot go on."""
    recipe, entry = session.recipe, question.entry
    hint = "run `modelbuild build` without `--locked`, and commit what it writes"
    if question.outdated is not None:
        message = f"`{recipe.lock.name}` answers another question for `{entry.label}`: the search, "
        message += "its profiles or bounds, or the model have changed since"
        asked = recipe.where_key("quantization", question.search)
        return Diagnostic(message, question.outdated, hint, (asked.noted("what is asked now"),))
    message = f"`{recipe.lock.name}` has no choice for `{entry.label}`"
    return Diagnostic(message, recipe.where(*entry.place, "quantization"), hint)
