"""Every rule of our own finds its bad example, passes its good one, and holds in the tree."""

import ast

import pytest

from tests.architecture.lint_rules import RULES, LintRule
from tests.architecture.sources import python_files, relative

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


@each_rule
class TestLintRules:
    def test_a_rule_passes_its_good_example(self, rule: LintRule) -> None:
        assert list(rule.broken_lines(ast.parse(rule.good))) == []

    def test_a_rule_finds_its_bad_example(self, rule: LintRule) -> None:
        assert list(rule.broken_lines(ast.parse(rule.bad)))

    def test_a_rule_holds_in_the_tree(self, rule: LintRule) -> None:
        broken = [
            f"{relative(path)}:{line}: {rule.name}: {rule.reason}"
            for path in python_files("app", "worker")
            if rule.applies_to(relative(path))
            for line in rule.broken_lines(ast.parse(path.read_text()))
        ]

        assert broken == []


class TestStatesChangeInOnePlace:
    @pytest.mark.parametrize(
        "source",
        [
            "job.state = 'queued'",
            "job.state: str = 'queued'",
            "job.state, job.user_id = 'queued', user",
            "update(Job).values({'state': 'queued'})",
            "session.execute(update(Job).where(Job.id == i).values(error=None, state=s))",
            "INSPECTIONS.finish(session, hold, values)",
            "INSPECTIONS.record_crash(session, hold, last=values)",
        ],
    )
    def test_the_rule_on_states_finds_every_way_to_write_one(self, source: str) -> None:
        rule = next(rule for rule in RULES if rule.name == "state-in-one-place")

        assert list(rule.broken_lines(ast.parse(source)))

    @pytest.mark.parametrize(
        "source",
        [
            "self.state = 1",
            "app.state.database = database",
            "insert(Job).values(state=s)",
            "INSPECTIONS.release(session, hold)",
            "record_crash(session, hold, reason=reason)",
        ],
    )
    def test_the_rule_on_states_ignores_other_things_named_state(self, source: str) -> None:
        rule = next(rule for rule in RULES if rule.name == "state-in-one-place")

        assert list(rule.broken_lines(ast.parse(source))) == []
