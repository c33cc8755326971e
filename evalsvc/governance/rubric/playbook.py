"""The playbook's rubric, for ``use: playbook``: four categories, eleven criteria, in per cent."""

from __future__ import annotations

from evalsvc.governance.rubric.values import Category, Criterion, Rubric

PLAYBOOK = Rubric(
    (
        Category(
            "performance",
            "Performance & Capabilities",
            40.0,
            (
                Criterion("understanding", "Understanding", 15.0),
                Criterion("generation", "Generation", 15.0),
                Criterion("task", "Task performance", 10.0),
            ),
        ),
        Category(
            "responsibility",
            "Ethical & Responsible AI",
            25.0,
            (
                Criterion("bias", "Bias", 10.0),
                Criterion("transparency", "Transparency", 7.0),
                Criterion("security", "Security & robustness", 8.0),
            ),
        ),
        Category(
            "deployment",
            "Deployment & Scalability",
            20.0,
            (
                Criterion("efficiency", "Efficiency", 8.0),
                Criterion("integration", "Integration", 7.0),
                Criterion("licensing", "Licensing", 5.0),
            ),
        ),
        Category(
            "language",
            "Language & Domain",
            15.0,
            (Criterion("languages", "Languages", 10.0), Criterion("domain", "Domain", 5.0)),
        ),
    )
)
