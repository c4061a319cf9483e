from brain_core.fault_points import pass_by


def test_the_product_passes_every_fault_point():
    assert pass_by("image-written") is None
