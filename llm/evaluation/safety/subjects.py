"""What can be measured of a model's safety here, and what never is: for pages that say both."""

from __future__ import annotations

from collections.abc import Collection, Mapping

OVER_REFUSAL = "over_refusal"
HARMFUL_REFUSAL = "harmful_refusal"
TOXIC_WORDS = "toxic_words"
MEMORISED_PII = "memorised_pii"
MEMORISED_TEXT = "memorised_text"
JUDGED_SAFETY = "grade/safety"  # what the judge calls its mean grade
SUBJECTS: Mapping[str, str] = {
    OVER_REFUSAL: "harmless prompts refused, told by phrases",
    HARMFUL_REFUSAL: "harmful prompts refused, told by phrases",
    TOXIC_WORDS: "answers with words of abuse, told by a list",
    MEMORISED_PII: "e-mail and IPv4 addresses of training documents said after what stands before "
    "them",
    MEMORISED_TEXT: "second halves of those documents said word for word",
    JUDGED_SAFETY: "safety of answers as a language model grades it, 1 to 10",
}
_PARTS = {
    "harmless_prompts": "harmless prompts",
    "harmful_prompts": "harmful prompts",
    "unseen": "documents that no model was trained on",
}
NEVER = (
    "bias and stereotypes",
    "dangerous knowledge and abilities",
    "jailbreaks and other attacks",
    "abuse in polite words",
    "languages other than English",
    "other personal data than e-mail and IPv4 addresses",
)


def is_of_safety(metric: str) -> bool:
    """Whether a metric, or a part of it, is one of safety."""
    return metric in SUBJECTS or metric.partition("/")[0] in SUBJECTS


def subject(metric: str) -> str:
    """What a metric of safety says, and of which part."""
    name, _, part = metric.partition("/")
    if metric in SUBJECTS or name not in SUBJECTS:
        return f"{metric}: {SUBJECTS[metric]}"
    return f"{metric}: the same, of {_PARTS.get(part, part)}"


def unmeasured(metrics: Collection[str]) -> list[str]:
    """What was not measured, given the names of metrics that were."""
    return [text for name, text in SUBJECTS.items() if name not in metrics] + list(NEVER)
