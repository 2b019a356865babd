def record_boxes(axes):
    pass


def describe(figure):
    return None
