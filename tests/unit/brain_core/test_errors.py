import inspect

from brain_core import errors


def test_the_drawing_shows_every_error():
    classes = [
        name for name, value in vars(errors).items() if inspect.isclass(value) and value.__module__ == errors.__name__
    ]
    drawing = errors.__doc__ or ""
    assert len(classes) > 20
    assert [name for name in classes if f" {name}\n" not in drawing] == []


def test_every_error_is_a_brain_error():
    classes = [
        value for value in vars(errors).values() if inspect.isclass(value) and value.__module__ == errors.__name__
    ]
    assert all(issubclass(value, errors.BrainError) for value in classes)
