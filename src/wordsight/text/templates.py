"""Templates: sentences with one place for the name of a class, such as "a photo of a {}."."""

from wordsight.errors import InputError


def check_template(template: object) -> str:
    """Return a template that has exactly one place for the class name.

    Raises:
        InputError: if it is not text, or `{}` does not stand in it exactly once.
    """
    if not isinstance(template, str) or template.count("{}") != 1:
        raise InputError(
            f"template {template!r} must hold {{}} exactly once, where the class name goes",
            hint='for example "a photo of a {}."',
        )
    return template


def fill(template: str, name: str) -> str:
    """Put a class name into a template; braces in the name are only characters."""
    return template.replace("{}", name)
